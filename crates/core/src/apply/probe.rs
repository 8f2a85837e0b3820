//! What a gateway is and can do, as far as it shows without being written to.

use serde::Serialize;

use super::redact::Secrets;
use super::{Applier, agent_files, config};
use crate::gateway::agents_config::Config;
use crate::gateway::{Call, Defect, Endpoint, GatewayError};
use crate::model::Gateway;
use crate::outcome::Outcome;

/// What a gateway is and can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its version; old ones say only `dev`.
    pub version: String,
    /// The protocol agreed on.
    pub protocol: u32,
    /// The scopes that it gives; none if it does not say, which old ones do.
    pub scopes: Option<Vec<String>>,
    /// How its config keeps agents: `list` or `entries`.
    pub roster: &'static str,
    /// How many agents its config has.
    pub agents: usize,
    /// Documents that it does not keep as files.
    pub refused_files: Vec<&'static str>,
    /// Config keys of ours that it does not know.
    pub refused_keys: Vec<String>,
    /// Largest frame that it takes, in bytes.
    pub max_frame: usize,
    /// Known defects of its version, each as one sentence.
    pub defects: Vec<&'static str>,
    /// Agents that it does not wake, because others have a heartbeat of their own and they have
    /// none; the first few.
    pub silent_agents: Vec<String>,
}

impl Applier {
    /// Asks a gateway what it is and can do; nothing is written. The error is how a job would end
    /// that gets as far.
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
    let met = call.met().expect("it was reached").clone();
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

/// Most agents that are named.
const MAX_NAMED: usize = 5;

/// As soon as one agent has a heartbeat of its own, gateways wake those that have one and no
/// others.
fn silent_agents(config: &Config) -> Vec<String> {
    let (awake, silent): (Vec<_>, Vec<_>) =
        config.agents().partition(|(_, entry)| entry.contains_key("heartbeat"));
    let silent = if awake.is_empty() { Vec::new() } else { silent };
    silent.into_iter().map(|(id, _)| id.to_owned()).take(MAX_NAMED).collect()
}
