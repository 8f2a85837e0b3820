//! The plan of a chaos test: a stream of jobs that follows from a seed, and their agents.

use std::collections::BTreeMap;

use mission_core::Kind;
use mission_gateway_sim::Profile;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::GATEWAY_TOKEN;

/// The number of gateways, which alternate between two profiles.
pub const GATEWAYS: usize = 50;
/// The number of agents with a board on each gateway.
const AGENTS: usize = 6;
/// The number of agents on each gateway that only heartbeat-syncs touch, because the order between
/// two kinds of job is not promised.
const PULSES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agent {
    /// An agent of a board that is provisioned and cleaned up.
    Unit(usize),
    /// The gateway's main agent.
    Main,
    /// An agent of which only the heartbeat is synced.
    Pulse(usize),
}

/// A job of the plan.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    pub gateway: usize,
    pub kind: Kind,
    /// The agents of the job; only a heartbeat-sync has more than one.
    pub agents: Vec<Agent>,
    /// A number that no two jobs share. Name, role, heartbeat and token of the agents follow from
    /// it.
    pub revision: usize,
    /// `true` if a provisioning is an update.
    update: bool,
}

/// Returns the version that a gateway imitates.
pub const fn profile(gateway: usize) -> Profile {
    if gateway.is_multiple_of(2) { Profile::V2026_2_9 } else { Profile::V2026_9_6 }
}

/// Returns the id of a gateway, which is the lane of its jobs.
pub fn gateway_id(gateway: usize) -> Uuid {
    id(&format!("gateway {gateway}"))
}

/// Returns `count` jobs, always the same for the same seed.
pub fn jobs(seed: u64, count: usize) -> Vec<PlannedJob> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut jobs: Vec<PlannedJob> = Vec::with_capacity(count);
    // `true` for agents whose newest job provisions them.
    let mut present = BTreeMap::new();
    for revision in 0..count {
        // The same agent often comes twice in a row, so that its jobs meet.
        let (gateway, agent) = match jobs.last() {
            Some(last) if random.random_bool(0.3) => (last.gateway, last.agents[0]),
            _ => (random.random_range(0..GATEWAYS), any_agent(&mut random)),
        };
        let (mut agents, mut update) = (vec![agent], false);
        let kind = match agent {
            Agent::Main => Kind::ProvisionMain,
            Agent::Pulse(first) => {
                agents.extend(
                    (first + 1..PULSES).filter(|_| random.random_bool(0.5)).map(Agent::Pulse),
                );
                Kind::HeartbeatSync
            }
            Agent::Unit(_) => {
                let known = present.entry((gateway, agent)).or_insert(false);
                let provision = random.random_bool(if *known { 0.7 } else { 0.9 });
                update = *known && random.random_bool(0.5);
                *known = provision;
                if provision { Kind::Provision } else { Kind::Cleanup }
            }
        };
        jobs.push(PlannedJob { gateway, kind, agents, revision, update });
    }
    jobs
}

fn any_agent(random: &mut StdRng) -> Agent {
    match random.random_range(0..40) {
        0..32 => Agent::Unit(random.random_range(0..AGENTS)),
        32..35 => Agent::Main,
        _ => Agent::Pulse(random.random_range(0..PULSES)),
    }
}

/// Returns the position of each agent's newest job, by gateway and agent.
pub fn newest(jobs: &[PlannedJob]) -> BTreeMap<(usize, Agent), usize> {
    let places = jobs.iter().enumerate();
    places
        .flat_map(|(place, job)| job.agents.iter().map(move |agent| ((job.gateway, *agent), place)))
        .collect()
}

impl Agent {
    /// Returns the agent's id on the gateway.
    pub fn id(self, gateway: usize) -> String {
        match self {
            Self::Unit(number) => format!("unit-{number}"),
            Self::Main => format!("mc-gateway-{}", gateway_id(gateway)),
            Self::Pulse(number) => format!("pulse-{number}"),
        }
    }
}

impl PlannedJob {
    /// Returns the job document, for the gateway at that url.
    pub fn document(&self, url: &str) -> Value {
        let mut document = json!({
            "version": 1,
            "kind": self.kind.as_str(),
            "gateway": {
                "id": gateway_id(self.gateway), "name": "Acme", "url": url,
                "token": GATEWAY_TOKEN, "workspace_root": "/srv/openclaw"
            },
        });
        let agents: Vec<Value> = self.agents.iter().map(|agent| self.agent(*agent)).collect();
        if self.kind == Kind::HeartbeatSync {
            document["agents"] = agents.into();
            return document;
        }
        document["agent"] = agents[0].clone();
        if self.kind != Kind::Cleanup {
            document["auth_token"] = format!("token-{}", self.revision).into();
            document["options"] =
                json!({ "action": if self.update { "update" } else { "provision" } });
        }
        if self.kind == Kind::Provision {
            document["board"] = json!({ "id": id("board"), "name": "Launch" });
        }
        document
    }

    fn agent(&self, agent: Agent) -> Value {
        let (own, revision) = (agent.id(self.gateway), self.revision);
        let mut shown = json!({
            "id": id(&format!("{} {own}", self.gateway)),
            "name": format!("{own} {revision}"),
            "heartbeat_config": { "every": format!("{}m", 5 + revision) },
            "identity_profile": { "role": format!("Role {revision}") },
        });
        if agent != Agent::Main {
            shown["openclaw_session_id"] = format!("agent:{own}:main").into();
        }
        shown
    }
}

fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}
