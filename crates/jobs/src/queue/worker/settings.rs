//! The settings of a consumer.

use std::time::Duration;

use crate::retry::RetryPolicy;

/// Configures how a worker takes jobs. The operator's configuration sets it; the defaults suit
/// production.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The number of jobs that run at the same time in this process. At least 1, default 256,
    /// because jobs wait for gateways nearly all of their time.
    pub concurrency: usize,
    /// The number of jobs of one gateway that run at the same time. At least 1, default 64. They
    /// share one write of the gateway's config.
    pub lane_concurrency: usize,
    /// The time that a job stays leased to this worker without renewal. Default 20 s.
    pub lease: Duration,
    /// The interval at which leases are renewed. At most a quarter of `lease`, default 5 s.
    pub renew: Duration,
    /// The interval at which lost leases are taken back, and the longest sleep of an idle worker.
    /// At most a quarter of `lease`, default 5 s.
    pub sweep: Duration,
    /// The time that running jobs get to finish when the worker stops, before they are handed back.
    /// Default 25 s.
    pub grace: Duration,
    /// The delays between runs and their upper bounds.
    pub retry: RetryPolicy,
    /// The retention of done, superseded and cancelled jobs: 7 days and 10,000 of each state by
    /// default.
    pub keep_ended: Keep,
    /// The retention of dead jobs: 30 days and 10,000 by default.
    pub keep_dead: Keep,
}

/// The retention of jobs that have ended. The rest is removed, oldest first, in small steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The longest time that a job is kept.
    pub age: Duration,
    /// The most jobs that are kept.
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
