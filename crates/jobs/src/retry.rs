//! The retry policy: decides what happens to a job after a run, and how long it waits.
//!
//! A job that keeps failing goes through these steps:
//!
//! 1. A run that fails (`Transient`, or `Ambiguous` when nobody knows whether a write arrived)
//!    counts as an attempt. The job waits 1 s, 2 s, 4 s, 8 s, 16 s, 32 s, 64 s, 128 s, 256 s, and
//!    then 300 s each time, all ±20 %. After the 12th attempt, about 18 minutes of waiting, it is
//!    dead with reason `attempts`.
//! 2. If the gateway could not be reached, its whole lane waits by the same series, which then
//!    counts the failures in a row of the lane. After each wait one job probes the gateway, until
//!    one gets through.
//! 3. If the gateway is busy, the run does not count. The job is snoozed for as long as the gateway
//!    asks, at least 1 s (growing by half with each uncounted run up to 10 s) and at most 5 min; 2
//!    s if the gateway gives no time. After 30 min of this in a row it is dead with reason
//!    `snooze_deadline`.
//! 4. If a person has to act (`Blocked`), the run does not count either. The job is tried again
//!    every 10 min, and at once when a person retries it or another job gets through to the gateway
//!    that refused it.
//! 5. A dead job is kept for 30 days. A person can retry it with all its attempts, or discard it. A
//!    `Permanent` failure makes a job dead at once, as does the third lease in a row that is lost
//!    with its worker (reason `poison`).
//!
//! The delays come from the `backoff` crate. It is unmaintained (RUSTSEC-2025-0012) but small,
//! finished and without known faults. Only this file names it, and the rest of the project sees
//! only [`RetryPolicy`], so replacing the crate means changing one function.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use mission_core::{Outcome, Scope};

/// The shortest time to leave a busy gateway alone, whatever it asks for. It grows by half with
/// each run of the job that did not count, up to [`BUSY_PATIENT`].
pub const BUSY_MIN: Duration = Duration::from_secs(1);
/// The shortest time to leave a gateway alone that has been busy again and again.
pub const BUSY_PATIENT: Duration = Duration::from_secs(10);
/// The longest time to leave a busy gateway alone, whatever it asks for.
pub const BUSY_MAX: Duration = Duration::from_secs(5 * 60);
/// The time to leave a busy gateway alone that does not ask for one.
pub const BUSY_DEFAULT: Duration = Duration::from_secs(2);

/// Holds the delays between runs and their upper bounds. The operator's configuration sets them;
/// the defaults suit production.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The delay after the first failed attempt, which doubles with each further one. Default 1 s.
    pub initial: Duration,
    /// The longest delay, at which the doubling stops. Default 5 min.
    pub cap: Duration,
    /// The share by which each delay is spread evenly, up and down. 0 to 1, default 0.2.
    pub jitter: f64,
    /// The longest time that a busy gateway may put off a job in a row before the job is dead.
    /// Default 30 min.
    pub snooze_limit: Duration,
    /// The interval at which a blocked job is tried again without a person. Default 10 min.
    pub reprobe: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            cap: Duration::from_secs(5 * 60),
            jitter: 0.2,
            snooze_limit: Duration::from_secs(30 * 60),
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
    /// The job is tried again after the delay. The run does not count, but
    /// [`RetryPolicy::snooze_limit`] applies.
    Snooze(Duration),
    /// A person has to act, but the job is tried again after the delay all the same. The run does
    /// not count.
    Block(Duration),
    /// The job is dead.
    Dead(DeadReason),
}

/// The state of the gateway as a run found it, which concerns all jobs of the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewaySignal {
    /// The run says nothing certain about the gateway.
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
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Reached => "reached",
            Self::Blocked => "blocked",
            Self::Busy(_) => "busy",
            Self::Restarting(_) => "restarting",
            Self::Unreachable(_) => "unreachable",
        }
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

impl AttemptInfo {
    /// Returns the shortest time to leave a busy gateway alone. Some gateways ask to be left alone
    /// for no time at all and stay busy.
    fn busy_min(self) -> Duration {
        // Six runs are enough to reach the longest time.
        BUSY_MIN
            .mul_f64(1.5_f64.powi(i32::try_from(self.uncounted.min(6)).unwrap_or(6)))
            .min(BUSY_PATIENT)
    }
}

/// The reason why a job is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    /// The run reported a failure that no retry can fix.
    Permanent,
    /// All attempts are used up.
    Attempts,
    /// The stored job cannot be read: malformed, or of an unknown kind or version.
    Invalid,
    /// Three leases in a row were lost, as if the job killed its worker. The queue's scripts decide
    /// this.
    Poison,
    /// The gateway was busy for longer than [`RetryPolicy::snooze_limit`]. The queue's scripts
    /// decide this.
    SnoozeDeadline,
    /// The job was not done before it expired. The queue's scripts decide this.
    Expired,
}

impl DeadReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::Permanent,
        Self::Attempts,
        Self::Invalid,
        Self::Poison,
        Self::SnoozeDeadline,
        Self::Expired,
    ];

    /// Returns the reason of that name on the wire, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Returns the name on the wire, such as `poison`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Attempts => "attempts",
            Self::Invalid => "invalid",
            Self::Poison => "poison",
            Self::SnoozeDeadline => "snooze_deadline",
            Self::Expired => "expired",
        }
    }
}

impl RetryPolicy {
    /// Returns the delay after this number of failed attempts (1 is the first), spread by the
    /// jitter.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        self.nth(attempt, self.jitter)
    }

    /// Returns the delay after this number of failed attempts without jitter: 1 s, 2 s, 4 s … 5 min
    /// by default.
    #[must_use]
    pub fn base(&self, attempt: u32) -> Duration {
        self.nth(attempt, 0.0)
    }

    fn nth(&self, attempt: u32, jitter: f64) -> Duration {
        let mut backoff: ExponentialBackoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.initial)
            .with_multiplier(2.0)
            .with_max_interval(self.cap)
            .with_randomization_factor(jitter)
            .with_max_elapsed_time(None)
            .build();
        // After 64 doublings every delay is the cap.
        for _ in 1..attempt.min(64) {
            let _ = backoff.next_backoff();
        }
        backoff.next_backoff().unwrap_or(self.cap)
    }

    /// Decides what happens to a job after a run with this outcome, and what the outcome says about
    /// its gateway.
    #[must_use]
    pub fn dispose(&self, outcome: &Outcome, info: AttemptInfo) -> (Disposition, GatewaySignal) {
        let of_gateway = outcome.failure().is_some_and(|failure| failure.scope == Scope::Gateway);
        match outcome {
            Outcome::Done(report) => (
                Disposition::Done,
                if report.gateway.is_some() {
                    GatewaySignal::Reached
                } else {
                    GatewaySignal::Nothing
                },
            ),
            Outcome::Transient(_) | Outcome::Ambiguous(_) => {
                // The lane sets the pace at which an unreachable gateway is tried again, whichever
                // job does it.
                let delay =
                    self.delay(if of_gateway { info.lane_failures + 1 } else { info.attempt });
                let signal = if of_gateway {
                    GatewaySignal::Unreachable(delay)
                } else {
                    GatewaySignal::Nothing
                };
                let is_last = info.attempt >= info.max_attempts;
                (
                    if is_last {
                        Disposition::Dead(DeadReason::Attempts)
                    } else {
                        Disposition::Retry(delay)
                    },
                    signal,
                )
            }
            Outcome::Busy { retry_after, failure } => {
                let delay = retry_after.unwrap_or(BUSY_DEFAULT).clamp(info.busy_min(), BUSY_MAX);
                let signal = match failure.code.as_str() {
                    _ if !of_gateway => GatewaySignal::Nothing,
                    "gateway_restarting" | "gateway_starting" => GatewaySignal::Restarting(delay),
                    _ => GatewaySignal::Busy(delay),
                };
                (Disposition::Snooze(delay), signal)
            }
            Outcome::Blocked(_) => (
                Disposition::Block(self.reprobe),
                if of_gateway { GatewaySignal::Blocked } else { GatewaySignal::Nothing },
            ),
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

    fn failure() -> Failure {
        Failure::new("refused", "connection refused")
    }

    fn first_of_12(attempt: u32) -> AttemptInfo {
        AttemptInfo { attempt, max_attempts: 12, lane_failures: 0, uncounted: 0 }
    }

    #[test]
    fn a_failure_of_the_gateway_is_a_signal_to_its_lane() {
        let policy = RetryPolicy { jitter: 0.0, ..RetryPolicy::default() };
        let signal = |outcome: Outcome, lane_failures| {
            policy
                .dispose(
                    &outcome,
                    AttemptInfo { attempt: 12, max_attempts: 12, lane_failures, uncounted: 0 },
                )
                .1
        };
        let second = Duration::from_secs(1);
        assert_eq!(signal(Outcome::Transient(failure()), 3), GatewaySignal::Nothing);
        assert_eq!(
            signal(Outcome::Transient(failure().of_gateway()), 0),
            GatewaySignal::Unreachable(second)
        );
        assert_eq!(
            signal(Outcome::Ambiguous(failure().of_gateway()), 3),
            GatewaySignal::Unreachable(second * 8)
        );
        assert_eq!(signal(Outcome::Blocked(failure().of_gateway()), 0), GatewaySignal::Blocked);
        let busy = Outcome::Busy { retry_after: Some(second * 7), failure: failure().of_gateway() };
        assert_eq!(signal(busy, 0), GatewaySignal::Busy(second * 7));
        for code in ["gateway_restarting", "gateway_starting"] {
            let failure = Failure::new(code, "restarting").of_gateway();
            let busy = Outcome::Busy { retry_after: Some(second), failure };
            assert_eq!(signal(busy, 0), GatewaySignal::Restarting(second));
        }
        assert_eq!(signal(Outcome::Done(Box::default()), 0), GatewaySignal::Nothing);
        let gateway = Some(GatewayFacts {
            version: "dev".to_owned(),
            protocol: 4,
            ..GatewayFacts::default()
        });
        assert_eq!(
            signal(Outcome::Done(Box::new(Report { gateway, ..Report::default() })), 0),
            GatewaySignal::Reached
        );
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let seconds: Vec<u64> = (1..=12).map(|attempt| policy.base(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(policy.base(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn jitter_spreads_a_delay_by_a_fifth_at_most() {
        let policy = RetryPolicy::default();
        let delays: Vec<Duration> = (0..200).map(|_| policy.delay(5)).collect();
        let base = policy.base(5);
        assert!(
            delays
                .iter()
                .all(|delay| *delay >= base.mul_f64(0.799) && *delay <= base.mul_f64(1.201))
        );
        assert!(delays.iter().any(|delay| *delay < base.mul_f64(0.95)));
        assert!(delays.iter().any(|delay| *delay > base.mul_f64(1.05)));
    }

    #[test]
    fn each_outcome_has_its_disposition() {
        let policy = RetryPolicy { jitter: 0.0, ..RetryPolicy::default() };
        let after = |outcome: Outcome, attempt| policy.dispose(&outcome, first_of_12(attempt)).0;
        assert_eq!(after(Outcome::Done(Box::default()), 12), Disposition::Done);
        let third = Disposition::Retry(Duration::from_secs(4));
        assert_eq!(after(Outcome::Transient(failure()), 3), third);
        assert!(matches!(after(Outcome::Ambiguous(failure()), 1), Disposition::Retry(_)));
        assert_eq!(
            after(Outcome::Transient(failure()), 12),
            Disposition::Dead(DeadReason::Attempts)
        );
        assert_eq!(
            after(Outcome::Ambiguous(failure()), 12),
            Disposition::Dead(DeadReason::Attempts)
        );
        assert_eq!(
            after(Outcome::Blocked(failure()), 12),
            Disposition::Block(Duration::from_secs(10 * 60))
        );
        assert_eq!(
            after(Outcome::Permanent(failure()), 1),
            Disposition::Dead(DeadReason::Permanent)
        );
    }

    #[test]
    fn a_busy_gateway_is_left_alone_within_bounds() {
        let snooze = |retry_after| {
            RetryPolicy::default()
                .dispose(&Outcome::Busy { retry_after, failure: failure() }, first_of_12(12))
                .0
        };
        assert_eq!(snooze(None), Disposition::Snooze(BUSY_DEFAULT));
        assert_eq!(snooze(Some(Duration::ZERO)), Disposition::Snooze(BUSY_MIN));
        assert_eq!(
            snooze(Some(Duration::from_secs(7))),
            Disposition::Snooze(Duration::from_secs(7))
        );
        assert_eq!(snooze(Some(Duration::from_secs(86_400))), Disposition::Snooze(BUSY_MAX));
    }

    #[test]
    fn a_gateway_that_is_busy_for_no_time_is_asked_ever_less() {
        let (mut waited, mut runs) = (Duration::ZERO, 0);
        while waited < Duration::from_secs(15) {
            let outcome = Outcome::Busy {
                retry_after: Some(Duration::ZERO),
                failure: failure().of_gateway(),
            };
            let info = AttemptInfo { uncounted: runs, ..first_of_12(1) };
            let (Disposition::Snooze(delay), GatewaySignal::Busy(alone)) =
                RetryPolicy::default().dispose(&outcome, info)
            else {
                panic!("a busy gateway is left alone")
            };
            assert_eq!(delay, alone);
            (waited, runs) = (waited + delay, runs + 1);
        }
        assert_eq!(runs, 6);
        assert_eq!(AttemptInfo { uncounted: u32::MAX, ..first_of_12(1) }.busy_min(), BUSY_PATIENT);
    }
}
