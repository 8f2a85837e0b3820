//! The explanation of a job in sentences: its state, the reason, and the remedy. Pages and the
//! terminal show the same sentences.

use mission_core::humanize::{count, span};
use mission_core::{Remedy, Scope};

use crate::queue::{JobRecord, State, Summary};
use crate::retry::DeadReason;

/// The difference of Redis's clock, in ms, that is not worth a word: clocks are corrected by a few
/// seconds, and the present time may have been read a moment before the job.
const CLOCK_TOLERANCE_MS: u64 = 10_000;

/// The reader of an explanation. A button of a page is a command on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A person who uses the dashboard.
    Page,
    /// A person who uses a terminal.
    Terminal,
}

impl Reader {
    /// Tells the reader to carry out an action on a job.
    fn act(self, action: &str, job: &JobRecord) -> String {
        match self {
            Self::Page => format!("press {}", capital(action)),
            Self::Terminal => format!("run `worker jobs {action} {}`", job.id),
        }
    }
}

/// The explanation of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// The state of the job and the reason, in one sentence. Text between backticks is literal.
    pub sentence: String,
    /// The remedy in one or two sentences, if a person can act.
    pub remedy: Option<String>,
    /// The command of the remedy that can be run as it is.
    pub command: Option<Command>,
}

/// A command of a remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The command line.
    pub line: String,
    /// The place where to run it, such as `on the gateway's machine`; empty if it is not known.
    pub place: &'static str,
}

impl Story {
    /// Explains a job by a summary of its queue.
    #[must_use]
    pub fn within(summary: &Summary, job: &JobRecord, reader: Reader) -> Self {
        let mut story = Self::of(job, reader, summary.at_ms);
        let full = summary.slots.in_words().filter(|_| job.state == State::Ready && job.lost == 0);
        if let Some(full) = full {
            story.sentence = format!("It waits for a free slot: {full}{}.", again(job));
        }
        story
    }

    /// Explains a job at a time of Redis's clock.
    #[must_use]
    pub fn of(job: &JobRecord, reader: Reader, now_ms: u64) -> Self {
        let ahead = clock_ahead(job, now_ms);
        let at_once = || ahead.map(|_| format!("To run it now, {}.", reader.act("retry", job)));
        let remedy = remedy(job, reader).or_else(at_once);
        let failure = job.failure.as_ref().filter(|_| remedy.is_some());
        let command = failure.and_then(|failure| Command::of(&failure.remedy));
        let mut sentence = sentence(job, now_ms);
        if let Some(ahead) = ahead {
            let ahead = span(ahead);
            sentence =
                format!("{sentence} Its times were set while Redis's clock was {ahead} ahead.");
        }
        Self { sentence, remedy, command }
    }
}

impl Command {
    /// Returns the command of a remedy, if it has one.
    #[must_use]
    pub fn of(remedy: &Remedy) -> Option<Self> {
        let place = remedy.actor.place().unwrap_or_default();
        remedy.command.clone().map(|line| Self { line, place })
    }
}

/// Returns by how much Redis's clock was ahead of the present one, in ms, when the time was set for
/// which a job waits. The clock has been set back since, so the job waits for that much longer.
#[must_use]
pub fn clock_ahead(job: &JobRecord, now_ms: u64) -> Option<u64> {
    let entered = job.timeline.last().map_or(job.enqueued_at_ms, |entered| entered.at_ms);
    let ahead = entered.saturating_sub(now_ms);
    (job.state.is_waiting() && ahead > CLOCK_TOLERANCE_MS).then_some(ahead)
}

fn sentence(job: &JobRecord, now_ms: u64) -> String {
    let since = |at: Option<u64>| span(now_ms.saturating_sub(at.unwrap_or(now_ms)));
    let until = |at: Option<u64>| match at {
        Some(at) if at > now_ms => format!("in {}", span(at - now_ms)),
        _ => "at once".to_owned(),
    };
    match job.state {
        State::Scheduled => format!("It runs for the first time {}.", until(job.next_at_ms)),
        State::Ready if job.lost > 0 => format!(
            "It waits to run alone, because it may be what ended its worker. A worker that runs \
             nothing else does so, one such job at a time{}.",
            again(job)
        ),
        State::Ready => {
            format!(
                "It waits for a free worker, or for its turn among the jobs of its gateway{}.",
                again(job)
            )
        }
        State::Running => running(job, &since(job.started_at_ms)),
        State::Retrying if is_of_gateway(job) => {
            format!(
                "It waits for its gateway, which is tried again {}: {}",
                until(job.next_at_ms),
                why(job)
            )
        }
        State::Retrying => format!(
            "It is tried again {}, attempt {} of {}: {}",
            until(job.next_at_ms),
            job.attempts + 1,
            job.max_attempts,
            why(job)
        ),
        State::Snoozed => snoozed(job, &until(job.next_at_ms)),
        State::Blocked => format!("Needs action: {}", why(job)),
        State::Done => done(job),
        State::Dead => dead(job),
        State::Superseded => "A newer job of the same agent replaced it.".to_owned(),
        State::Cancelled => match job.reason.as_deref().filter(|reason| !reason.is_empty()) {
            Some(reason) => stop(format!("It was cancelled: {reason}")),
            None => "It was cancelled.".to_owned(),
        },
    }
}

/// Returns the explanation for a row of a list that shows the state already.
#[must_use]
pub fn brief(job: &JobRecord) -> String {
    let failure = job.failure.as_ref().map(|failure| failure.message.clone());
    let text = match job.state {
        State::Done => job.report.as_ref().map(|report| report.summary.clone()),
        State::Superseded => Some("replaced by a newer job".to_owned()),
        State::Cancelled => job.reason.clone(),
        State::Running if job.cancel.is_some() => Some("being stopped".to_owned()),
        State::Running => job.worker.as_ref().map(|worker| format!("runs on {worker}")),
        State::Snoozed if job.snoozed_by.is_some() => {
            job.snoozed_by.as_ref().map(|by| format!("snoozed by hand: {by}"))
        }
        _ => failure,
    };
    text.unwrap_or_default()
}

/// Returns whether the last failure was the gateway's, which costs a job no attempt.
fn is_of_gateway(job: &JobRecord) -> bool {
    job.failure.as_ref().is_some_and(|failure| failure.scope == Scope::Gateway)
}

/// Describes the last run of a job that is ready again.
fn again(job: &JobRecord) -> String {
    match (&job.failure, job.runs) {
        (Some(failure), 1..) => format!("; its last run failed: {}", failure.message),
        _ => String::new(),
    }
}

fn running(job: &JobRecord, since: &str) -> String {
    let worker = job.worker.as_deref().map_or_else(String::new, |worker| format!(" on {worker}"));
    let stopping = if job.cancel.is_some() { "; it is being stopped" } else { "" };
    format!(
        "It has run for {since}{worker}, attempt {} of {}{stopping}.",
        job.attempts, job.max_attempts
    )
}

fn done(job: &JobRecord) -> String {
    let summary = job.report.as_ref().map_or("", |report| &report.summary);
    if summary.is_empty() {
        "It is done.".to_owned()
    } else {
        stop(format!("It is done: {summary}"))
    }
}

fn snoozed(job: &JobRecord, until: &str) -> String {
    match (&job.snoozed_by, &job.failure) {
        (Some(by), _) => stop(format!("It was snoozed by hand and continues {until}: {by}")),
        (None, Some(_)) => {
            format!("It continues {until}, because its gateway asked to wait: {}", why(job))
        }
        (None, None) => format!("It continues {until}."),
    }
}

fn dead(job: &JobRecord) -> String {
    let given_up = match job.reason.as_deref().and_then(DeadReason::from_name) {
        Some(DeadReason::Attempts) => {
            &format!("It was given up after {}", count(job.attempts.into(), "attempt"))
        }
        Some(DeadReason::Poison) => {
            "It was given up because it lost its worker three times in a row while it ran alone"
        }
        Some(DeadReason::SnoozeDeadline) => {
            "It was given up because it was snoozed for 30 minutes in a row"
        }
        Some(DeadReason::GatewayGone) => {
            "It was given up because its gateway was away for too long"
        }
        Some(DeadReason::Expired) => "It was given up because it expired",
        Some(DeadReason::Invalid) => "It is not a valid job",
        Some(DeadReason::Permanent) => "It cannot succeed without a change",
        None => "It was given up",
    };
    if job.failure.is_some() { format!("{given_up}: {}", why(job)) } else { format!("{given_up}.") }
}

fn why(job: &JobRecord) -> String {
    let message = job.failure.as_ref().map_or("no reason is known", |failure| &failure.message);
    stop(message.to_owned())
}

fn remedy(job: &JobRecord, reader: Reader) -> Option<String> {
    let remedy = job.failure.as_ref().map(|failure| &failure.remedy);
    let text = remedy.and_then(Remedy::text).map(capital);
    // A job whose document is wrong fails again if it is only retried.
    let retry_helps = remedy.is_none_or(|remedy| remedy.retry_helps);
    let retry = reader.act("retry", job);
    let anew = |text: &str| {
        format!("{text}, and send the job again from the main backend: it replaces this one.")
    };
    match (job.state, text) {
        (State::Blocked | State::Dead, Some(text)) if retry_helps => {
            Some(format!("{text}, then {retry}."))
        }
        (State::Blocked, Some(text)) => {
            Some(format!("{} If it was fixed on the gateway, {retry}.", anew(&text)))
        }
        (State::Dead, Some(text)) => Some(anew(&text)),
        (State::Blocked, None) => Some(format!("See the gateway's log, then {retry}.")),
        (State::Dead, None) => Some(format!(
            "When the cause is fixed, {retry}; if the job is no longer needed, {}.",
            reader.act("discard", job)
        )),
        (State::Retrying | State::Snoozed, Some(text)) => Some(stop(text)),
        _ => None,
    }
}

/// Returns the text with a capital first letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the text with a full stop at its end.
fn stop(text: String) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text } else { text + "." }
}

#[cfg(test)]
mod tests {
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
}
