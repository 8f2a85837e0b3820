//! Things that happen and are told: each is one struct, and emitting it logs and counts in one
//! place.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use mission_core::gateway::{Method, Step};
use mission_core::{Kind, Outcome};
use mission_jobs::Claimed;
use mission_jobs::queue::Met;
use tracing::{info, warn};

use crate::traces;

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
        gauge!("mission_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
        gauge!("mission_run_slots").set(u32::try_from(self.concurrency).unwrap_or(u32::MAX));
        counter!("mission_config_writes_total").increment(0);
        // A series that begins with its first event hides that one from `increase`.
        for kind in Kind::ALL {
            for outcome in Outcome::NAMES {
                counter!("mission_runs_total", "kind" => kind.as_str(), "outcome" => outcome)
                    .increment(0);
            }
        }
        info!(
            queue = self.queue,
            concurrency = self.concurrency,
            http = self.http,
            version = env!("CARGO_PKG_VERSION"),
            "worker started"
        );
    }
}

/// A run of a job has begun; ended or stopped, it is dropped.
pub struct RunBegan(());

impl RunBegan {
    /// Tells it.
    #[must_use = "the run counts as ended when this is dropped"]
    pub fn emit(job: &Claimed) -> Self {
        histogram!("mission_job_wait_seconds", "kind" => job.job.kind().as_str())
            .record(job.waited);
        gauge!("mission_runs_in_progress").increment(1);
        Self(())
    }
}

impl Drop for RunBegan {
    fn drop(&mut self) {
        gauge!("mission_runs_in_progress").decrement(1);
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
    /// Its first requests.
    pub steps: &'a [Step],
    /// How long it took.
    pub took: Duration,
}

impl RunEnded<'_> {
    /// Tells it.
    pub fn emit(self) {
        let (kind, outcome) = (self.kind.as_str(), self.outcome.name());
        counter!("mission_runs_total", "kind" => kind, "outcome" => outcome).increment(1);
        histogram!("mission_run_duration_seconds", "kind" => kind).record(self.took);
        self.steps.iter().for_each(count_request);
        traces::run_ended(self.job, self.outcome, self.steps, self.took);
        let (job, gateway, attempt) = (self.job.id, &self.job.lane, self.job.attempt);
        let duration_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        match self.outcome {
            Outcome::Done(report) => {
                info!(%job, kind, gateway, attempt, duration_ms, changed = report.changed, "{}", report.summary);
            }
            other => {
                let failure = other.failure();
                let (code, message) =
                    failure.map_or(("", ""), |failure| (&failure.code, &failure.message));
                counter!("mission_run_failures_total", "code" => code.to_owned()).increment(1);
                let action = failure.and_then(|failure| failure.action.as_deref());
                warn!(%job, kind, gateway, attempt, duration_ms, outcome, code, action, "run \
                    failed: {message}");
            }
        }
    }
}

fn count_request(step: &Step) {
    let result = if step.error.is_none() { "ok" } else { "error" };
    let took = Duration::from_millis(step.took_ms);
    counter!("mission_gateway_requests_total", "method" => step.method, "result" => result)
        .increment(1);
    histogram!("mission_gateway_request_duration_seconds", "method" => step.method).record(took);
    if step.method == Method::ConfigPatch.as_str() {
        counter!("mission_config_writes_total").increment(1);
    }
}

/// What the parts of this process have met that count for themselves.
pub struct ProcessSeen {
    /// At the queue.
    pub queue: Met,
    /// Gateways that restarted.
    pub gateway_restarts: u64,
}

impl ProcessSeen {
    /// Tells it.
    pub fn emit(self) {
        let Self { queue, gateway_restarts } = self;
        counter!("mission_gateway_restarts_total").absolute(gateway_restarts);
        counter!("mission_redis_errors_total").absolute(queue.redis_errors);
        counter!("mission_redis_connections_total").absolute(queue.redis_connections);
        counter!("mission_leases_lost_total").absolute(queue.leases_lost);
        counter!("mission_leases_recovered_total").absolute(queue.leases_recovered);
    }
}
