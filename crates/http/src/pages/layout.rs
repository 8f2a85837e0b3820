//! The frame around the content of every page: navigation, caller, pauses and notices.

use std::time::{SystemTime, UNIX_EPOCH};

use super::address;
use super::html::When;
use crate::assets;
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
#[expect(clippy::struct_excessive_bools, reason = "each decides on another part of the page")]
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub title: String,
    /// The path and query of the page.
    pub path: String,
    /// The name of the queue.
    pub queue: String,
    /// The name of the caller.
    pub who: String,
    pub role: &'static str,
    /// `true` if the caller is known.
    pub signed_in: bool,
    /// `true` if there is a session to end.
    pub can_sign_out: bool,
    /// The address of the login form, for callers who may read only because they are on this
    /// machine.
    pub sign_in: Option<String>,
    /// `true` if the caller may act on jobs.
    pub may_operate: bool,
    /// `true` if the caller may act on workers and export the audit.
    pub may_admin: bool,
    /// The CSRF token that forms send along.
    pub csrf: String,
    /// `light` or `dark`, if the caller chose one.
    pub theme: Option<&'static str>,
    pub paused: Vec<Paused>,
    /// The result of the action that the caller has just taken.
    pub notice: Option<&'static str>,
    /// The present time in milliseconds since 1970.
    pub now_ms: u64,
    /// A tag that changes with the assets, for their addresses.
    pub build: &'static str,
    /// The version of the program.
    pub version: &'static str,
}

/// A pause in the banner.
#[derive(Debug, Clone)]
pub(super) struct Paused {
    /// The scope as the beginning of a sentence.
    pub what: String,
    /// The scope as the API reads it.
    pub scope: String,
    pub at: When,
    pub by: String,
    pub reason: String,
}

impl Frame {
    /// Returns whether this page is the given one, or below it.
    pub fn is_here(&self, path: &str) -> bool {
        let here = self.path.split('?').next().unwrap_or_default();
        here == path
            || (path != "/" && here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Returns the theme that the button switches to. Without a choice, the page counts as light.
    pub fn other_theme(&self) -> &'static str {
        if self.theme == Some("dark") { "light" } else { "dark" }
    }

    /// Returns the label of that button.
    pub fn other_theme_words(&self) -> &'static str {
        if self.theme == Some("dark") { "Light" } else { "Dark" }
    }

    /// Returns the frame for a caller who is not known.
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

    /// Returns the frame for a known caller.
    pub fn of(title: &str, path: &str, caller: &Caller) -> Self {
        Self {
            who: caller.name.clone(),
            role: caller.role.as_str(),
            signed_in: true,
            can_sign_out: caller.method == AuthMethod::Session,
            sign_in: (caller.method == AuthMethod::Local)
                .then(|| address::to("/login", &[("next", path)])),
            may_operate: caller.can(Action::Retry),
            may_admin: caller.can(Action::Drain),
            csrf: caller.csrf().to_owned(),
            ..Self::stranger(title, path)
        }
    }
}

/// Returns the time of this machine's clock, for pages that do not know that of Redis.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}
