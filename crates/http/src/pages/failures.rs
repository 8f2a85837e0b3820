//! The page of failures, grouped by cause.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use mission_core::humanize::{count, number};
use mission_jobs::queue::Group;

use super::html::{Prose, When};
use super::job_row::{GatewayLink, short};
use super::layout::Frame;
use super::page_context::PageContext;
use super::{address, sentence, written};
use crate::App;
use crate::problem::Problem;

/// The most causes on the page.
const MANY: usize = 200;

/// Returns the route of the page.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/failures", get(show))
}

#[derive(Template)]
#[template(path = "dashboard/failures.html")]
struct FailuresPage {
    frame: Frame,
    sentence: String,
    /// The text that stands in place of an empty list.
    empty: &'static str,
    groups: Vec<FailureRow>,
}

/// The failures of one cause.
#[derive(Debug)]
pub(super) struct FailureRow {
    /// The code, and the method of the request that failed.
    pub code: String,
    pub message: Prose,
    pub action: Option<Prose>,
    pub gateway: Option<GatewayLink>,
    /// The number of jobs.
    pub count: String,
    pub first: When,
    pub last: When,
    /// The id of one of the jobs.
    pub sample: String,
    /// The address of the search that finds all of them.
    pub search: String,
    /// The address of the form that retries all of them.
    pub retry: String,
}

async fn show(context: PageContext) -> Result<Html<String>, Problem> {
    let glance = context.glance().await?;
    let groups = context.app.queue.groups(MANY).await?;
    let jobs = groups.iter().map(|group| group.count).sum();
    let row = |group| FailureRow::of(group, glance.name(group.gateway).as_deref(), glance.now_ms());
    let rows = groups.iter().map(row).collect();
    Ok(written(&FailuresPage::of(context.frame("Failures", &glance), rows, jobs)))
}

impl FailureRow {
    /// Makes the row of a group. `name` is the name of its gateway.
    pub(super) fn of(group: &Group, name: Option<&str>, now_ms: u64) -> Self {
        let search = group.search().to_string();
        let id = group.gateway.to_string();
        let name = name.map_or_else(|| short(&id), str::to_owned);
        Self {
            code: group
                .method
                .as_ref()
                .map_or_else(|| group.code.clone(), |method| format!("{} {method}", group.code)),
            message: Prose(group.message.clone()),
            action: group.remedy().text().map(|text| Prose(sentence(text))),
            gateway: Some(GatewayLink { id, name }),
            count: number(group.count),
            first: When { at_ms: group.first_at_ms, now_ms },
            last: When { at_ms: group.last_at_ms, now_ms },
            sample: group.sample.to_string(),
            retry: address::to("/bulk", &[("q", &search), ("action", "retry")]),
            search: address::to("/jobs", &[("q", &search)]),
        }
    }
}

impl FailuresPage {
    fn of(frame: Frame, groups: Vec<FailureRow>, jobs: u64) -> Self {
        let causes = u64::try_from(groups.len()).unwrap_or_default();
        let sentence = match causes {
            0 => "No failures".to_owned(),
            _ => format!("{} failing for {}", count(jobs, "job"), count(causes, "cause")),
        };
        Self { frame, sentence, empty: "No job is failing.", groups }
    }
}
