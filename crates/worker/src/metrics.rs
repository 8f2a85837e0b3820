//! Renders the metrics of this process for Prometheus. [`crate::events`] updates the counters;
//! `mission_http` adds the state of the queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use mission_core::apply::Applier;
use mission_jobs::Queue;
use tokio::time::{MissedTickBehavior, interval};

use crate::exit::{Exit, OrExit};

/// Interval at which recorded durations are sorted into buckets, even without a scrape.
const UPKEEP: Duration = Duration::from_secs(30);

/// The gauges that count something, with their help texts.
const GAUGES: [(&str, &str); 2] = [
    ("mission_run_slots", "Maximum number of jobs that this worker runs at the same time."),
    ("mission_runs_in_progress", "Number of jobs that this worker is running."),
];
/// The counters, with their help texts.
const COUNTERS: [(&str, &str); 9] = [
    ("mission_runs_total", "Number of runs by job kind and outcome."),
    ("mission_run_failures_total", "Number of failed runs by failure code."),
    ("mission_gateway_requests_total", "Number of requests to gateways by method and result."),
    ("mission_config_writes_total", "Number of config writes sent to gateways."),
    ("mission_gateway_restarts_total", "Number of gateway restarts that this worker observed."),
    ("mission_redis_errors_total", "Number of failed requests and connection attempts to Redis."),
    ("mission_redis_connections_total", "Number of connections opened to Redis."),
    (
        "mission_leases_lost_total",
        "Number of runs stopped because their lease was lost or not renewed.",
    ),
    (
        "mission_leases_recovered_total",
        "Number of jobs with an expired lease that this worker recovered.",
    ),
];
/// The histograms of seconds, with the bounds of their buckets and their help texts.
const HISTOGRAMS: [(&str, &[f64], &str); 3] = [
    (
        "mission_job_wait_seconds",
        &[
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
            900.0, 3600.0,
        ],
        "Time that jobs were ready before this worker claimed them, in seconds.",
    ),
    (
        "mission_run_duration_seconds",
        &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0],
        "Duration of runs in seconds.",
    ),
    (
        "mission_gateway_request_duration_seconds",
        &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0],
        "Duration of requests to gateways in seconds.",
    ),
];

/// Registers the name, unit and help text of each metric of the process.
fn describe() {
    describe_gauge!("mission_build_info", "Always 1, with the version of the worker as a label.");
    for (name, help) in GAUGES {
        describe_gauge!(name, Unit::Count, help);
    }
    for (name, help) in COUNTERS {
        describe_counter!(name, Unit::Count, help);
    }
    for (name, _, help) in HISTOGRAMS {
        describe_histogram!(name, Unit::Seconds, help);
    }
}

/// The metrics recorder of this process.
pub struct Metrics {
    handle: PrometheusHandle,
    applier: Arc<Applier>,
}

impl Metrics {
    /// Installs the recorder. It must be called at most once per process.
    pub fn install(applier: Arc<Applier>) -> Result<Self, Exit> {
        let mut builder = PrometheusBuilder::new();
        for (name, bounds, _) in HISTOGRAMS {
            let metric = Matcher::Full(name.to_owned());
            builder =
                builder.set_buckets_for_metric(metric, bounds).context("metrics").or_failed()?;
        }
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
        let counters = queue.counters();
        for (name, value) in [
            ("mission_gateway_restarts_total", self.applier.clients.restarts()),
            ("mission_redis_errors_total", counters.redis_errors),
            ("mission_redis_connections_total", counters.redis_connections),
            ("mission_leases_lost_total", counters.leases_lost),
            ("mission_leases_recovered_total", counters.leases_recovered),
        ] {
            counter!(name).absolute(value);
        }
        self.handle.render()
    }
}
