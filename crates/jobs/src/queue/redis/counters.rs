//! The counters of this process's end of the queue, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// The values of the counters since the queue was opened, shared by all its clones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// The requests to Redis and attempts to connect that failed.
    pub redis_errors: u64,
    /// The connections made to Redis. More than two mean that Redis was away or cut one.
    pub redis_connections: u64,
    /// The runs that this process stopped because their lease was lost or could not be renewed.
    pub leases_lost: u64,
    /// The jobs of workers that went away which this process found and made ready or dead.
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
