//! The sentences about jobs, by state.

use mission_core::{Failure, Report};
use uuid::Uuid;

use super::*;
use crate::queue::{Busy, Slots};

const NOW: u64 = 1_700_000_000_000;

fn job(state: State) -> JobRecord {
    let fields = [
        ("state", state.as_str()),
        ("attempts", "3"),
        ("max_attempts", "12"),
        ("runs", "3"),
        ("next_at", "1700000012000"),
        ("started_at", "1699999997000"),
        ("worker", "worker-1"),
    ];
    JobRecord::read(Uuid::from_u128(1), &fields.into(), &[]).expect("it has a state")
}

fn failed(state: State, failure: Failure) -> JobRecord {
    JobRecord { failure: Some(failure), ..job(state) }
}

fn told(job: &JobRecord) -> (String, Option<String>) {
    let Story { sentence, remedy, .. } = Story::of(job, Reader::Page, NOW);
    (sentence, remedy)
}

#[test]
fn every_state_has_a_sentence_that_ends() {
    for state in State::ALL {
        let (sentence, _) = told(&job(state));
        assert!(
            ["It ", "A newer", "Needs "].iter().any(|begin| sentence.starts_with(begin)),
            "{state}: {sentence}"
        );
        assert!(sentence.ends_with('.'), "{state}: {sentence}");
    }
}

#[test]
fn the_command_of_the_remedy_is_shown_with_its_place() {
    let line = "openclaw devices approve ab12";
    let remedy = Remedy::gateway_host("approve the device").with_command(line);
    let failure = Failure::new("pairing_required", "pairing required").with_remedy(remedy);
    let story = Story::of(&failed(State::Blocked, failure.clone()), Reader::Page, NOW);
    assert_eq!(story.sentence, "Needs action: pairing required.");
    assert_eq!(story.remedy.as_deref(), Some("Approve the device, then press Retry."));
    let command = Command { line: line.to_owned(), place: "on the gateway's machine" };
    assert_eq!(story.command, Some(command));
    let done = Story::of(&failed(State::Done, failure), Reader::Page, NOW);
    assert_eq!((done.remedy, done.command), (None, None));
}

/// The words of a remedy are shown and never looked at.
#[test]
fn whether_a_retry_helps_is_not_read_from_the_text() {
    let text = "do it in the main backend, with `openclaw doctor`, then retry the job";
    let shown = |state, remedy: Remedy| {
        let failure = Failure::new("x", "refused").with_remedy(remedy);
        let story = Story::of(&failed(state, failure), Reader::Page, NOW);
        assert_eq!(story.command, None);
        story.remedy.unwrap_or_default()
    };
    let text_shown = "Do it in the main backend, with `openclaw doctor`, then retry the job";
    for state in [State::Blocked, State::Dead] {
        let again = shown(state, Remedy::gateway_host(text));
        assert_eq!(again, format!("{text_shown}, then press Retry."));
        let anew = shown(state, Remedy::backend(text));
        let expected = format!("{text_shown}, and send the job again from the main backend: ");
        assert!(anew.starts_with(&expected), "{anew}");
        assert_eq!(anew.contains("press Retry"), state == State::Blocked, "{anew}");
    }
    let refused = Failure::new("x", "refused").of_gateway().with_remedy(Remedy::connection(text));
    let story = Story::of(&failed(State::Blocked, refused), Reader::Page, NOW);
    let freed = story.remedy.unwrap_or_default();
    let expected = format!("{text_shown}. The gateway's next job brings the new connection");
    assert!(freed.starts_with(&expected) && freed.ends_with("press Retry."), "{freed}");
    let dead = shown(State::Dead, Remedy::connection(text));
    assert_eq!(dead, format!("{text_shown}, then press Retry."));
}

#[test]
fn on_a_terminal_what_is_pressed_is_a_command() {
    let story = Story::of(
        &failed(State::Dead, Failure::new("timeout", "no answer")),
        Reader::Terminal,
        NOW,
    );
    let remedy = story.remedy.unwrap_or_default();
    assert!(
        remedy.contains("`worker jobs retry 00000000-0000-0000-0000-000000000001`"),
        "{remedy}"
    );
    assert!(story.sentence.ends_with("no answer."));
}

#[test]
fn a_wait_says_how_long_and_which_attempt_comes() {
    let (sentence, _) =
        told(&failed(State::Retrying, Failure::new("unreachable", "cannot reach it")));
    assert_eq!(sentence, "It is tried again in 12 s, attempt 4 of 12: cannot reach it.");
    let away = Failure::new("unreachable", "cannot reach it").of_gateway();
    let (sentence, _) = told(&failed(State::Retrying, away));
    let expected = "It waits for its gateway, which is tried again in 12 s: cannot reach it.";
    assert_eq!(sentence, expected);
}

#[test]
fn a_job_that_waits_by_a_clock_that_was_ahead_says_so_and_how_to_run_it() {
    let ahead = |state: State, ms: u64| {
        let fields = [
            ("state", state.to_string()),
            ("enqueued_at", (NOW + ms).to_string()),
            ("next_at", (NOW + ms + 1000).to_string()),
        ];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        JobRecord::read(Uuid::from_u128(1), &fields.into(), &[]).expect("it has a state")
    };
    let hour = ahead(State::Scheduled, 3_600_000);
    assert_eq!(clock_ahead(&hour, NOW), Some(3_600_000));
    let (sentence, remedy) = told(&hour);
    assert!(sentence.starts_with("It runs for the first time in 1 h"), "{sentence}");
    assert!(sentence.ends_with("while Redis's clock was 1 h ahead."), "{sentence}");
    assert_eq!(remedy.as_deref(), Some("To run it now, press Retry."));
    for fine in [ahead(State::Scheduled, 9_000), ahead(State::Done, 3_600_000)] {
        assert_eq!(clock_ahead(&fine, NOW), None);
    }
}

#[test]
fn a_job_that_lost_its_worker_says_that_it_waits_to_run_alone() {
    let lost = Failure::new("lease_lost", "Worker w stopped renewing its lease.");
    let (sentence, _) = told(&JobRecord { lost: 1, ..failed(State::Ready, lost) });
    assert!(sentence.starts_with("It waits to run alone, because"), "{sentence}");
}

#[test]
fn a_job_that_waits_for_a_slot_says_who_takes_them() {
    let busy = Busy { gateway: Uuid::nil(), name: Some("Acme".to_owned()), running: 9 };
    let slots = Slots { all: 10, in_use: 9, full: true, busiest: vec![busy] };
    let summary = Summary { at_ms: NOW, slots, ..Summary::default() };
    let told = |job: &JobRecord| Story::within(&summary, job, Reader::Page).sentence;
    let expected = "It waits for a free slot: 9 of 10 slots are taken, most by Acme (9).";
    assert_eq!(told(&job(State::Ready)), expected);
    assert!(told(&job(State::Running)).starts_with("It has run"));
}

#[test]
fn a_job_that_is_done_says_what_was_done() {
    let report = Report { summary: "nothing to change".to_owned(), ..Report::default() };
    let done = JobRecord { report: Some(report), ..job(State::Done) };
    assert_eq!(told(&done), ("It is done: nothing to change.".to_owned(), None));
}
