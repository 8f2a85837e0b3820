//! The page of a job.

mod forms;
mod runs;

use askama::Template;
use axum::extract::Path;
use axum::response::Html;
use mission_core::humanize::{number, span, utc};
use mission_core::outcome::GatewayFacts;
use mission_jobs::queue::views::explain::{Reader, Story};
use mission_jobs::queue::views::job_view::Entered;
use mission_jobs::{JobRecord, State};
use serde_json::Value;
use uuid::Uuid;

use super::html::Prose;
use super::layout::Frame;
use super::page_context::PageContext;
use super::{Facts, job_row, known_facts, report, written};
use crate::problem::{Answer, Problem};
pub(super) use forms::{forms, parse_span};

/// The times for which jobs can be snoozed, by value and label.
pub(super) const SNOOZES: [(&str, &str); 6] = [
    ("10m", "10 minutes"),
    ("1h", "an hour"),
    ("4h", "4 hours"),
    ("24h", "a day"),
    ("72h", "3 days"),
    ("168h", "a week"),
];

/// The most other jobs of the same agent on the page.
const MOST_SIBLINGS: usize = 10;

#[derive(Template)]
#[template(path = "dashboard/job.html")]
struct JobPage {
    frame: Frame,
    job: JobRecord,
    story: Story,
    /// The states that the job was in, oldest first, each with the time that it stayed there.
    timeline: Vec<(Entered, Option<String>)>,
    facts: Facts,
    /// Other jobs of the same agent, newest first.
    siblings: Vec<JobRecord>,
    /// The document, indented and sorted, without secrets.
    document: Option<String>,
    /// The command that asks the API for the job.
    curl: String,
}

pub(super) async fn show(context: PageContext, Path(id): Path<String>) -> Answer<Html<String>> {
    let missing = || {
        Problem::missing(format!("there is no job {id}; it may have been removed after it ended"))
    };
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let glance = context.glance().await?;
    let queue = &context.actions.app.queue;
    let job = queue.get(id).await?.ok_or_else(missing)?;
    let ids = job
        .subject
        .split_once('/')
        .and_then(|(lane, agent)| Some((lane.parse().ok()?, agent.parse().ok()?)));
    let mut siblings = match ids {
        Some((lane, agent)) => queue.agent_jobs(lane, agent, MOST_SIBLINGS + 1).await?,
        None => Vec::new(),
    };
    siblings.retain(|other| other.id != id);
    Ok(written(&JobPage {
        frame: context.frame(&job_row::title(&job), &glance),
        story: Story::within(&glance.summary, &job, Reader::Page),
        timeline: runs::timeline(&job),
        facts: facts(&job, glance.now_ms()),
        siblings,
        document: job.document.as_ref().map(pretty),
        curl: format!(
            "curl -H \"Authorization: Bearer $TOKEN\" {}/api/v1/jobs/{id}",
            context.origin
        ),
        job,
    }))
}

fn facts(job: &JobRecord, now_ms: u64) -> Facts {
    let when = |at_ms: Option<u64>| at_ms.map(|at_ms| utc(at_ms, "%Y-%m-%d %H:%M:%S.%3f UTC"));
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let code = |text: String| format!("`{text}`");
    let agent = job.subject.split_once('/').map(|(_, agent)| agent.to_owned());
    let total = job.finished_at_ms.map(|ended| span(ended.saturating_sub(job.enqueued_at_ms)));
    known_facts([
        (
            "Gateway reported",
            job.report.as_ref().and_then(|report| report.gateway.as_ref()).map(gateway_facts),
        ),
        ("Kind", Some(job.kind.clone())),
        ("Agent", job.names.agent.clone()),
        ("Agent id", agent.filter(|agent| agent != "heartbeats").map(code)),
        ("Board", job.names.board.clone()),
        ("Enqueued", when(Some(job.enqueued_at_ms))),
        ("Last run began", when(job.started_at_ms)),
        ("Ended", when(job.finished_at_ms)),
        ("Total time", total),
        ("Expires", when(job.expires_at_ms.filter(|_| !job.state.is_terminal()))),
        ("Busy since", when(job.snoozed_since_ms)),
        (
            "Waiting for",
            (!job.state.is_terminal()).then(|| span(now_ms.saturating_sub(job.enqueued_at_ms))),
        ),
        ("Priority", Some(format!("{} (0 is first, 9 is last)", job.priority))),
        (
            "Runs",
            Some(format!("{}, {} counted as attempts", number(u64::from(job.runs)), job.attempts)),
        ),
        ("Workers lost", (job.lost > 0).then(|| format!("{} in a row; given up at 4", job.lost))),
        ("Request", text(&job.idempotency_key).map(code)),
        ("Reason", text(&job.reason).map(code)),
        ("Being cancelled", text(&job.cancel)),
    ])
}

fn gateway_facts(facts: &GatewayFacts) -> String {
    let GatewayFacts { version, protocol, write_limit, .. } = facts;
    let writes =
        write_limit.as_ref().map_or_else(String::new, |limit| format!(", config writes {limit}"));
    format!("version {version}, protocol {protocol}{writes}")
}

/// Returns a document with its members sorted by name.
fn pretty(document: &Value) -> String {
    let mut document = document.clone();
    document.sort_all_objects();
    serde_json::to_string_pretty(&document).expect("what was read can be written")
}
