//! How the queue stands.

use mission_jobs::queue::{Counts, GatewayRecord, MAX_PAGE, Pause, Scope};
use mission_jobs::{Queue, QueueError, State};

use super::exposition::Exposition;

/// How the queue stands, as Redis says.
pub struct Standing {
    jobs: Counts,
    paused: Vec<Pause>,
    /// Those that jobs came for latest.
    gateways: Vec<GatewayRecord>,
}

/// Asks Redis.
pub async fn standing(queue: &Queue) -> Result<Standing, QueueError> {
    let (jobs, paused, gateways) = tokio::try_join!(queue.counts(), queue.paused(), queue.gateways(MAX_PAGE))?;
    Ok(Standing { jobs, paused, gateways })
}

impl Standing {
    /// Tells all of it. Gateways go by their id, and only those that cannot be reached are told one by one.
    pub fn write(&self, text: &mut Exposition) {
        text.gauge("mission_jobs", "Jobs in the queue by state.");
        for state in State::ALL {
            text.sample(&[("state", state.as_str())], self.jobs.of(state));
        }
        text.gauge("mission_paused_scopes", "What is paused: everything, kinds of jobs, gateways.");
        for (name, of) in [("all", scope_name(&Scope::All)), ("kind", "kind"), ("gateway", "gateway")] {
            let count = self.paused.iter().filter(|pause| scope_name(&pause.scope) == of).count();
            text.sample(&[("scope", name)], count);
        }
        let count = |test: fn(&GatewayRecord) -> bool| self.gateways.iter().filter(|gateway| test(gateway)).count();
        text.gauge("mission_gateways", "Gateways that jobs came for, of the latest 200.").sample(&[], count(|_| true));
        text.gauge("mission_gateways_unreachable", "Those of them that could not be reached when last tried.")
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
