//! The runs of a job and its timeline, on its page.

use mission_core::humanize::{count, span};
use mission_jobs::queue::views::attempt::Attempt;
use mission_jobs::{JobRecord, State, Step};

use crate::pages::html::{Prose, When};

/// An entry of the timeline.
#[derive(Debug)]
pub(super) struct StateEntry {
    pub state: State,
    /// The time at which the job entered the state.
    pub at: When,
    /// The time it stayed there, if it has left the state.
    pub stayed: Option<String>,
}

/// A run that ended.
#[derive(Debug)]
pub(super) struct RunView {
    pub number: u32,
    pub outcome: String,
    /// The style class of the outcome.
    pub class: String,
    /// The code of the failure, and the method of the request that failed.
    pub code: Option<String>,
    pub message: Prose,
    pub began: When,
    pub took: String,
    pub worker: String,
    /// The number of requests with its noun.
    pub requests: String,
    pub steps: Vec<RequestBar>,
}

/// A request of a run, drawn as a bar.
#[derive(Debug)]
pub(super) struct RequestBar {
    pub name: String,
    pub took: String,
    /// The start within the run, in thousandths of its length.
    pub x: u64,
    /// The length, in the same unit.
    pub width: u64,
    /// The style class.
    pub class: &'static str,
    /// The error, or `ok`.
    pub note: String,
}

impl RunView {
    /// Makes the view of a run.
    pub(super) fn of(run: &Attempt, now_ms: u64) -> Self {
        let result = &run.result;
        let took = run.ended_at_ms.saturating_sub(run.started_at_ms);
        Self {
            number: run.number,
            outcome: result.outcome.clone(),
            class: result.outcome.clone(),
            code: result.failure.as_ref().map(|failure| match &failure.method {
                Some(method) => format!("{} {method}", failure.code),
                None => failure.code.clone(),
            }),
            message: Prose(result.message().unwrap_or_default().to_owned()),
            began: When { at_ms: run.started_at_ms, now_ms },
            took: span(took),
            worker: run.worker.clone(),
            requests: count(u64::try_from(result.steps.len()).unwrap_or_default(), "request"),
            steps: steps(&result.steps, took),
        }
    }
}

/// Lays the requests of a run out one after the other over its length.
fn steps(steps: &[Step], took: u64) -> Vec<RequestBar> {
    let whole = steps.iter().map(|step| step.duration_ms).sum::<u64>().max(took).max(1);
    let mut begun = 0;
    let drawn = |step: &Step| {
        let x = begun * 1000 / whole;
        begun += step.duration_ms;
        RequestBar {
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

/// Returns the states that a job was in, oldest first.
pub(super) fn timeline(job: &JobRecord, now_ms: u64) -> Vec<StateEntry> {
    let next = job.timeline.iter().skip(1).map(|entered| Some(entered.at_ms)).chain([None]);
    let entered = job.timeline.iter().zip(next).map(|(entered, left)| StateEntry {
        state: entered.state,
        at: When { at_ms: entered.at_ms, now_ms },
        stayed: left.map(|left| span(left.saturating_sub(entered.at_ms))),
    });
    entered.collect()
}
