//! Defines the events of the process, one struct each. Emitting an event logs and counts it in one
//! place.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use mission_core::gateway::{Method, Step};
use mission_core::{Kind, Outcome};
use mission_jobs::Claimed;
use tracing::{info, warn};

use crate::traces;

/// The worker has started to claim jobs.
pub struct WorkerStarted<'a> {
    /// The name of its queue.
    pub queue: &'a str,
    /// The limit of jobs that run at the same time.
    pub concurrency: usize,
    /// The address on which it listens for HTTP.
    pub http: String,
}

impl WorkerStarted<'_> {
    /// Logs the start and creates the metrics with their first values.
    pub fn emit(self) {
        gauge!("mission_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
        gauge!("mission_run_slots").set(u32::try_from(self.concurrency).unwrap_or(u32::MAX));
        counter!("mission_config_writes_total").increment(0);
        // `increase` does not count the first event of a series unless the series starts at 0.
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

/// The start of a run. It is dropped when the run ends or is stopped.
pub struct RunStarted(());

impl RunStarted {
    /// Records the waiting time, and counts the run as in progress until the value is dropped.
    #[must_use = "the run counts as ended when this is dropped"]
    pub fn emit(job: &Claimed) -> Self {
        histogram!("mission_job_wait_seconds", "kind" => job.job.kind().as_str())
            .record(job.waited);
        gauge!("mission_runs_in_progress").increment(1);
        Self(())
    }
}

impl Drop for RunStarted {
    fn drop(&mut self) {
        gauge!("mission_runs_in_progress").decrement(1);
    }
}

/// The end of a run.
pub struct RunEnded<'a> {
    /// The claimed job.
    pub job: &'a Claimed,
    /// The outcome of the run.
    pub outcome: &'a Outcome,
    /// The first requests of the run.
    pub steps: &'a [Step],
    /// The duration of the run.
    pub took: Duration,
}

impl RunEnded<'_> {
    /// Logs and counts the run and its requests, and sends its trace.
    pub fn emit(self) {
        let (kind, outcome) = (self.job.job.kind().as_str(), self.outcome.name());
        counter!("mission_runs_total", "kind" => kind, "outcome" => outcome).increment(1);
        histogram!("mission_run_duration_seconds", "kind" => kind).record(self.took);
        self.steps.iter().for_each(count_request);
        traces::run_ended(&self);
        let (job, gateway, attempt) = (self.job.id, &self.job.lane, self.job.attempt);
        let duration_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        match self.outcome {
            Outcome::Done(report) => {
                let (changed, summary) = (report.changed, &report.summary);
                info!(%job, kind, gateway, attempt, duration_ms, changed, "{summary}");
            }
            other => {
                let failure = other.failure();
                let (code, message) =
                    failure.map_or(("", ""), |failure| (&failure.code, &failure.message));
                counter!("mission_run_failures_total", "code" => code.to_owned()).increment(1);
                let action = failure.and_then(|failure| failure.remedy.text());
                warn!(%job, kind, gateway, attempt, duration_ms, outcome, code, action, "run \
                    failed: {message}");
            }
        }
    }
}

fn count_request(step: &Step) {
    let result = if step.note.is_none() { "ok" } else { "error" };
    let took = Duration::from_millis(step.duration_ms);
    counter!("mission_gateway_requests_total", "method" => step.name.clone(), "result" => result)
        .increment(1);
    histogram!("mission_gateway_request_duration_seconds", "method" => step.name.clone())
        .record(took);
    if step.name == Method::ConfigPatch.as_str() {
        counter!("mission_config_writes_total").increment(1);
    }
}
