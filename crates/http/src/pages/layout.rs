//! What every page has around its content: who looks, where one is, what is paused.

use std::time::{SystemTime, UNIX_EPOCH};

use super::html::When;
use super::query;
use crate::access::{Caller, How};
use crate::assets;
use crate::permissions::Action;

/// The pages, by path and name.
pub const PAGES: [(&str, &str); 7] = [
    ("/", "Now"),
    ("/jobs", "Jobs"),
    ("/failures", "Failures"),
    ("/gateways", "Gateways"),
    ("/workers", "Workers"),
    ("/audit", "Audit"),
    ("/api/docs", "API"),
];

/// What every page has.
#[expect(clippy::struct_excessive_bools, reason = "each decides on another part of the page")]
#[derive(Debug, Clone)]
pub struct Frame {
    /// The title.
    pub title: String,
    /// The path and search of the page.
    pub path: String,
    /// The queue's name.
    pub queue: String,
    /// Who looks.
    pub who: String,
    /// As what.
    pub role: &'static str,
    /// Whether somebody is known at all.
    pub signed_in: bool,
    /// Whether there is a session to end.
    pub can_sign_out: bool,
    /// Where to sign in, for who only looks because they are on this machine.
    pub sign_in: Option<String>,
    /// Whether this one may act on jobs.
    pub may_operate: bool,
    /// Whether this one may act on workers, and take the audit away.
    pub may_admin: bool,
    /// What forms bring along, so that no other site can send them.
    pub csrf: String,
    /// `light` or `dark`, if that was chosen.
    pub theme: Option<&'static str>,
    /// What is paused.
    pub paused: Vec<Paused>,
    /// What has just been done.
    pub notice: Option<&'static str>,
    /// What time it is.
    pub now_ms: u64,
    /// Distinguishes the assets of this build from those of others.
    pub build: &'static str,
    /// The version of the program.
    pub version: &'static str,
}

/// Something that is paused.
#[derive(Debug, Clone)]
pub struct Paused {
    /// What, in words.
    pub what: String,
    /// The same for programs.
    pub scope: String,
    /// Since when.
    pub at: When,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Frame {
    /// Whether this page is that one, or below it.
    #[must_use]
    pub fn is_here(&self, path: &str) -> bool {
        let here = self.path.split('?').next().unwrap_or_default();
        here == path
            || (path != "/" && here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// What the button for light and dark chooses, if nothing is known of the system's choice.
    #[must_use]
    pub fn other_theme(&self) -> &'static str {
        if self.theme == Some("dark") { "light" } else { "dark" }
    }

    /// What stands on that button.
    #[must_use]
    pub fn other_theme_words(&self) -> &'static str {
        if self.theme == Some("dark") { "Light" } else { "Dark" }
    }

    /// What is around a page for who is not known.
    #[must_use]
    pub fn stranger(title: &str, path: &str) -> Self {
        Self {
            title: title.to_owned(),
            path: path.to_owned(),
            queue: String::new(),
            who: String::new(),
            role: "",
            signed_in: false,
            can_sign_out: false,
            sign_in: None,
            may_operate: false,
            may_admin: false,
            csrf: String::new(),
            theme: None,
            paused: Vec::new(),
            notice: None,
            now_ms: now_ms(),
            build: assets::tag(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The same for somebody.
    #[must_use]
    pub fn of(title: &str, path: &str, caller: &Caller) -> Self {
        Self {
            who: caller.name.clone(),
            role: caller.role.as_str(),
            signed_in: true,
            can_sign_out: caller.how == How::Session,
            sign_in: (caller.how == How::Local).then(|| query::to("/login", &[("next", path)])),
            may_operate: caller.can(Action::Retry),
            may_admin: caller.can(Action::Drain),
            csrf: caller.csrf().to_owned(),
            ..Self::stranger(title, path)
        }
    }
}

/// What time it is by this machine's clock, where Redis's is not known.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}
