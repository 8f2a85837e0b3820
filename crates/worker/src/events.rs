//! Things that happen and are told: each is one struct, and emitting it logs and counts in one place.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use mission_core::{Kind, Outcome};
use mission_jobs::queue::Counts;
use mission_jobs::{Claimed, State};
use tracing::{info, warn};

/// Describes all metrics; once, when the worker starts.
pub fn describe() {
    describe_counter!("mission_runs_total", "Runs of jobs by kind and outcome.");
    describe_histogram!("mission_run_seconds", "How long runs took, by kind.");
    describe_counter!("mission_gateway_requests_total", "Requests sent to gateways.");
    describe_counter!("mission_config_writes_total", "Config writes sent to gateways.");
    describe_gauge!("mission_jobs", "Jobs in the queue by state, as of this scrape.");
}

/// A worker has begun to take jobs.
pub struct WorkerStarted<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// Jobs at once.
    pub concurrency: usize,
    /// Where it listens.
    pub http: String,
}

impl WorkerStarted<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(
            queue = self.queue,
            concurrency = self.concurrency,
            http = self.http,
            version = env!("CARGO_PKG_VERSION"),
            "worker started"
        );
    }
}

/// A run of a job has ended.
pub struct RunEnded<'a> {
    /// The job.
    pub job: &'a Claimed,
    /// Its kind.
    pub kind: Kind,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// How long it took.
    pub took: Duration,
}

impl RunEnded<'_> {
    /// Tells it.
    pub fn emit(self) {
        let (kind, outcome) = (self.kind.as_str(), self.outcome.name());
        counter!("mission_runs_total", "kind" => kind, "outcome" => outcome).increment(1);
        histogram!("mission_run_seconds", "kind" => kind).record(self.took.as_secs_f64());
        let (job, gateway, attempt) = (self.job.id, &self.job.lane, self.job.attempt);
        let duration_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        match self.outcome {
            Outcome::Done(report) => {
                counter!("mission_gateway_requests_total").increment(u64::from(report.rpc_count));
                counter!("mission_config_writes_total").increment(u64::from(report.config_writes));
                info!(%job, kind, gateway, attempt, duration_ms, changed = report.changed, "{}", report.summary);
            }
            other => {
                let failure = other.failure();
                let (code, message) = failure.map_or(("", ""), |failure| (&failure.code, &failure.message));
                let action = failure.and_then(|failure| failure.action.as_deref());
                warn!(%job, kind, gateway, attempt, duration_ms, outcome, code, action, "run failed: {message}");
            }
        }
    }
}

/// How many jobs are in each state.
pub struct QueueCounted<'a>(pub &'a Counts);

impl QueueCounted<'_> {
    /// Tells it.
    pub fn emit(self) {
        for state in State::ALL {
            // A count beyond 2^52 is of no concern.
            #[expect(clippy::cast_precision_loss, reason = "counts are small")]
            gauge!("mission_jobs", "state" => state.as_str()).set(self.0.of(state) as f64);
        }
    }
}
