//! A job in sentences: where it stands, why, and what a person can do about it. The same on a page
//! and on a terminal.

use mission_core::humanize::span;

use crate::queue::{JobRecord, State};

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
    /// One sentence: where it stands and why. A piece between backticks is to be typed or read
    /// literally.
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
            format!(
                "It waits for a free worker, or for its turn among the jobs of its gateway{}.",
                again(job)
            )
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
        State::Done => job
            .report
            .as_ref()
            .and_then(|report| report.get("summary")?.as_str())
            .map(str::to_owned),
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
    format!(
        "It has run for {since}{worker}, attempt {} of {}{stopping}.",
        job.attempts, job.max_attempts
    )
}

fn done(job: &JobRecord) -> String {
    let said = job
        .report
        .as_ref()
        .and_then(|report| report.get("summary"))
        .and_then(|summary| summary.as_str());
    said.map_or_else(|| "It is done.".to_owned(), |summary| stop(format!("It is done: {summary}")))
}

fn snoozed(job: &JobRecord, until: &str) -> String {
    match (&job.snoozed_by, &job.failure) {
        (Some(by), _) => stop(format!("It was put off by hand and goes on {until}: {by}")),
        (None, Some(_)) => {
            format!("It goes on {until}, because its gateway asked for patience: {}", why(job))
        }
        (None, None) => format!("It goes on {until}."),
    }
}

fn dead(job: &JobRecord) -> String {
    let given_up = match job.reason.as_deref() {
        Some("attempts") => format!("It was given up after {} attempts", job.attempts),
        Some("poison") => {
            "It was given up because it lost its worker three times in a row".to_owned()
        }
        Some("snooze_deadline") => {
            "It was given up because its gateway was busy for 30 minutes".to_owned()
        }
        Some("expired") => "It was given up because its time was over".to_owned(),
        Some("invalid") => "It cannot be carried out as it stands".to_owned(),
        Some("permanent") => "It cannot succeed as it stands".to_owned(),
        _ => "It was given up".to_owned(),
    };
    if job.failure.is_some() { format!("{given_up}: {}", why(job)) } else { format!("{given_up}.") }
}

fn why(job: &JobRecord) -> String {
    stop(
        job.failure
            .as_ref()
            .map_or_else(|| "no reason was told".to_owned(), |failure| failure.message.clone()),
    )
}

fn remedy(job: &JobRecord, reader: Reader) -> Option<String> {
    let action = job.failure.as_ref().and_then(|failure| failure.action.as_deref()).map(capital);
    let retry = reader.retry(job);
    let then = |action: &str| {
        format!(
            "{}, then {retry}.",
            action
                .trim_end_matches('.')
                .trim_end_matches(" the job")
                .trim_end_matches(", then retry")
        )
    };
    // What stands in the job's own document is not made right by running it again.
    let from_backend =
        action.as_deref().is_some_and(|action| action.contains("in the main backend"));
    let again = |action: &str| {
        let action = action.trim_end_matches('.');
        format!(
            "{action}, and send the job again from there: it replaces this one. If it was put \
                right on the gateway, {retry}."
        )
    };
    match (job.state, action) {
        (State::Blocked, Some(action)) if from_backend => Some(again(&action)),
        (State::Blocked, None) => Some(then("See the gateway's log")),
        (State::Dead, Some(action)) if job.reason.as_deref() == Some("invalid") => {
            Some(stop(action))
        }
        (State::Blocked | State::Dead, Some(action)) => Some(then(&action)),
        (State::Dead, None) if job.reason.as_deref() == Some("expired") => {
            Some(format!("Enqueue it anew if it is still wanted, or {}.", reader.discard(job)))
        }
        (State::Dead, None) => Some(format!(
            "When the cause is gone, {retry}; if it is not wanted any more, {}.",
            reader.discard(job)
        )),
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

#[cfg(test)]
mod tests {
    use crate::queue::views::job_view::{LastFailure, Names};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn job(state: State) -> JobRecord {
        JobRecord {
            id: Uuid::from_u128(1),
            state,
            kind: "provision".to_owned(),
            lane: String::new(),
            subject: String::new(),
            attempts: 3,
            max_attempts: 12,
            runs: 3,
            lost: 0,
            enqueued_at_ms: NOW - 60_000,
            next_at_ms: Some(NOW + 12_000),
            started_at_ms: Some(NOW - 3_000),
            finished_at_ms: None,
            snoozed_since_ms: None,
            worker: Some("worker-1".to_owned()),
            reason: None,
            superseded_by: None,
            priority: 5,
            expires_at_ms: None,
            inherited: Vec::new(),
            snoozed_by: None,
            before: None,
            names: Names::default(),
            cancel: None,
            idempotency_key: None,
            timeline: Vec::new(),
            failure: None,
            report: None,
            history: Vec::new(),
            document: None,
        }
    }

    fn failed(state: State, code: &str, message: &str, action: Option<&str>) -> JobRecord {
        let (code, message, action) =
            (code.to_owned(), message.to_owned(), action.map(str::to_owned));
        JobRecord {
            failure: Some(LastFailure { code, message, action, method: None }),
            ..job(state)
        }
    }

    fn told(job: &JobRecord) -> (String, Option<String>) {
        let Story { sentence, remedy } = Story::of(job, Reader::Page, NOW);
        (sentence, remedy)
    }

    #[test]
    fn every_state_has_a_sentence_that_ends() {
        for state in State::ALL {
            let (sentence, _) = told(&job(state));
            assert!(
                sentence.starts_with("It ") || sentence.starts_with("A newer"),
                "{state}: {sentence}"
            );
            assert!(sentence.ends_with('.'), "{state}: {sentence}");
        }
    }

    #[test]
    fn a_command_for_the_gateway_is_found_in_the_remedy() {
        let action = "run `openclaw devices approve ab12` on the gateway";
        let story = Story::of(
            &failed(State::Blocked, "pairing_required", "pairing required", Some(action)),
            Reader::Page,
            NOW,
        );
        assert_eq!(story.sentence, "It waits for a person: pairing required.");
        let remedy = "Run `openclaw devices approve ab12` on the gateway, then press Retry.";
        assert_eq!(story.remedy.as_deref(), Some(remedy));
        assert_eq!(story.commands(), ["openclaw devices approve ab12"]);
    }

    #[test]
    fn what_stands_in_the_document_is_not_made_right_by_a_retry() {
        let action = "set the gateway's token in the main backend";
        let (_, remedy) = told(&failed(State::Blocked, "unauthorized", "refused", Some(action)));
        let remedy = remedy.unwrap_or_default();
        assert!(remedy.contains("send the job again from there"), "{remedy}");
    }

    #[test]
    fn on_a_terminal_what_is_pressed_is_a_command() {
        let story =
            Story::of(&failed(State::Dead, "timeout", "no answer", None), Reader::Terminal, NOW);
        let remedy = story.remedy.unwrap_or_default();
        assert!(
            remedy.contains("`worker jobs retry 00000000-0000-0000-0000-000000000001`"),
            "{remedy}"
        );
        assert!(story.sentence.ends_with("no answer."));
    }

    #[test]
    fn a_wait_says_how_long_and_which_attempt_comes() {
        let (sentence, _) = told(&failed(State::Retrying, "unreachable", "cannot reach it", None));
        assert_eq!(sentence, "It is tried again in 12 s, attempt 4 of 12: cannot reach it.");
    }

    #[test]
    fn a_job_that_is_done_says_what_was_done() {
        let done = JobRecord {
            report: Some(json!({ "summary": "nothing to change" })),
            ..job(State::Done)
        };
        assert_eq!(told(&done), ("It is done: nothing to change.".to_owned(), None));
    }
}
