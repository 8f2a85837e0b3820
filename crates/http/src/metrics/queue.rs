//! Reads the state of the queue for the metrics.

use mission_jobs::queue::{GatewayRecord, MAX_PAGE, PauseScope, Summary, evicts};
use mission_jobs::{Queue, QueueError, State};

use super::exposition::{Exposition, Millis};

/// The state of the queue: its summary, the gateways with the most recent jobs, and the
/// `maxmemory-policy` of Redis.
pub type Read = (Summary, Vec<GatewayRecord>, Option<String>);

/// Reads the state of the queue.
pub async fn read(queue: &Queue) -> Result<Read, QueueError> {
    tokio::try_join!(queue.summary(), queue.gateways(MAX_PAGE), queue.eviction())
}

/// Writes all gauges. Only unreachable gateways have a series of their own, labelled with their id.
pub fn write(text: &mut Exposition, (summary, gateways, eviction): &Read) {
    if let Some(policy) = eviction {
        text.gauge(
            "mission_redis_evicts",
            "1 if Redis deletes jobs when its memory is full (maxmemory-policy), else 0.",
        )
        .sample(&[], u8::from(evicts(policy)));
    }
    text.gauge("mission_jobs", "Number of jobs by state.");
    for state in State::ALL {
        text.sample(&[("state", state.as_str())], summary.counts.of(state));
    }
    let oldest = summary.oldest_ready_at_ms.map_or(0, |since| summary.at_ms.saturating_sub(since));
    text.gauge(
        "mission_oldest_ready_seconds",
        "Age of the oldest ready job in seconds; 0 if there is none.",
    )
    .sample(&[], Millis(oldest));
    text.gauge("mission_workers", "Number of workers with a recent heartbeat.")
        .sample(&[], summary.workers);
    text.gauge("mission_workers_draining", "Number of workers that an operator is draining.")
        .sample(&[], summary.draining);
    text.gauge("mission_slots", "Number of jobs that all workers may run at once.")
        .sample(&[], summary.slots.all);
    text.gauge("mission_slots_full", "1 if no worker has a slot free beyond its reserve, else 0.")
        .sample(&[], u8::from(summary.slots.full));
    text.gauge(
        "mission_slots_taken",
        "Number of running jobs of the three gateways with the most, while the slots are full.",
    );
    for busy in &summary.slots.busiest {
        text.sample(&[("gateway", &busy.gateway.to_string())], busy.running);
    }
    text.gauge(
        "mission_paused_scopes",
        "Number of pauses by scope: all jobs, a kind, or a gateway.",
    );
    for name in ["all", "kind", "gateway"] {
        let count = summary.paused.iter().filter(|pause| scope_name(&pause.scope) == name).count();
        text.sample(&[("scope", name)], count);
    }
    let count =
        |test: fn(&GatewayRecord) -> bool| gateways.iter().filter(|gateway| test(gateway)).count();
    text.gauge("mission_gateways", "Number of gateways with jobs, among the latest 200.")
        .sample(&[], count(|_| true));
    text.gauge(
        "mission_gateways_unreachable",
        "Number of gateways that the latest attempt did not reach.",
    )
    .sample(&[], count(GatewayRecord::is_unreachable));
    text.gauge("mission_lanes_held", "Number of gateways whose lane is held until a later time.")
        .sample(&[], count(|gateway| gateway.held_until_ms.is_some()));
    text.gauge(
        "mission_gateway_failures",
        "Number of consecutive failed attempts to reach an unreachable gateway.",
    );
    for gateway in gateways.iter().filter(|gateway| gateway.is_unreachable()) {
        text.sample(&[("gateway", &gateway.id.to_string())], gateway.failures);
    }
}

const fn scope_name(scope: &PauseScope) -> &'static str {
    match scope {
        PauseScope::All => "all",
        PauseScope::Kind(_) => "kind",
        PauseScope::Gateway(_) => "gateway",
    }
}
