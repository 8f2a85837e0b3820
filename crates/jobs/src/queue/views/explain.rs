//! The explanation of a job in sentences: its state, the reason, and the remedy. Pages and the
//! terminal show the same sentences.

use mission_core::humanize::{count, span};
use mission_core::outcome::Actor;
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
    let of_connection = job.failure.as_ref().is_some_and(|failure| {
        failure.scope == Scope::Gateway && failure.remedy.actor == Actor::Backend
    });
    match (job.state, text) {
        // The queue does this by itself when it stores another connection.
        (State::Blocked, Some(text)) if retry_helps && of_connection => Some(format!(
            "{text}. The gateway's next job brings the new connection and frees this one, as \
                `worker gateways put FILE` does. If it was fixed on the gateway, {retry}."
        )),
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
mod tests;
