//! The delays before something that failed is tried again.
//!
//! The crate `backoff` computes them. It is unmaintained (RUSTSEC-2025-0012) but small, finished
//! and without known faults. Only this file names it, so replacing it means changing
//! [`Backoff::delay`].

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// An exponential back-off: the shortest delay after the first failure, and after each further one
/// a delay that is longer by a factor, up to the longest.
///
/// From 1 s to 5 min the delays are 1 s, 2 s, 4 s, 8 s, 16 s, 32 s, 64 s, 128 s, 256 s, and then
/// 300 s each time: 8 min 31 s for the first nine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
}

impl Backoff {
    /// Makes a back-off that doubles from the shortest to the longest delay, without jitter.
    ///
    /// # Panics
    ///
    /// Panics if `min` is zero or longer than `max`. In a constant this is a compile error, as are
    /// the panics of the other functions.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        assert!(!min.is_zero() && min.as_nanos() <= max.as_nanos(), "min is not zero or above max");
        Self { min, max, factor: 2.0, jitter: 0.0 }
    }

    /// Sets the factor between two delays.
    ///
    /// # Panics
    ///
    /// Panics unless the factor is above 1.
    #[must_use]
    pub const fn with_factor(self, factor: f64) -> Self {
        assert!(factor > 1.0, "the factor is above 1");
        Self { factor, ..self }
    }

    /// Sets the share by which each delay is spread evenly, up and down.
    ///
    /// # Panics
    ///
    /// Panics unless the share is 0 to 1.
    #[must_use]
    pub const fn with_jitter(self, jitter: f64) -> Self {
        assert!(jitter >= 0.0 && jitter <= 1.0, "the jitter is 0 to 1");
        Self { jitter, ..self }
    }

    /// Returns the longest delay.
    #[must_use]
    pub const fn max(self) -> Duration {
        self.max
    }

    /// Returns the delay after this number of failures in a row; 1 is the first.
    #[must_use]
    pub fn delay(self, failures: u32) -> Duration {
        let mut backoff: ExponentialBackoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.min)
            .with_multiplier(self.factor)
            .with_max_interval(self.max)
            .with_randomization_factor(self.jitter)
            .with_max_elapsed_time(None)
            .build();
        for _ in 1..failures {
            if backoff.current_interval == self.max {
                break;
            }
            let _ = backoff.next_backoff();
        }
        backoff.next_backoff().unwrap_or(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP_TO_5_MINUTES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

    #[test]
    fn delays_double_up_to_the_longest() {
        let seconds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
        for (failures, seconds) in (1..).zip(seconds) {
            assert_eq!(UP_TO_5_MINUTES.delay(failures), Duration::from_secs(seconds));
        }
        assert_eq!(UP_TO_5_MINUTES.delay(u32::MAX), UP_TO_5_MINUTES.max());
        let slower = UP_TO_5_MINUTES.with_factor(1.5);
        assert_eq!(slower.delay(3), Duration::from_millis(2250));
    }

    #[test]
    fn jitter_spreads_a_delay_by_a_fifth_at_most() {
        let base = UP_TO_5_MINUTES.delay(5);
        let delays: Vec<_> = (0..200).map(|_| UP_TO_5_MINUTES.with_jitter(0.2).delay(5)).collect();
        let bounds = base.mul_f64(0.799)..=base.mul_f64(1.201);
        assert!(delays.iter().all(|delay| bounds.contains(delay)));
        assert!(delays.iter().any(|delay| *delay < base.mul_f64(0.95)));
        assert!(delays.iter().any(|delay| *delay > base.mul_f64(1.05)));
    }

    #[test]
    #[should_panic(expected = "min is not zero or above max")]
    fn a_back_off_does_not_shrink() {
        let _ = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
    }
}
