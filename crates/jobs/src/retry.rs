//! The retry policy: decides what happens to a job after a run, and how long it waits.
//!
//! A job that keeps failing goes through these steps:
//!
//! 1. A run that fails (`Transient`, or `Ambiguous` when nobody knows whether a write arrived)
//!    counts as an attempt. The job waits 1 s, 2 s, 4 s, 8 s, 16 s, 32 s, 64 s, 128 s, 256 s, and
//!    then 300 s each time, all ±20 %. After the 12th attempt, about 18 minutes of waiting, it is
//!    dead with reason `attempts`.
//! 2. If the gateway could not be reached, the run does not count: the job waits with its lane. The
//!    lane waits by the same series, which then counts the failures in a row of the lane. After
//!    each wait one job probes the gateway, until one gets through.
//! 3. If the gateway is busy, the run does not count either. The job is snoozed for as long as the
//!    gateway asks, at least 1 s (growing by half with each uncounted run up to 10 s) and at most 5
//!    min; 2 s if the gateway gives no time. A gateway that has been away or busy for 7 days in a
//!    row is given up: its jobs are dead with reason `gateway_gone` when they are tried.
//! 4. If a person has to act (`Blocked`), the run does not count either. The job is tried again
//!    every 10 min, and at once when a person retries it or another job gets through to the gateway
//!    that refused it.
//! 5. A dead job is kept for 30 days. A person can retry it with all its attempts, or discard it. A
//!    `Permanent` failure makes a job dead at once, as does the third lease in a row that is lost
//!    with its worker while the job ran alone (reason `poison`).
//!
use std::time::Duration;

use mission_core::{Backoff, Outcome, Scope};

/// The shortest time to leave a busy gateway alone, whatever it asks for. It grows with each run of
/// the job that did not count.
const BUSY_MIN: Backoff =
    Backoff::new(Duration::from_secs(1), Duration::from_secs(10)).with_factor(1.5);
/// The longest time to leave a busy gateway alone, whatever it asks for.
const BUSY_MAX: Duration = Duration::from_secs(5 * 60);
/// The time to leave a busy gateway alone that does not ask for one.
const BUSY_DEFAULT: Duration = Duration::from_secs(2);

/// Holds the delays between runs and their upper bounds.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The delays after failed attempts. By default 1 s after the first, doubled with each further
    /// one up to 5 min, ±20 %.
    pub backoff: Backoff,
    /// The longest time that a job may be snoozed in a row without its gateway being the reason.
    /// Default 30 min.
    pub snooze_limit: Duration,
    /// The time after which jobs of a gateway that is away or busy all along are dead; zero waits
    /// for ever. Default 7 days.
    pub give_up_gateway_after: Duration,
    /// The interval at which a blocked job is tried again without a person. Default 10 min.
    pub reprobe: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(5 * 60))
                .with_jitter(0.2),
            snooze_limit: Duration::from_secs(30 * 60),
            give_up_gateway_after: Duration::from_secs(7 * 24 * 3600),
            reprobe: Duration::from_secs(10 * 60),
        }
    }
}

/// The decision about a job after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The job is done.
    Done,
    /// The job is tried again after the delay, and the run counts.
    Retry(Duration),
    /// The gateway is away. The job is tried again after the delay, and the run does not count.
    Wait(Duration),
    /// The job is tried again after the delay. The run does not count, but
    /// [`RetryPolicy::snooze_limit`] applies if the gateway is not the reason.
    Snooze(Duration),
    /// A person has to act, but the job is tried again after the delay all the same. The run does
    /// not count.
    Block(Duration),
    /// The job is dead.
    Dead(DeadReason),
}

/// The state of the gateway as a run found it, which concerns all jobs of the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum GatewaySignal {
    /// The run says nothing certain about the gateway.
    #[strum(serialize = "")]
    Nothing,
    /// The gateway serves this worker.
    Reached,
    /// The gateway answers, but refuses this worker until a person has acted.
    Blocked,
    /// The gateway asks to be left alone for this time.
    Busy(Duration),
    /// The gateway is restarting. It is left alone for this time.
    Restarting(Duration),
    /// The gateway cannot be reached. It is left alone for this time, and then tried with one job.
    Unreachable(Duration),
}

impl GatewaySignal {
    /// Returns the name on the wire, which is empty for [`Self::Nothing`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the time to leave the gateway alone.
    #[must_use]
    pub const fn leave_alone(self) -> Duration {
        match self {
            Self::Nothing | Self::Reached | Self::Blocked => Duration::ZERO,
            Self::Busy(delay) | Self::Restarting(delay) | Self::Unreachable(delay) => delay,
        }
    }
}

/// Holds the figures of a run that the retry policy uses.
#[derive(Debug, Clone, Copy)]
pub struct AttemptInfo {
    /// The number of the run among those that count, from 1.
    pub attempt: u32,
    /// The number of runs that may count before the job is dead.
    pub max_attempts: u32,
    /// The number of runs in a row that could not reach the gateway before this run began.
    pub lane_failures: u32,
    /// The number of runs of the job that did not count. Most of them met a busy gateway.
    pub uncounted: u32,
}

/// The reason why a job is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DeadReason {
    /// The run reported a failure that no retry can fix.
    Permanent,
    /// All attempts are used up.
    Attempts,
    /// The stored job cannot be read: malformed, or of an unknown kind or version.
    Invalid,
    /// Three leases in a row were lost while the job ran alone, as if it killed its workers. The
    /// queue's scripts decide this.
    Poison,
    /// The job was snoozed for longer than [`RetryPolicy::snooze_limit`]. The queue's scripts
    /// decide this.
    SnoozeDeadline,
    /// The gateway was away for longer than [`RetryPolicy::give_up_gateway_after`]. The queue's
    /// scripts decide this.
    GatewayGone,
    /// The job was not done before it expired. The queue's scripts decide this.
    Expired,
}

impl DeadReason {
    /// Returns the reason of that name on the wire, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns the name on the wire, such as `poison`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl RetryPolicy {
    /// Decides what happens to a job after a run with this outcome, and what the outcome says about
    /// its gateway.
    #[must_use]
    pub fn dispose(&self, outcome: &Outcome, info: AttemptInfo) -> (Disposition, GatewaySignal) {
        let of_gateway = outcome.failure().is_some_and(|failure| failure.scope == Scope::Gateway);
        let to_lane = |signal| if of_gateway { signal } else { GatewaySignal::Nothing };
        match outcome {
            Outcome::Done(report) if report.gateway.is_some() => {
                (Disposition::Done, GatewaySignal::Reached)
            }
            Outcome::Done(_) => (Disposition::Done, GatewaySignal::Nothing),
            Outcome::Transient(_) | Outcome::Ambiguous(_) => {
                // The lane sets the pace at which an unreachable gateway is tried again, whichever
                // job does it.
                let failures = if of_gateway { info.lane_failures + 1 } else { info.attempt };
                let delay = self.backoff.delay(failures);
                let disposition = if of_gateway {
                    Disposition::Wait(delay)
                } else if info.attempt >= info.max_attempts {
                    Disposition::Dead(DeadReason::Attempts)
                } else {
                    Disposition::Retry(delay)
                };
                (disposition, to_lane(GatewaySignal::Unreachable(delay)))
            }
            Outcome::Busy { retry_after, failure } => {
                // Some gateways ask to be left alone for no time at all and stay busy.
                let min = BUSY_MIN.delay(info.uncounted.saturating_add(1));
                let delay = retry_after.unwrap_or(BUSY_DEFAULT).clamp(min, BUSY_MAX);
                let signal = match failure.code.as_str() {
                    "gateway_restarting" | "gateway_starting" => GatewaySignal::Restarting(delay),
                    _ => GatewaySignal::Busy(delay),
                };
                (Disposition::Snooze(delay), to_lane(signal))
            }
            Outcome::Blocked(_) => {
                (Disposition::Block(self.reprobe), to_lane(GatewaySignal::Blocked))
            }
            Outcome::Permanent(_) => {
                (Disposition::Dead(DeadReason::Permanent), GatewaySignal::Nothing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mission_core::outcome::GatewayFacts;
    use mission_core::{Failure, Report};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failure() -> Failure {
        Failure::new("refused", "connection refused")
    }

    fn busy(retry_after: Option<Duration>) -> Outcome {
        Outcome::Busy { retry_after, failure: failure().of_gateway() }
    }

    fn of_12(attempt: u32) -> AttemptInfo {
        AttemptInfo { attempt, max_attempts: 12, lane_failures: 0, uncounted: 0 }
    }

    fn dispose(outcome: &Outcome, info: AttemptInfo) -> (Disposition, GatewaySignal) {
        let policy = RetryPolicy::default();
        let backoff = policy.backoff.with_jitter(0.0);
        RetryPolicy { backoff, ..policy }.dispose(outcome, info)
    }

    #[test]
    fn a_failure_of_the_gateway_is_a_signal_to_its_lane() {
        let restarts = |code| {
            let failure = Failure::new(code, "restarting").of_gateway();
            Outcome::Busy { retry_after: Some(SECOND), failure }
        };
        let reached = Report { gateway: Some(GatewayFacts::default()), ..Report::default() };
        for (outcome, lane_failures, signal) in [
            (Outcome::Transient(failure()), 3, GatewaySignal::Nothing),
            (Outcome::Transient(failure().of_gateway()), 0, GatewaySignal::Unreachable(SECOND)),
            (Outcome::Ambiguous(failure().of_gateway()), 3, GatewaySignal::Unreachable(SECOND * 8)),
            (Outcome::Blocked(failure().of_gateway()), 0, GatewaySignal::Blocked),
            (busy(Some(SECOND * 7)), 0, GatewaySignal::Busy(SECOND * 7)),
            (restarts("gateway_restarting"), 0, GatewaySignal::Restarting(SECOND)),
            (restarts("gateway_starting"), 0, GatewaySignal::Restarting(SECOND)),
            (Outcome::Done(Box::default()), 0, GatewaySignal::Nothing),
            (Outcome::Done(Box::new(reached)), 0, GatewaySignal::Reached),
        ] {
            let info = AttemptInfo { lane_failures, ..of_12(12) };
            assert_eq!(dispose(&outcome, info).1, signal, "{outcome:?}");
        }
    }

    #[test]
    fn each_outcome_has_its_disposition() {
        for (outcome, attempt, disposition) in [
            (Outcome::Done(Box::default()), 12, Disposition::Done),
            (Outcome::Transient(failure()), 3, Disposition::Retry(SECOND * 4)),
            (Outcome::Ambiguous(failure()), 1, Disposition::Retry(SECOND)),
            (Outcome::Transient(failure()), 12, Disposition::Dead(DeadReason::Attempts)),
            (Outcome::Ambiguous(failure()), 12, Disposition::Dead(DeadReason::Attempts)),
            (Outcome::Transient(failure().of_gateway()), 12, Disposition::Wait(SECOND)),
            (Outcome::Ambiguous(failure().of_gateway()), 99, Disposition::Wait(SECOND)),
            (Outcome::Blocked(failure()), 12, Disposition::Block(SECOND * 600)),
            (Outcome::Permanent(failure()), 1, Disposition::Dead(DeadReason::Permanent)),
        ] {
            assert_eq!(dispose(&outcome, of_12(attempt)).0, disposition, "{outcome:?}");
        }
    }

    #[test]
    fn a_busy_gateway_is_left_alone_within_bounds() {
        for (asked, given) in [
            (None, BUSY_DEFAULT),
            (Some(Duration::ZERO), SECOND),
            (Some(SECOND * 7), SECOND * 7),
            (Some(SECOND * 86_400), BUSY_MAX),
        ] {
            assert_eq!(dispose(&busy(asked), of_12(12)).0, Disposition::Snooze(given));
        }
    }

    #[test]
    fn a_gateway_that_is_busy_for_no_time_is_asked_ever_less() {
        let after = |uncounted| {
            let info = AttemptInfo { uncounted, ..of_12(1) };
            match dispose(&busy(Some(Duration::ZERO)), info) {
                (Disposition::Snooze(delay), GatewaySignal::Busy(alone)) if delay == alone => delay,
                other => panic!("a busy gateway is left alone, not {other:?}"),
            }
        };
        let waited = |runs| (0..runs).map(after).sum::<Duration>();
        assert!(waited(5) < SECOND * 15 && waited(6) >= SECOND * 15);
        assert_eq!(after(u32::MAX), BUSY_MIN.max());
    }
}
