//! A job in sentences: where it stands, why, and what a person can do about it. The same on a page and on a terminal.

use mission_jobs::{JobRecord, State};

use crate::words::span;

/// Who reads it: what is pressed on a page is a command on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Somebody with the dashboard.
    Page,
    /// Somebody with a terminal.
    Terminal,
}

impl Reader {
    fn retry(self, job: &JobRecord) -> String {
        match self {
            Self::Page => "press Retry".to_owned(),
            Self::Terminal => format!("run `worker jobs retry {}`", job.id),
        }
    }

    fn discard(self, job: &JobRecord) -> String {
        match self {
            Self::Page => "press Discard".to_owned(),
            Self::Terminal => format!("run `worker jobs discard {}`", job.id),
        }
    }
}

/// What is to be said of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// One sentence: where it stands and why. A piece between backticks is to be typed or read literally.
    pub sentence: String,
    /// What a person can do, if there is anything: one sentence, as above.
    pub remedy: Option<String>,
}

impl Story {
    /// Tells it, at a time of Redis's clock.
    #[must_use]
    pub fn of(job: &JobRecord, reader: Reader, now_ms: u64) -> Self {
        Self { sentence: sentence(job, now_ms), remedy: remedy(job, reader) }
    }

    /// The commands in the remedy that are to be run on the gateway.
    #[must_use]
    pub fn commands(&self) -> Vec<&str> {
        let quoted = self.remedy.iter().flat_map(|remedy| remedy.split('`').skip(1).step_by(2));
        quoted.filter(|text| text.starts_with("openclaw ")).collect()
    }
}

fn sentence(job: &JobRecord, now_ms: u64) -> String {
    let since = |at: Option<u64>| span(now_ms.saturating_sub(at.unwrap_or(now_ms)));
    let until = |at: Option<u64>| match at {
        Some(at) if at > now_ms => format!("in {}", span(at - now_ms)),
        _ => "at once".to_owned(),
    };
    match job.state {
        State::Scheduled => format!("It is to run for the first time {}.", until(job.next_at_ms)),
        State::Ready => {
            format!("It waits for a free worker, or for its turn among the jobs of its gateway{}.", again(job))
        }
        State::Running => running(job, &since(job.started_at_ms)),
        State::Retrying => format!(
            "It is tried again {}, attempt {} of {}: {}",
            until(job.next_at_ms),
            job.attempts + 1,
            job.max_attempts,
            why(job)
        ),
        State::Snoozed => snoozed(job, &until(job.next_at_ms)),
        State::Blocked => format!("It waits for a person: {}", why(job)),
        State::Done => done(job),
        State::Dead => dead(job),
        State::Superseded => "A newer job of the same agent took its place.".to_owned(),
        State::Cancelled => match job.reason.as_deref().filter(|reason| !reason.is_empty()) {
            Some(reason) => stop(format!("It was cancelled: {reason}")),
            None => "It was cancelled.".to_owned(),
        },
    }
}

/// Where a job stands, for a line of a list that names the state already.
#[must_use]
pub fn brief(job: &JobRecord) -> String {
    let failure = job.failure.as_ref().map(|failure| failure.message.clone());
    let text = match job.state {
        State::Done => job.report.as_ref().and_then(|report| report.get("summary")?.as_str()).map(str::to_owned),
        State::Superseded => Some("a newer job took its place".to_owned()),
        State::Cancelled => job.reason.clone(),
        State::Running if job.cancel.is_some() => Some("it is being stopped".to_owned()),
        State::Running => job.worker.as_ref().map(|worker| format!("runs on {worker}")),
        State::Snoozed if job.snoozed_by.is_some() => {
            job.snoozed_by.as_ref().map(|by| format!("put off by hand: {by}"))
        }
        _ => failure,
    };
    text.unwrap_or_default()
}

/// What a job that is ready has behind it.
fn again(job: &JobRecord) -> String {
    match (&job.failure, job.runs) {
        (Some(failure), 1..) => format!("; when it ran last: {}", failure.message),
        _ => String::new(),
    }
}

fn running(job: &JobRecord, since: &str) -> String {
    let worker = job.worker.as_deref().map_or_else(String::new, |worker| format!(" on {worker}"));
    let stopping = if job.cancel.is_some() { "; it is being stopped" } else { "" };
    format!("It has run for {since}{worker}, attempt {} of {}{stopping}.", job.attempts, job.max_attempts)
}

fn done(job: &JobRecord) -> String {
    let said = job.report.as_ref().and_then(|report| report.get("summary")).and_then(|summary| summary.as_str());
    said.map_or_else(|| "It is done.".to_owned(), |summary| stop(format!("It is done: {summary}")))
}

fn snoozed(job: &JobRecord, until: &str) -> String {
    match (&job.snoozed_by, &job.failure) {
        (Some(by), _) => stop(format!("It was put off by hand and goes on {until}: {by}")),
        (None, Some(_)) => format!("It goes on {until}, because its gateway asked for patience: {}", why(job)),
        (None, None) => format!("It goes on {until}."),
    }
}

fn dead(job: &JobRecord) -> String {
    let given_up = match job.reason.as_deref() {
        Some("attempts") => format!("It was given up after {} attempts", job.attempts),
        Some("poison") => "It was given up because it lost its worker three times in a row".to_owned(),
        Some("snooze_deadline") => "It was given up because its gateway was busy for 30 minutes".to_owned(),
        Some("expired") => "It was given up because its time was over".to_owned(),
        Some("invalid") => "It cannot be carried out as it stands".to_owned(),
        Some("permanent") => "It cannot succeed as it stands".to_owned(),
        _ => "It was given up".to_owned(),
    };
    if job.failure.is_some() { format!("{given_up}: {}", why(job)) } else { format!("{given_up}.") }
}

fn why(job: &JobRecord) -> String {
    stop(job.failure.as_ref().map_or_else(|| "no reason was told".to_owned(), |failure| failure.message.clone()))
}

fn remedy(job: &JobRecord, reader: Reader) -> Option<String> {
    let action = job.failure.as_ref().and_then(|failure| failure.action.as_deref()).map(capital);
    let retry = reader.retry(job);
    let then = |action: &str| {
        format!(
            "{}, then {retry}.",
            action.trim_end_matches('.').trim_end_matches(" the job").trim_end_matches(", then retry")
        )
    };
    // What stands in the job's own document is not made right by running it again.
    let from_backend = action.as_deref().is_some_and(|action| action.contains("in the main backend"));
    let again = |action: &str| {
        let action = action.trim_end_matches('.');
        format!(
            "{action}, and send the job again from there: it replaces this one. If it was put right on the gateway, {retry}."
        )
    };
    match (job.state, action) {
        (State::Blocked, Some(action)) if from_backend => Some(again(&action)),
        (State::Blocked, None) => Some(then("See the gateway's log")),
        (State::Dead, Some(action)) if job.reason.as_deref() == Some("invalid") => Some(stop(action)),
        (State::Blocked | State::Dead, Some(action)) => Some(then(&action)),
        (State::Dead, None) if job.reason.as_deref() == Some("expired") => {
            Some(format!("Enqueue it anew if it is still wanted, or {}.", reader.discard(job)))
        }
        (State::Dead, None) => {
            Some(format!("When the cause is gone, {retry}; if it is not wanted any more, {}.", reader.discard(job)))
        }
        (State::Retrying | State::Snoozed, Some(action)) => Some(stop(action)),
        _ => None,
    }
}

/// The text with a capital letter to begin with.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The text with a full stop at its end.
fn stop(text: String) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text } else { text + "." }
}
