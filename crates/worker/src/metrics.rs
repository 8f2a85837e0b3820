//! Renders the metrics of this process for Prometheus. [`crate::events`] updates the counters;
//! `mission_http` adds the state of the queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use mission_core::apply::Applier;
use mission_jobs::Queue;
use tokio::time::{MissedTickBehavior, interval};

use crate::events::ProcessCounters;
use crate::exit::{Exit, OrExit};

/// Interval at which recorded durations are sorted into buckets, even without a scrape.
const UPKEEP: Duration = Duration::from_secs(30);

/// The upper bounds of the buckets, in seconds.
const WAITS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
const RUNS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
const REQUESTS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Registers the name, unit and help text of each metric of the process.
fn describe() {
    use Unit::{Count, Seconds};
    describe_gauge!("mission_build_info", "Always 1, with the version of the worker as a label.");
    describe_gauge!(
        "mission_run_slots",
        Count,
        "Maximum number of jobs that this worker runs at the same time."
    );
    describe_gauge!(
        "mission_runs_in_progress",
        Count,
        "Number of jobs that this worker is running."
    );
    describe_histogram!(
        "mission_job_wait_seconds",
        Seconds,
        "Time that jobs were ready before this worker claimed them, in seconds."
    );
    describe_histogram!("mission_run_duration_seconds", Seconds, "Duration of runs in seconds.");
    describe_counter!("mission_runs_total", Count, "Number of runs by job kind and outcome.");
    describe_counter!(
        "mission_run_failures_total",
        Count,
        "Number of failed runs by failure code."
    );
    describe_counter!(
        "mission_gateway_requests_total",
        Count,
        "Number of requests to gateways by method and result."
    );
    describe_histogram!(
        "mission_gateway_request_duration_seconds",
        Seconds,
        "Duration of requests to gateways in seconds."
    );
    describe_counter!(
        "mission_config_writes_total",
        Count,
        "Number of config writes sent to gateways."
    );
    describe_counter!(
        "mission_gateway_restarts_total",
        Count,
        "Number of gateway restarts that this worker observed."
    );
    describe_counter!(
        "mission_redis_errors_total",
        Count,
        "Number of failed requests and connection attempts to Redis."
    );
    describe_counter!(
        "mission_redis_connections_total",
        Count,
        "Number of connections opened to Redis."
    );
    describe_counter!(
        "mission_leases_lost_total",
        Count,
        "Number of runs stopped because their lease was lost or not renewed."
    );
    describe_counter!(
        "mission_leases_recovered_total",
        Count,
        "Number of jobs with an expired lease that this worker recovered."
    );
}

/// The metrics recorder of this process.
pub struct Metrics {
    handle: PrometheusHandle,
    applier: Arc<Applier>,
}

impl Metrics {
    /// Installs the recorder. It must be called at most once per process.
    pub fn install(applier: Arc<Applier>) -> Result<Self, Exit> {
        let builder = PrometheusBuilder::new();
        let buckets = |builder: PrometheusBuilder, name: &str, bounds| {
            builder
                .set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
                .context("metrics")
                .or_failed()
        };
        let builder = buckets(builder, "mission_job_wait_seconds", WAITS)?;
        let builder = buckets(builder, "mission_run_duration_seconds", RUNS)?;
        let builder = buckets(builder, "mission_gateway_request_duration_seconds", REQUESTS)?;
        let handle = builder.install_recorder().context("metrics").or_failed()?;
        describe();
        let upkeep = handle.clone();
        tokio::spawn(async move {
            let mut ticks = interval(UPKEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self { handle, applier })
    }

    /// Returns the metrics of this process in the text format of Prometheus.
    pub fn render(&self, queue: &Queue) -> String {
        ProcessCounters {
            queue: queue.counters(),
            gateway_restarts: self.applier.clients.restarts(),
        }
        .emit();
        self.handle.render()
    }
}
