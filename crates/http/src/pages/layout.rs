//! The frame around the content of every page: navigation, caller, pauses and notices.

use jiff::Timestamp;
use mission_jobs::queue::Pause;

use super::address;
use super::html::When;
use crate::auth::{Action, AuthMethod, Caller};

/// The pages in the navigation, by path and name.
pub(super) const PAGES: [(&str, &str); 7] = [
    ("/", "Now"),
    ("/jobs", "Jobs"),
    ("/failures", "Failures"),
    ("/gateways", "Gateways"),
    ("/workers", "Workers"),
    ("/audit", "Audit"),
    ("/api/docs", "API"),
];

/// The data of the frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    pub title: String,
    /// The path and query of the page.
    pub path: String,
    /// The name of the queue.
    pub queue: String,
    /// The caller, if it is known.
    pub caller: Option<Caller>,
    /// `light` or `dark`, if the caller chose one.
    pub theme: Option<&'static str>,
    /// The pauses in the banner, each after its scope as the beginning of a sentence.
    pub paused: Vec<(String, Pause)>,
    /// The result of the action that the caller has just taken.
    pub notice: Option<&'static str>,
    /// The present time in milliseconds since 1970.
    pub now_ms: u64,
}

impl Frame {
    /// Returns the frame of a page that does not know Redis's clock.
    pub fn of(title: &str, path: &str, caller: Option<&Caller>) -> Self {
        Self {
            title: title.to_owned(),
            path: path.to_owned(),
            caller: caller.cloned(),
            now_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Returns whether this page is the given one, or below it.
    pub fn is_here(&self, path: &str) -> bool {
        let here = self.path.split('?').next().unwrap_or_default();
        here == path
            || (path != "/" && here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Returns a time as it is shown on the page.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
    pub fn when(&self, at_ms: &u64) -> When {
        When { at_ms: *at_ms, now_ms: self.now_ms }
    }

    /// Returns the theme that the button switches to, and the label of the button. Without a
    /// choice, the page counts as light.
    pub fn other_theme(&self) -> (&'static str, &'static str) {
        if self.theme == Some("dark") { ("light", "Light") } else { ("dark", "Dark") }
    }

    fn can(&self, action: Action) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.can(action))
    }

    /// Returns whether the caller may act on jobs.
    pub fn may_operate(&self) -> bool {
        self.can(Action::Retry)
    }

    /// Returns whether the caller may act on workers, forget gateways and export the audit.
    pub fn may_admin(&self) -> bool {
        self.can(Action::Drain)
    }

    /// Returns the CSRF token that forms send along.
    pub fn csrf(&self) -> &str {
        self.caller.as_ref().map_or("", Caller::csrf)
    }

    /// Returns the address of the login form, for callers who may read only because they are on
    /// this machine.
    pub fn sign_in(&self) -> Option<String> {
        let local = self.caller.as_ref()?.method == AuthMethod::Local;
        local.then(|| address::to("/login", &[("next", &self.path)]))
    }

    /// Returns whether there is a session to end.
    pub fn can_sign_out(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.method == AuthMethod::Session)
    }
}
