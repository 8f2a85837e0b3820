//! The settings of a consumer.

use std::time::Duration;

use crate::retry::RetryPolicy;

/// How a worker takes jobs. Set by the operator's configuration; the defaults suit production.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs that run at the same time in this process. At least 1, default 256: they wait
    /// for gateways nearly all of their time.
    pub concurrency: usize,
    /// Jobs of one gateway that run at the same time. At least 1, default 64: what they want of its
    /// config is one write.
    pub lane_concurrency: usize,
    /// How long a job is this worker's without renewal. Default 20 s.
    pub lease: Duration,
    /// How often leases are renewed. At most a quarter of `lease`, default 5 s.
    pub renew: Duration,
    /// How often lost leases are looked for, and the longest that an idle worker sleeps. At most a
    /// quarter of `lease`, default 5 s.
    pub sweep: Duration,
    /// How long running jobs may take to finish when the worker stops, before they are handed back.
    /// Default 25 s.
    pub grace: Duration,
    /// How long jobs wait, and for how long at most.
    pub retry: RetryPolicy,
    /// How long, and how many, done, superseded and cancelled jobs are kept: each 7 days and 10,000
    /// by default.
    pub keep_ended: Keep,
    /// The same for dead jobs: 30 days and 10,000 by default.
    pub keep_dead: Keep,
}

/// What is kept of the jobs that have ended; the rest is removed, oldest first, in small steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// For how long.
    pub age: Duration,
    /// How many at most.
    pub count: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 256,
            lane_concurrency: 64,
            lease: Duration::from_secs(20),
            renew: Duration::from_secs(5),
            sweep: Duration::from_secs(5),
            grace: Duration::from_secs(25),
            retry: RetryPolicy::default(),
            keep_ended: Keep { age: Duration::from_secs(7 * 24 * 3600), count: 10_000 },
            keep_dead: Keep { age: Duration::from_secs(30 * 24 * 3600), count: 10_000 },
        }
    }
}
