//! The ends of runs as arguments of `ack.lua`.

use std::time::Duration;

use mission_core::Outcome;
use mission_core::applied::Applied;
use serde_json::json;

use crate::queue::redis::scripts::Ack;
use crate::queue::states::State;
use crate::queue::views::attempt::AttemptResult;
use crate::queue::worker::leases::UsedRecord;
use crate::retry::{Disposition, GatewaySignal};
use crate::run::RunResult;

/// Returns the end of a run that came to one by itself.
pub(crate) fn ack(
    ran: &RunResult,
    (disposition, signal): (Disposition, GatewaySignal),
    about: &str,
    used: Option<&UsedRecord>,
) -> Ack {
    let (state, delay, counts, reason) = match disposition {
        Disposition::Done => (State::Done, Duration::ZERO, true, ""),
        Disposition::Retry(delay) => (State::Retrying, delay, true, ""),
        Disposition::Wait(delay) => (State::Retrying, delay, false, ""),
        Disposition::Snooze(delay) => (State::Snoozed, delay, false, ""),
        Disposition::Block(delay) => (State::Blocked, delay, false, ""),
        Disposition::Dead(reason) => (State::Dead, Duration::ZERO, true, reason.as_str()),
    };
    let failure = ran.outcome.failure();
    let result = AttemptResult {
        outcome: ran.outcome.name().to_owned(),
        failure: failure.cloned(),
        stopped: None,
        steps: ran.steps.clone(),
    };
    let mut ack = Ack {
        delay,
        counts,
        reason,
        failure: failure.map(|failure| json!(failure).to_string()).unwrap_or_default(),
        signal: signal.as_str(),
        leave_alone: signal.leave_alone(),
        about: about.to_owned(),
        observed: used.map(|used| used.seq),
        carried: used.map(|used| used.owed.clone()).unwrap_or_default(),
        ..Ack::new(state, json!(result).to_string())
    };
    if let Outcome::Done(done) = &ran.outcome {
        ack.report = json!(done).to_string();
        ack.applied = ran.applied.as_ref().map(Applied::to_stored).unwrap_or_default();
        ack.facts = done.gateway.as_ref().map(|facts| json!(facts).to_string()).unwrap_or_default();
    }
    ack
}

/// Returns the end of a run that failed and that several jobs shared, for one of them: it runs again
/// by itself, so that only the job that is wrong ends as such.
pub(crate) fn apart(ran: &RunResult) -> Ack {
    let again = (Disposition::Retry(Duration::ZERO), GatewaySignal::Nothing);
    Ack { counts: false, reason: "apart", ..ack(ran, again, "", None) }
}

/// Returns the end of a run that was stopped because its job was cancelled.
pub(crate) fn cancel() -> Ack {
    let words = "stopped while running; the gateway may have been changed in part";
    let result = AttemptResult {
        outcome: "cancelled".to_owned(),
        stopped: Some(words.to_owned()),
        ..AttemptResult::default()
    };
    Ack::new(State::Cancelled, json!(result).to_string())
}
