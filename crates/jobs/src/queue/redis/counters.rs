//! What this process has met at its end of the queue, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the queue was opened, for all clones of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// Requests to Redis, and attempts to connect, that failed.
    pub redis_errors: u64,
    /// Connections made to Redis; more than two mean that it was away or cut one.
    pub redis_connections: u64,
    /// Runs that this process stopped because their lease was lost or could not be renewed.
    pub leases_lost: u64,
    /// Jobs of workers that went away, found by this process and made ready or buried.
    pub leases_recovered: u64,
}

/// The counters behind [`CounterSnapshot`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) redis_errors: AtomicU64,
    pub(crate) redis_connections: AtomicU64,
    pub(crate) leases_lost: AtomicU64,
    pub(crate) leases_recovered: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> CounterSnapshot {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CounterSnapshot {
            redis_errors: of(&self.redis_errors),
            redis_connections: of(&self.redis_connections),
            leases_lost: of(&self.leases_lost),
            leases_recovered: of(&self.leases_recovered),
        }
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, times: u64) {
    counter.fetch_add(times, Ordering::Relaxed);
}
