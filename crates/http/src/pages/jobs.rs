//! The search for jobs, and what can be done with all that it finds.

use askama::Template;

use super::gateways::StateCount;
use super::job_row::Line;
use super::layout::Frame;
use mission_core::humanize::count;

/// The page of a search.
#[derive(Template)]
#[template(path = "dashboard/jobs.html")]
pub struct Page {
    /// What is around it.
    pub frame: Frame,
    /// What is on it.
    pub jobs: Jobs,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Jobs {
    /// The search as it was typed.
    pub q: String,
    /// What is wrong with it.
    pub error: Option<String>,
    /// What is said if nothing is found.
    pub empty: &'static str,
    /// How many jobs are in each state.
    pub counts: Vec<StateCount>,
    /// The jobs.
    pub rows: Vec<Line>,
    /// How many a page has.
    pub limit: usize,
    /// The next page.
    pub next: Option<String>,
    /// Whether this is not the first.
    pub later: bool,
    /// The first page.
    pub first: String,
    /// All that is found, for programs.
    pub export_json: String,
    /// The same for tables.
    pub export_csv: String,
    /// How to ask the API for it.
    pub curl: String,
}

/// What can be done with all that are found.
pub const BUTTONS: [(&str, &str); 4] = [
    ("retry", "Retry all"),
    ("snooze", "Snooze all"),
    ("cancel", "Cancel all"),
    ("discard", "Discard all"),
];

/// The page that asks whether all that are found are meant.
#[derive(Template)]
#[template(path = "dashboard/bulk.html")]
pub struct BulkPage {
    /// What is around it.
    pub frame: Frame,
    /// What is asked.
    pub bulk: Bulk,
}

/// What would be done to how many.
#[derive(Debug)]
pub struct Bulk {
    /// The search.
    pub q: String,
    /// `retry`, `snooze`, `cancel` or `discard`.
    pub action: &'static str,
    /// How many are found.
    pub count: u64,
    /// The same with its noun.
    pub words: String,
    /// Whether the number is to be typed.
    pub typed: bool,
    /// What was wrong with what was sent before.
    pub error: Option<String>,
    /// Why, as it was typed then.
    pub why: String,
    /// The first of them.
    pub sample: Vec<Line>,
    /// The search, as an address.
    pub back: String,
    /// What has been done to a job, in a word.
    pub done: &'static str,
    /// What comes of it.
    pub consequence: &'static str,
}

/// What can be done to many: its name, what has been done then, and what comes of it.
const ACTIONS: [(&str, &str, &str); 4] = [
    (
        "retry",
        "retried",
        "They run again now, with all their attempts; dead ones that newer jobs have overtaken \
            are left.",
    ),
    ("snooze", "snoozed", "They wait until then, and count no attempt."),
    (
        "cancel",
        "cancelled",
        "They end and do not run any more; running ones are stopped within seconds.",
    ),
    ("discard", "discarded", "Dead ones leave the list of the dead; no other is touched."),
];

impl Bulk {
    /// What is asked; none if there is no such action.
    #[must_use]
    pub fn new(
        action: &str,
        q: &str,
        matched: usize,
        most_untyped: usize,
        sample: Vec<Line>,
    ) -> Option<Self> {
        let (action, done, consequence) = ACTIONS.into_iter().find(|(name, ..)| *name == action)?;
        Some(Self {
            q: q.to_owned(),
            action,
            count: u64::try_from(matched).unwrap_or_default(),
            words: count(u64::try_from(matched).unwrap_or_default(), "job"),
            typed: matched > most_untyped,
            error: None,
            why: String::new(),
            sample,
            back: super::query::to("/jobs", &[("q", q)]),
            done,
            consequence,
        })
    }

    /// What is done, to begin a sentence with.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self.action {
            "retry" => "Retry",
            "snooze" => "Snooze",
            "cancel" => "Cancel",
            _ => "Discard",
        }
    }

    /// Whether it ends jobs.
    #[must_use]
    pub fn is_danger(&self) -> bool {
        matches!(self.action, "cancel" | "discard")
    }
}

/// The page of how far it is.
#[derive(Template)]
#[template(path = "dashboard/bulk_progress.html")]
pub struct ProgressPage {
    /// What is around it.
    pub frame: Frame,
    /// How far it is.
    pub bulk: Progress,
}

/// How far an action on many is.
#[derive(Debug)]
pub struct Progress {
    /// What is done.
    pub action: String,
    /// Where it stands.
    pub sentence: String,
    /// How many there are.
    pub total: u64,
    /// How many are behind it.
    pub passed: u64,
    /// To how many it was done.
    pub done: u64,
    /// How many were left.
    pub refused: u64,
    /// Why, of the first.
    pub errors: Vec<String>,
    /// Whether it has ended.
    pub finished: bool,
    /// The search, as an address.
    pub back: String,
}
