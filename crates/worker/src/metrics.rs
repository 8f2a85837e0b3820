//! The numbers that Prometheus reads: what this process has counted, and how its queue stands at
//! that moment.
//!
//! What the process counts is told in [`crate::events`]. How the queue stands is asked of Redis
//! with each scrape and is the same at every worker; while Redis is away those numbers are missing
//! rather than old.

mod exposition;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use mission_core::apply::Applier;
use mission_jobs::Queue;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::events::ProcessSeen;
use crate::exit::{Exit, OrExit};

/// How long Redis may take to answer a scrape.
const REDIS_WITHIN: Duration = Duration::from_secs(2);
/// How often times that nobody has scraped are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(30);

/// Upper bounds of the buckets, in seconds.
const WAITS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
const RUNS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
const REQUESTS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// What the process counts: names, units and meaning.
fn describe() {
    use Unit::{Count, Seconds};
    describe_gauge!(
        "mission_build_info",
        "Always 1; the label says which version of the worker runs."
    );
    describe_gauge!("mission_run_slots", Count, "Jobs that this worker may run at the same time.");
    describe_gauge!("mission_runs_in_progress", Count, "Jobs that this worker runs now.");
    describe_histogram!(
        "mission_job_wait_seconds",
        Seconds,
        "How long jobs were ready before this worker took them."
    );
    describe_histogram!("mission_run_duration_seconds", Seconds, "How long runs of jobs took.");
    describe_counter!("mission_runs_total", Count, "Runs of jobs by kind and outcome.");
    describe_counter!(
        "mission_run_failures_total",
        Count,
        "Runs that failed, by the code of the failure."
    );
    describe_counter!(
        "mission_gateway_requests_total",
        Count,
        "Requests to gateways by method and result."
    );
    describe_histogram!(
        "mission_gateway_request_duration_seconds",
        Seconds,
        "How long gateways took to answer."
    );
    describe_counter!("mission_config_writes_total", Count, "Config writes sent to gateways.");
    describe_counter!(
        "mission_gateway_restarts_total",
        Count,
        "Restarts of gateways that this worker met."
    );
    describe_counter!(
        "mission_redis_errors_total",
        Count,
        "Requests to Redis, and attempts to connect, that failed."
    );
    describe_counter!("mission_redis_connections_total", Count, "Connections made to Redis.");
    describe_counter!(
        "mission_leases_lost_total",
        Count,
        "Runs stopped because their lease was lost or not renewed."
    );
    describe_counter!(
        "mission_leases_recovered_total",
        Count,
        "Jobs of vanished workers that this worker took back."
    );
}

/// The recorder of this process, and how to read it.
pub struct Metrics {
    handle: PrometheusHandle,
    applier: Arc<Applier>,
}

impl Metrics {
    /// Begins to count; once per process.
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

    /// All numbers as Prometheus reads them. `stopping`: whether the worker has been told to take
    /// no more jobs.
    pub async fn scrape(&self, queue: &Queue, stopping: bool) -> String {
        let standing = timeout(REDIS_WITHIN, queue::standing(queue)).await;
        ProcessSeen { queue: queue.met(), gateway_restarts: self.applier.clients.restarts() }
            .emit();
        let mut text = self.handle.render();
        let standing = standing.ok().and_then(Result::ok);
        let is_ready = standing.is_some() && !stopping;
        let mut more = exposition::Exposition::default();
        more.gauge("mission_ready", "1 if this worker takes jobs, which needs Redis; else 0.")
            .sample(&[], is_ready);
        if let Some(standing) = standing {
            standing.write(&mut more);
        }
        text.push_str(&more.into_text());
        text
    }
}
