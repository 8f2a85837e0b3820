//! How often an address may try to sign in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that are forgiven, and for how long they are remembered.
const FORGIVEN: u32 = 5;
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// What the first failure too many costs; each further one doubles it, up to the memory.
const FIRST: Duration = Duration::from_secs(2);
/// Most addresses remembered. When there are more, those that need not wait are forgotten, or all.
const MOST: usize = 10_000;

/// Who has failed lately.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<IpAddr, Failures>>);

struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(&self) -> Duration {
        let Some(too_many) = self.count.checked_sub(FORGIVEN) else { return Duration::ZERO };
        let doubled = FIRST.saturating_mul(1 << too_many.min(16));
        doubled.min(MEMORY).saturating_sub(self.last.elapsed())
    }
}

impl Throttle {
    /// How long this address has to wait before it may try.
    pub fn wait(&self, address: IpAddr) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&network(address)).map(Failures::wait).filter(|wait| !wait.is_zero())
    }

    /// It has failed.
    pub fn failed(&self, address: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, failures| failures.last.elapsed() < MEMORY);
        if failures.len() >= MOST {
            failures.retain(|_, failures| !failures.wait().is_zero());
            if failures.len() >= MOST {
                failures.clear();
            }
        }
        let own =
            failures.entry(network(address)).or_insert(Failures { count: 0, last: Instant::now() });
        own.count += 1;
        own.last = Instant::now();
    }

    /// It has succeeded.
    pub fn succeeded(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&network(address));
    }
}

/// Who has one IPv6 address has 2^64 of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_failures_are_forgiven_and_then_each_costs_more() {
        let throttle = Throttle::default();
        let [one, another] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        for _ in 1..FORGIVEN {
            throttle.failed(one);
        }
        assert_eq!(throttle.wait(one), None);
        throttle.failed(one);
        let first = throttle.wait(one).unwrap_or_default();
        throttle.failed(one);
        assert!(throttle.wait(one).unwrap_or_default() > first);
        assert_eq!(throttle.wait(another), None);
        throttle.succeeded(one);
        assert_eq!(throttle.wait(one), None);
    }

    #[test]
    fn addresses_of_one_network_share_their_failures() {
        let throttle = Throttle::default();
        let address = |last| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        (0..FORGIVEN).for_each(|_| throttle.failed(address(1)));
        assert!(throttle.wait(address(2)).is_some());
    }
}
