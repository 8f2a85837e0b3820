//! What becomes of a job after a run, and how long it waits.
//!
//! The delays come from the `backoff` crate. It is unmaintained (RUSTSEC-2025-0012) but small, finished and without
//! known faults; this is the only file that names it, and [`RetryPolicy`] is all that the rest of the project sees, so
//! that replacing it means changing one function.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use mission_core::Outcome;

/// Shortest time to leave a busy gateway alone, whatever it asks for.
pub const BUSY_MIN: Duration = Duration::from_millis(250);
/// Longest time to leave a busy gateway alone, whatever it asks for.
pub const BUSY_MAX: Duration = Duration::from_secs(5 * 60);
/// How long to leave a busy gateway alone that does not say.
pub const BUSY_DEFAULT: Duration = Duration::from_secs(2);

/// How long jobs wait, and for how long at most. Set by the operator's configuration; the defaults suit production.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Delay after the first failed attempt; it doubles with each further one. Default 1 s.
    pub initial: Duration,
    /// The delay stops doubling here. Default 5 min.
    pub cap: Duration,
    /// Each delay is spread evenly by this share of itself, up and down. 0 to 1, default 0.2.
    pub jitter: f64,
    /// How long a job may be put off by a busy gateway in a row before it is dead. Default 30 min.
    pub snooze_limit: Duration,
    /// How often a blocked job is tried again by itself. Default 10 min.
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

/// What becomes of a job after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is done.
    Done,
    /// It is tried again after the delay; the run counts.
    Retry(Duration),
    /// It is tried again after the delay; the run does not count, but [`RetryPolicy::snooze_limit`] applies.
    Snooze(Duration),
    /// A person has to act; it is tried again after the delay all the same. The run does not count.
    Block(Duration),
    /// It is dead.
    Dead(DeadReason),
}

/// Why a job is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    /// The run said that it can never work.
    Permanent,
    /// No attempts are left.
    Attempts,
    /// The stored job cannot be read: malformed, or of an unknown kind or version.
    Invalid,
    /// Three leases in a row were lost, as if the job killed its worker. Decided by the queue's scripts.
    Poison,
    /// The gateway was busy for longer than [`RetryPolicy::snooze_limit`]. Decided by the queue's scripts.
    SnoozeDeadline,
}

impl DeadReason {
    /// The name on the wire, such as `poison`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Attempts => "attempts",
            Self::Invalid => "invalid",
            Self::Poison => "poison",
            Self::SnoozeDeadline => "snooze_deadline",
        }
    }
}

impl RetryPolicy {
    /// Delay after that many failed attempts (1 is the first), spread by the jitter.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        self.nth(attempt, self.jitter)
    }

    /// Delay after that many failed attempts without jitter: 1 s, 2 s, 4 s … 5 min by default.
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
        // Past 64 doublings every delay is the cap.
        for _ in 1..attempt.min(64) {
            let _ = backoff.next_backoff();
        }
        backoff.next_backoff().unwrap_or(self.cap)
    }

    /// What becomes of a job whose run number `attempt`, of `max_attempts`, ended so.
    #[must_use]
    pub fn dispose(&self, outcome: &Outcome, attempt: u32, max_attempts: u32) -> Disposition {
        match outcome {
            Outcome::Done(_) => Disposition::Done,
            Outcome::Transient(_) | Outcome::Ambiguous(_) if attempt >= max_attempts => {
                Disposition::Dead(DeadReason::Attempts)
            }
            Outcome::Transient(_) | Outcome::Ambiguous(_) => Disposition::Retry(self.delay(attempt)),
            Outcome::Busy { retry_after, .. } => {
                Disposition::Snooze(retry_after.unwrap_or(BUSY_DEFAULT).clamp(BUSY_MIN, BUSY_MAX))
            }
            Outcome::Blocked(_) => Disposition::Block(self.reprobe),
            Outcome::Permanent(_) => Disposition::Dead(DeadReason::Permanent),
        }
    }
}

#[cfg(test)]
mod tests {
    use mission_core::Failure;

    use super::*;

    fn failure() -> Failure {
        Failure::new("refused", "connection refused")
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
        assert!(delays.iter().all(|delay| *delay >= base.mul_f64(0.799) && *delay <= base.mul_f64(1.201)));
        assert!(delays.iter().any(|delay| *delay < base.mul_f64(0.95)));
        assert!(delays.iter().any(|delay| *delay > base.mul_f64(1.05)));
    }

    #[test]
    fn each_outcome_has_its_disposition() {
        let policy = RetryPolicy { jitter: 0.0, ..RetryPolicy::default() };
        let after = |outcome: Outcome, attempt| policy.dispose(&outcome, attempt, 12);
        assert_eq!(after(Outcome::Done(Box::default()), 12), Disposition::Done);
        assert!(matches!(after(Outcome::Transient(failure()), 3), Disposition::Retry(delay) if delay.as_secs() == 4));
        assert!(matches!(after(Outcome::Ambiguous(failure()), 1), Disposition::Retry(_)));
        assert_eq!(after(Outcome::Transient(failure()), 12), Disposition::Dead(DeadReason::Attempts));
        assert_eq!(after(Outcome::Ambiguous(failure()), 12), Disposition::Dead(DeadReason::Attempts));
        assert_eq!(after(Outcome::Blocked(failure()), 12), Disposition::Block(Duration::from_secs(10 * 60)));
        assert_eq!(after(Outcome::Permanent(failure()), 1), Disposition::Dead(DeadReason::Permanent));
    }

    #[test]
    fn a_busy_gateway_is_left_alone_within_bounds() {
        let snooze =
            |retry_after| RetryPolicy::default().dispose(&Outcome::Busy { retry_after, failure: failure() }, 12, 12);
        assert_eq!(snooze(None), Disposition::Snooze(BUSY_DEFAULT));
        assert_eq!(snooze(Some(Duration::ZERO)), Disposition::Snooze(BUSY_MIN));
        assert_eq!(snooze(Some(Duration::from_secs(7))), Disposition::Snooze(Duration::from_secs(7)));
        assert_eq!(snooze(Some(Duration::from_secs(86_400))), Disposition::Snooze(BUSY_MAX));
    }
}
