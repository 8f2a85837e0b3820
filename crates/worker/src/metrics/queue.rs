//! How the queue stands.

use mission_jobs::queue::{GatewayRecord, MAX_PAGE, Scope, Summary};
use mission_jobs::{Queue, QueueError, State};

use super::exposition::{Exposition, Millis};

/// How the queue stands, as Redis says.
pub struct Standing {
    summary: Summary,
    /// Those that jobs came for latest.
    gateways: Vec<GatewayRecord>,
}

/// Asks Redis.
pub async fn standing(queue: &Queue) -> Result<Standing, QueueError> {
    let (summary, gateways) = tokio::try_join!(queue.summary(), queue.gateways(MAX_PAGE))?;
    Ok(Standing { summary, gateways })
}

impl Standing {
    /// Tells all of it. Gateways go by their id, and only those that cannot be reached are told one
    /// by one.
    pub fn write(&self, text: &mut Exposition) {
        let summary = &self.summary;
        text.gauge("mission_jobs", "Jobs in the queue by state.");
        for state in State::ALL {
            text.sample(&[("state", state.as_str())], summary.counts.of(state));
        }
        let oldest =
            summary.oldest_ready_at_ms.map_or(0, |since| summary.at_ms.saturating_sub(since));
        text.gauge(
            "mission_oldest_ready_seconds",
            "How long the oldest job has been ready that does not run; 0 if none.",
        )
        .sample(&[], Millis(oldest));
        text.gauge("mission_workers", "Workers that the queue has heard of lately.")
            .sample(&[], summary.workers);
        text.gauge(
            "mission_workers_draining",
            "Those of them that take no more jobs, because somebody wants that.",
        )
        .sample(&[], summary.draining);
        text.gauge("mission_paused_scopes", "What is paused: everything, kinds of jobs, gateways.");
        for (name, of) in
            [("all", scope_name(&Scope::All)), ("kind", "kind"), ("gateway", "gateway")]
        {
            let count =
                summary.paused.iter().filter(|pause| scope_name(&pause.scope) == of).count();
            text.sample(&[("scope", name)], count);
        }
        let count = |test: fn(&GatewayRecord) -> bool| {
            self.gateways.iter().filter(|gateway| test(gateway)).count()
        };
        text.gauge("mission_gateways", "Gateways that jobs came for, of the latest 200.")
            .sample(&[], count(|_| true));
        text.gauge(
            "mission_gateways_unreachable",
            "Those of them that could not be reached when last tried.",
        )
        .sample(&[], count(GatewayRecord::is_unreachable));
        text.gauge("mission_lanes_held", "Those of them that are left alone for a while.")
            .sample(&[], count(|gateway| gateway.held_until_ms.is_some()));
        text.gauge(
            "mission_gateway_failures",
            "How often in a row a gateway could not be reached; only such are told.",
        );
        for gateway in self.gateways.iter().filter(|gateway| gateway.is_unreachable()) {
            text.sample(&[("gateway", &gateway.id.to_string())], u64::from(gateway.failures));
        }
    }
}

const fn scope_name(scope: &Scope) -> &'static str {
    match scope {
        Scope::All => "all",
        Scope::Kind(_) => "kind",
        Scope::Gateway(_) => "gateway",
    }
}
