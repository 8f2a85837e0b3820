//! Failures by cause, and the page of them.

use askama::Template;
use mission_jobs::queue::Group;

use super::html::{Prose, When};
use super::job_row::{Place, short};
use super::layout::Frame;
use super::query;
use mission_core::humanize::{count, number};

/// The page.
#[derive(Template)]
#[template(path = "dashboard/failures.html")]
pub struct Page {
    /// What is around it.
    pub frame: Frame,
    /// How many there are.
    pub sentence: String,
    /// What is said if there are none.
    pub empty: &'static str,
    /// The failures.
    pub groups: Vec<Row>,
}

/// Failures of one sort.
#[derive(Debug)]
pub struct Row {
    /// Code and request.
    pub code: String,
    /// What happened last.
    pub message: Prose,
    /// What a person can do.
    pub action: Option<Prose>,
    /// The gateway.
    pub gateway: Option<Place>,
    /// How many jobs.
    pub count: String,
    /// Since when.
    pub first: When,
    /// When last.
    pub last: When,
    /// A job of them.
    pub sample: String,
    /// Where all of them are.
    pub search: String,
    /// Where all of them can be retried.
    pub retry: String,
}

impl Row {
    /// What is shown of a group. `name` says what its gateway is called.
    #[must_use]
    pub fn of(group: &Group, name: Option<&str>, now_ms: u64) -> Self {
        let search = group.search().to_string();
        let id = group.gateway.to_string();
        let name = name.map_or_else(|| short(&id), str::to_owned);
        Self {
            code: group
                .method
                .as_ref()
                .map_or_else(|| group.code.clone(), |method| format!("{} {method}", group.code)),
            message: Prose(group.message.clone()),
            action: group.action.as_deref().map(|action| Prose(super::sentence(action))),
            gateway: Some(Place { id, name }),
            count: number(group.count),
            first: When { at_ms: group.first_at_ms, now_ms },
            last: When { at_ms: group.last_at_ms, now_ms },
            sample: group.sample.to_string(),
            retry: query::to("/bulk", &[("q", &search), ("action", "retry")]),
            search: query::to("/jobs", &[("q", &search)]),
        }
    }
}

impl Page {
    /// The page of all groups.
    #[must_use]
    pub fn of(frame: Frame, groups: Vec<Row>, jobs: u64) -> Self {
        let causes = u64::try_from(groups.len()).unwrap_or_default();
        let sentence = match causes {
            0 => "Nothing fails".to_owned(),
            _ => format!("{} failing for {}", count(jobs, "job"), count(causes, "cause")),
        };
        Self {
            frame,
            sentence,
            empty: "Every job that failed has got past it, or is gone.",
            groups,
        }
    }
}
