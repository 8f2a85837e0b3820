//! The page of a job.

mod forms;
mod runs;

use std::fmt::Write as _;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use mission_core::humanize::{number, span, utc};
use mission_core::outcome::GatewayFacts;
use mission_jobs::queue::views::explain::{Command, Reader, Story};
use mission_jobs::{JobRecord, State};
use serde_json::Value;
use uuid::Uuid;

use super::html::{Prose, When};
use super::job_row::{self, GatewayLink, JobRow};
use super::layout::Frame;
use super::page_context::PageContext;
use super::report::ReportView;
use super::written;
use crate::App;
use crate::problem::Problem;
pub(super) use forms::parse_span;
use runs::{RunView, StateEntry, timeline};

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

/// Returns the routes of the page and of its forms.
pub(super) fn router() -> Router<Arc<App>> {
    forms::router().route("/jobs/{id}", get(show))
}

#[derive(Template)]
#[template(path = "dashboard/job.html")]
struct JobPage {
    frame: Frame,
    job: JobView,
}

/// The content of the page.
#[expect(clippy::struct_excessive_bools, reason = "each is a button")]
#[derive(Debug)]
struct JobView {
    id: Uuid,
    state: State,
    title: String,
    /// The state and its cause.
    sentence: Prose,
    remedy: Option<Prose>,
    /// The command of the remedy, to be copied.
    command: Option<Command>,
    /// The time at which the job is due, if it waits.
    next: Option<When>,
    superseded_by: Option<Uuid>,
    can_retry: bool,
    can_snooze: bool,
    can_cancel: bool,
    can_discard: bool,
    can_force: bool,
    timeline: Vec<StateEntry>,
    /// The number of attempts used, and the limit.
    attempts: String,
    /// The runs, last one first.
    runs: Vec<RunView>,
    /// The report of the run that succeeded.
    report: Option<ReportView>,
    gateway: Option<GatewayLink>,
    facts: Vec<Fact>,
    /// Other jobs of the same agent, newest first.
    siblings: Vec<JobRow>,
    /// The document, indented and sorted, without secrets.
    document: Option<String>,
    /// The command that asks the API for the job.
    curl: String,
}

/// A named value in a list of facts.
#[derive(Debug)]
pub(super) struct Fact {
    pub name: &'static str,
    pub value: Prose,
}

async fn show(context: PageContext, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no job {id}; it may have been removed after it ended"),
        )
    };
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let glance = context.glance().await?;
    let record = context.app.queue.get(id).await?.ok_or_else(missing)?;
    let ids = record
        .subject
        .split_once('/')
        .and_then(|(lane, agent)| Some((lane.parse().ok()?, agent.parse().ok()?)));
    let siblings = match ids {
        Some((lane, agent)) => context.app.queue.agent_jobs(lane, agent, MOST_SIBLINGS + 1).await?,
        None => Vec::new(),
    };
    let job = JobView::of(&record, &siblings, &context.origin, glance.now_ms());
    Ok(written(&JobPage { frame: context.frame(&job.title, &glance), job }))
}

impl JobView {
    /// Makes the view of a job. `origin` is the scheme and host of the API.
    fn of(job: &JobRecord, siblings: &[JobRecord], origin: &str, now_ms: u64) -> Self {
        let story = Story::of(job, Reader::Page, now_ms);
        let state = job.state;
        Self {
            id: job.id,
            state,
            title: job_row::title(job),
            sentence: Prose(story.sentence),
            remedy: story.remedy.map(Prose),
            command: story.command,
            next: job.next_at_ms.filter(|_| state.is_waiting()).map(|at_ms| When { at_ms, now_ms }),
            superseded_by: job.superseded_by,
            can_retry: state.is_retryable(),
            can_snooze: state.is_snoozable(),
            can_cancel: !state.is_terminal() && job.cancel.is_none(),
            can_discard: state == State::Dead,
            can_force: state == State::Dead,
            timeline: timeline(job, now_ms),
            attempts: format!("{} of {} attempts used", job.attempts, job.max_attempts),
            runs: job.history.iter().rev().map(|run| RunView::of(run, now_ms)).collect(),
            report: job.report.as_ref().filter(|_| state == State::Done).map(ReportView::of),
            gateway: job_row::gateway_link(job),
            facts: facts(job, now_ms),
            siblings: siblings
                .iter()
                .filter(|other| other.id != job.id)
                .map(|job| JobRow::of(job, now_ms))
                .collect(),
            document: job.document.as_ref().map(|document| pretty(&sorted(document))),
            curl: format!(
                "curl -H \"Authorization: Bearer $TOKEN\" {origin}/api/v1/jobs/{}",
                job.id
            ),
        }
    }
}

fn facts(job: &JobRecord, now_ms: u64) -> Vec<Fact> {
    let when = |at_ms: Option<u64>| at_ms.map(|at_ms| utc(at_ms, "%Y-%m-%d %H:%M:%S.%3f UTC"));
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let code = |text: String| format!("`{text}`");
    let agent = job.subject.split_once('/').map(|(_, agent)| agent.to_owned());
    let total = job.finished_at_ms.map(|ended| span(ended.saturating_sub(job.enqueued_at_ms)));
    let all = [
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
        ("Workers lost", (job.lost > 0).then(|| format!("{} in a row; given up at 3", job.lost))),
        ("Inherited", (!job.inherited.is_empty()).then(|| job.inherited.join(", "))),
        ("Request", text(&job.idempotency_key).map(code)),
        ("Reason", text(&job.reason).map(code)),
        ("Being cancelled", text(&job.cancel)),
    ];
    all.into_iter().filter_map(|(name, value)| Some(Fact { name, value: Prose(value?) })).collect()
}

fn gateway_facts(facts: &GatewayFacts) -> String {
    let mut text = format!("version {}, protocol {}", facts.version, facts.protocol);
    if let Some(limit) = &facts.write_limit {
        let _ = write!(text, ", config writes {limit}");
    }
    text
}

/// Returns the value with the members of all objects sorted by name.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("what was read can be written")
}
