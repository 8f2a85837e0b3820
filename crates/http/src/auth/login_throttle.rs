//! The limit on failed logins of an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mission_core::Backoff;

/// The number of failures without a wait, and the time for which failures are remembered.
const FORGIVEN: u32 = 5;
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// The waits after further failures.
const WAITS: Backoff = Backoff::new(Duration::from_secs(2), MEMORY);
/// The most addresses that are remembered.
const MOST: usize = 10_000;

/// The addresses that failed lately.
#[derive(Default)]
pub(crate) struct LoginThrottle(Mutex<HashMap<IpAddr, Failures>>);

struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(&self) -> Duration {
        let Some(too_many) = self.count.checked_sub(FORGIVEN) else { return Duration::ZERO };
        WAITS.delay(too_many + 1).saturating_sub(self.last.elapsed())
    }
}

impl LoginThrottle {
    /// Returns the time that an address has to wait before it may try, if it has to.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&network(address)).map(Failures::wait).filter(|wait| !wait.is_zero())
    }

    /// Counts a failure of an address.
    pub(crate) fn failed(&self, address: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, failures| failures.last.elapsed() < MEMORY);
        make_room(&mut failures, |failures| !failures.wait().is_zero());
        let own =
            failures.entry(network(address)).or_insert(Failures { count: 0, last: Instant::now() });
        own.count += 1;
        own.last = Instant::now();
    }

    /// Forgets the failures of an address.
    pub(crate) fn succeeded(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&network(address));
    }
}

/// Forgets addresses if too many are remembered: those that `keep` gives up, or all.
pub(crate) fn make_room<T>(all: &mut HashMap<IpAddr, T>, keep: impl Fn(&T) -> bool) {
    if all.len() >= MOST {
        all.retain(|_, one| keep(one));
    }
    if all.len() >= MOST {
        all.clear();
    }
}

/// Returns the network that counts as one address: an IPv6 client has a /64, 2^64 addresses.
pub(crate) fn network(address: IpAddr) -> IpAddr {
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
    fn each_failure_beyond_the_first_few_waits_longer() {
        let throttle = LoginThrottle::default();
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
        let throttle = LoginThrottle::default();
        let address = |last| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        (0..FORGIVEN).for_each(|_| throttle.failed(address(1)));
        assert!(throttle.wait(address(2)).is_some());
    }
}
