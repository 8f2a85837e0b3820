//! The probe of a gateway: its version and capabilities, as far as they show without a write.

use serde::Serialize;

use super::redact::Secrets;
use super::{Applier, MAX_NAMED, agent_files, config};
use crate::gateway::agents_config::Config;
use crate::gateway::{Call, Defect, Endpoint, GatewayError};
use crate::model::Gateway;
use crate::outcome::Outcome;

/// The version and the capabilities of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The version; old gateways report only `dev`.
    pub version: String,
    /// The protocol version that was agreed on.
    pub protocol: u32,
    /// The scopes that the gateway grants; `None` if it does not say, as with old ones.
    pub scopes: Option<Vec<String>>,
    /// The shape of the agents in its config: `list` or `entries`.
    pub roster: &'static str,
    /// The number of agents in its config.
    pub agents: usize,
    /// The documents that it does not keep as files.
    pub refused_files: Vec<&'static str>,
    /// The config keys that it does not know.
    pub refused_keys: Vec<String>,
    /// The largest frame that it accepts, in bytes.
    pub max_frame: usize,
    /// The known defects of its version, each as a sentence.
    pub defects: Vec<&'static str>,
    /// The first few agents that it does not wake, because others have a heartbeat of their own and
    /// they do not.
    pub silent_agents: Vec<String>,
}

impl Applier {
    /// Probes a gateway without writing. The error is the outcome of a job that gets this far.
    pub async fn inspect(&self, gateway: &Gateway) -> Result<Inspection, Outcome> {
        let call = Call::new(self.clients.get(&Endpoint::from(gateway)));
        inspect(&call).await.map_err(|error| {
            let mut outcome = Outcome::from(error);
            Secrets::of_gateway(gateway).hide_in(&mut outcome);
            outcome
        })
    }
}

async fn inspect(call: &Call) -> Result<Inspection, GatewayError> {
    call.open().await?;
    let config = config::read(call).await?;
    let shape = config::shape_of(call, &config);
    let refused_files = agent_files::refused(call).await?;
    let met = call.server_info().expect("it was reached").clone();
    let defects = Defect::of(&met.version).map(Defect::sentence).collect();
    Ok(Inspection {
        version: met.version,
        protocol: met.protocol,
        scopes: met.scopes,
        roster: shape.as_str(),
        agents: config.agents().count(),
        refused_files: refused_files.iter().map(|document| document.file_name()).collect(),
        refused_keys: config::refused_keys(call, shape).into_iter().collect(),
        max_frame: met.max_frame,
        defects,
        silent_agents: silent_agents(&config),
    })
}

/// As soon as one agent has a heartbeat of its own, gateways wake only those that have one.
fn silent_agents(config: &Config) -> Vec<String> {
    let (awake, silent): (Vec<_>, Vec<_>) =
        config.agents().partition(|(_, entry)| entry.contains_key("heartbeat"));
    let silent = if awake.is_empty() { Vec::new() } else { silent };
    silent.into_iter().map(|(id, _)| id.to_owned()).take(MAX_NAMED).collect()
}
