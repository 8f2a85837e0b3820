//! The runs of a job and its timeline, on its page.

use mission_core::humanize::{count, span};
use mission_jobs::queue::views::attempt::Attempt;
use mission_jobs::queue::views::job_view::Entered;
use mission_jobs::{JobRecord, Step};

/// A request of a run, drawn as a bar.
#[derive(Debug)]
pub(super) struct RequestBar<'a> {
    pub step: &'a Step,
    pub took: String,
    /// The start within the run, in thousandths of its length.
    pub x: u64,
    /// The length, in the same unit.
    pub width: u64,
}

fn length_ms(run: &Attempt) -> u64 {
    run.ended_at_ms.saturating_sub(run.started_at_ms)
}

/// Returns the length of a run in words.
pub(super) fn took(run: &Attempt) -> String {
    span(length_ms(run))
}

/// Returns the number of requests of a run with its noun.
pub(super) fn requests(run: &Attempt) -> String {
    count(run.result.steps.len() as u64, "request")
}

/// Lays the requests of a run out one after the other over its length.
pub(super) fn bars<'a>(run: &'a Attempt) -> Vec<RequestBar<'a>> {
    let steps = &run.result.steps;
    let whole = steps.iter().map(|step| step.duration_ms).sum::<u64>().max(length_ms(run)).max(1);
    let mut begun = 0;
    let drawn = |step: &'a Step| {
        let duration_ms = step.duration_ms;
        let x = begun * 1000 / whole;
        begun += duration_ms;
        RequestBar {
            step,
            took: span(duration_ms),
            x: x.min(996),
            width: (duration_ms * 1000 / whole).max(4),
        }
    };
    steps.iter().map(drawn).collect()
}

/// Returns the states that a job was in, oldest first, each with the time that the job stayed there
/// if it has left the state.
pub(super) fn timeline(job: &JobRecord) -> Vec<(Entered, Option<String>)> {
    let next = job.timeline.iter().skip(1).map(|entered| Some(entered.at_ms)).chain([None]);
    let entered = job.timeline.iter().zip(next).map(|(entered, left)| {
        let stayed = left.map(|left| span(left.saturating_sub(entered.at_ms)));
        (*entered, stayed)
    });
    entered.collect()
}
