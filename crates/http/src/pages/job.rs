//! The page of a job: everything about it, the sentence that says where it stands first.

use std::fmt::Write as _;

use askama::Template;
use mission_jobs::queue::views::job_view::Attempt;
use mission_jobs::{JobRecord, State};
use serde_json::Value;
use uuid::Uuid;

use super::html::{Prose, When};
use super::job_row::{self, Line, Place};
use super::layout::Frame;
use super::report::Report;
use mission_core::humanize::{count, number, span};
use mission_jobs::queue::views::explain::{Reader, Story};

/// For how long jobs can be snoozed, as values and words.
pub const SNOOZES: [(&str, &str); 6] = [
    ("10m", "10 minutes"),
    ("1h", "an hour"),
    ("4h", "4 hours"),
    ("24h", "a day"),
    ("72h", "3 days"),
    ("168h", "a week"),
];

/// The page.
#[derive(Template)]
#[template(path = "dashboard/job.html")]
pub struct Page {
    /// What is around it.
    pub frame: Frame,
    /// The job.
    pub job: View,
}

/// What is shown of a job.
#[expect(clippy::struct_excessive_bools, reason = "each is a button")]
#[derive(Debug)]
pub struct View {
    /// Its id.
    pub id: Uuid,
    /// Where it is.
    pub state: State,
    /// What it is called.
    pub title: String,
    /// Where it stands and why.
    pub sentence: Prose,
    /// What a person can do.
    pub remedy: Option<Prose>,
    /// Commands of that, to be copied.
    pub commands: Vec<String>,
    /// When it is due, if it waits.
    pub next: Option<When>,
    /// The job that took its place.
    pub superseded_by: Option<Uuid>,
    /// What can be done with it.
    pub can_retry: bool,
    /// See there.
    pub can_snooze: bool,
    /// See there.
    pub can_cancel: bool,
    /// See there.
    pub can_discard: bool,
    /// See there.
    pub can_force: bool,
    /// The states that it was in.
    pub timeline: Vec<Entered>,
    /// Attempts used, of how many.
    pub attempts: String,
    /// Its runs, the last one first.
    pub runs: Vec<Run>,
    /// What the run that succeeded found and did.
    pub report: Option<Report>,
    /// Its gateway.
    pub gateway: Option<Place>,
    /// What else is known.
    pub facts: Vec<Fact>,
    /// Other jobs of the same agent, the newest first.
    pub siblings: Vec<Line>,
    /// Its document, indented and sorted, without secrets.
    pub document: Option<String>,
    /// How to ask the API for it.
    pub curl: String,
}

/// Something that is known.
#[derive(Debug)]
pub struct Fact {
    /// What.
    pub name: &'static str,
    /// What it is: text, or a time.
    pub value: Prose,
}

/// A state that it was in.
#[derive(Debug)]
pub struct Entered {
    /// Which.
    pub state: State,
    /// Since when.
    pub at: When,
    /// For how long, if it has left it.
    pub stayed: Option<String>,
}

/// A run that ended.
#[derive(Debug)]
pub struct Run {
    /// Its number.
    pub number: u32,
    /// How it ended.
    pub outcome: String,
    /// The colour of that.
    pub class: String,
    /// Code of the failure, and the request that met it.
    pub code: Option<String>,
    /// What happened.
    pub message: Prose,
    /// When it began.
    pub began: When,
    /// How long it took.
    pub took: String,
    /// The worker that ran it.
    pub worker: String,
    /// How many requests it sent.
    pub requests: String,
    /// Its requests.
    pub steps: Vec<Step>,
}

/// A request of a run.
#[derive(Debug)]
pub struct Step {
    /// The method.
    pub name: String,
    /// How long it took.
    pub took: String,
    /// Where in the run it lies, in thousandths.
    pub x: u64,
    /// How wide that is.
    pub width: u64,
    /// Its colour.
    pub class: &'static str,
    /// What came of it.
    pub note: String,
}

impl View {
    /// What is shown of a job. `origin` is where the API is, for commands.
    #[must_use]
    pub fn of(job: &JobRecord, siblings: &[JobRecord], origin: &str, now_ms: u64) -> Self {
        let story = Story::of(job, Reader::Page, now_ms);
        let commands = story.commands().into_iter().map(str::to_owned).collect();
        let state = job.state;
        Self {
            id: job.id,
            state,
            title: job_row::title(job),
            sentence: Prose(story.sentence),
            remedy: story.remedy.map(Prose),
            commands,
            next: job.next_at_ms.filter(|_| state.is_waiting()).map(|at_ms| When { at_ms, now_ms }),
            superseded_by: job.superseded_by,
            can_retry: state.is_retryable(),
            can_snooze: state.is_snoozable(),
            can_cancel: !state.is_terminal() && job.cancel.is_none(),
            can_discard: state == State::Dead,
            can_force: state == State::Dead,
            timeline: timeline(job, now_ms),
            attempts: format!("{} of {} attempts used", job.attempts, job.max_attempts),
            runs: job.history.iter().rev().map(|run| Run::of(run, now_ms)).collect(),
            report: job.report.as_ref().filter(|_| state == State::Done).map(Report::of),
            gateway: job_row::place(job),
            facts: facts(job, now_ms),
            siblings: siblings
                .iter()
                .filter(|other| other.id != job.id)
                .map(|job| Line::of(job, now_ms))
                .collect(),
            document: job.document.as_ref().map(|document| pretty(&sorted(document))),
            curl: format!(
                "curl -H \"Authorization: Bearer $TOKEN\" {origin}/api/v1/jobs/{}",
                job.id
            ),
        }
    }
}

impl Run {
    fn of(run: &Attempt, now_ms: u64) -> Self {
        let result = &run.result;
        let took = run.ended_at_ms.saturating_sub(run.started_at_ms);
        Self {
            number: run.number,
            outcome: result.outcome.clone(),
            class: result.outcome.clone(),
            code: result.code.as_ref().map(|code| match &result.method {
                Some(method) => format!("{code} {method}"),
                None => code.clone(),
            }),
            message: Prose(result.message.clone().unwrap_or_default()),
            began: When { at_ms: run.started_at_ms, now_ms },
            took: span(took),
            worker: run.worker.clone(),
            requests: count(u64::try_from(result.steps.len()).unwrap_or_default(), "request"),
            steps: steps(&result.steps, took),
        }
    }
}

/// The requests of a run, one after the other over its length.
fn steps(steps: &[mission_jobs::Step], took: u64) -> Vec<Step> {
    let whole = steps.iter().map(|step| step.duration_ms).sum::<u64>().max(took).max(1);
    let mut begun = 0;
    let drawn = |step: &mission_jobs::Step| {
        let x = begun * 1000 / whole;
        begun += step.duration_ms;
        Step {
            name: step.name.clone(),
            took: span(step.duration_ms),
            x: x.min(996),
            width: (step.duration_ms * 1000 / whole).max(4),
            class: if step.note.is_some() { "again" } else { "done" },
            note: step.note.clone().unwrap_or_else(|| "ok".to_owned()),
        }
    };
    steps.iter().map(drawn).collect()
}

fn timeline(job: &JobRecord, now_ms: u64) -> Vec<Entered> {
    let next = job.timeline.iter().skip(1).map(|entered| Some(entered.at_ms)).chain([None]);
    let entered = job.timeline.iter().zip(next).map(|(entered, left)| Entered {
        state: entered.state,
        at: When { at_ms: entered.at_ms, now_ms },
        stayed: left.map(|left| span(left.saturating_sub(entered.at_ms))),
    });
    entered.collect()
}

fn facts(job: &JobRecord, now_ms: u64) -> Vec<Fact> {
    let when = |at_ms: Option<u64>| {
        at_ms.map(|at_ms| mission_core::humanize::utc(at_ms, "%Y-%m-%d %H:%M:%S.%3f UTC"))
    };
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let code = |text: String| format!("`{text}`");
    let agent = job.subject.split_once('/').map(|(_, agent)| agent.to_owned());
    let total = job.finished_at_ms.map(|ended| span(ended.saturating_sub(job.enqueued_at_ms)));
    let all = [
        ("It said", job.report.as_ref().and_then(|report| gateway_facts(report.get("gateway")?))),
        ("Kind", Some(job.kind.clone())),
        ("Agent", job.names.agent.clone()),
        ("Agent's id", agent.filter(|agent| agent != "heartbeats").map(code)),
        ("Board", job.names.board.clone()),
        ("Enqueued", when(Some(job.enqueued_at_ms))),
        ("Last run began", when(job.started_at_ms)),
        ("Ended", when(job.finished_at_ms)),
        ("Took in all", total),
        ("Expires", when(job.expires_at_ms.filter(|_| !job.state.is_terminal()))),
        ("Busy since", when(job.snoozed_since_ms)),
        (
            "Waiting for",
            (!job.state.is_terminal()).then(|| span(now_ms.saturating_sub(job.enqueued_at_ms))),
        ),
        ("Priority", Some(format!("{} (0 comes first, 9 last)", job.priority))),
        (
            "Runs",
            Some(format!("{}, {} of them counted", number(u64::from(job.runs)), job.attempts)),
        ),
        (
            "Lost its worker",
            (job.lost > 0).then(|| format!("{} times in a row; at 3 it is given up", job.lost)),
        ),
        ("Inherited", (!job.inherited.is_empty()).then(|| job.inherited.join(", "))),
        ("Request", text(&job.idempotency_key).map(code)),
        ("Reason", text(&job.reason).map(code)),
        ("To be stopped", text(&job.cancel)),
    ];
    all.into_iter().filter_map(|(name, value)| Some(Fact { name, value: Prose(value?) })).collect()
}

fn gateway_facts(facts: &Value) -> Option<String> {
    let version = facts.get("version")?.as_str()?;
    let protocol = facts.get("protocol")?.as_u64()?;
    let mut text = format!("version {version}, protocol {protocol}");
    if let Some(limit) = facts.get("write_limit").and_then(Value::as_str) {
        let _ = write!(text, ", config writes {limit}");
    }
    Some(text)
}

/// The same value with the members of all objects in order.
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
