//! What is asked of the gateways: a stream of jobs that follows from a seed, and the agents that it
//! is about.

use std::collections::BTreeMap;

use mission_core::Kind;
use mission_gateway_sim::Profile;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::GATEWAY_TOKEN;

/// Gateways, of both profiles in turn.
pub const GATEWAYS: usize = 50;
/// Agents with a board, on each gateway.
const AGENTS: usize = 6;
/// Agents that only heartbeat-syncs are about, on each gateway: which of two kinds of job would win
/// is not promised.
const PULSES: usize = 3;

/// An agent of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agent {
    /// Provisioned and cleaned up.
    Unit(usize),
    /// The gateway's main agent.
    Main,
    /// Its heartbeat is synced.
    Pulse(usize),
}

/// A job of the plan.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Number of the gateway.
    pub gateway: usize,
    /// The kind of job.
    pub kind: Kind,
    /// The agents it is about; more than one in a heartbeat-sync only.
    pub agents: Vec<Agent>,
    /// No two jobs have the same. Name, role, heartbeat and token of the agents follow from it.
    pub revision: usize,
    /// Whether a provisioning is an update.
    update: bool,
}

/// The gateway's imitated version.
pub const fn profile(gateway: usize) -> Profile {
    if gateway.is_multiple_of(2) { Profile::V2026_2_9 } else { Profile::V2026_9_6 }
}

/// The gateway's id: the lane of its jobs.
pub fn gateway_id(gateway: usize) -> Uuid {
    id(&format!("gateway {gateway}"))
}

/// That many jobs; the same for the same seed.
pub fn jobs(seed: u64, count: usize) -> Vec<Wish> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut jobs: Vec<Wish> = Vec::with_capacity(count);
    // Whether the newest job of an agent provisions it.
    let mut present = BTreeMap::new();
    for revision in 0..count {
        // Often the same agent twice in a row, so that its jobs meet each other.
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
        jobs.push(Wish { gateway, kind, agents, revision, update });
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

/// The newest job of each agent, by gateway and agent, with its place among the jobs.
pub fn newest(jobs: &[Wish]) -> BTreeMap<(usize, Agent), usize> {
    let places = jobs.iter().enumerate();
    places
        .flat_map(|(place, wish)| {
            wish.agents.iter().map(move |agent| ((wish.gateway, *agent), place))
        })
        .collect()
}

impl Agent {
    /// Its id on the gateway.
    pub fn id(self, gateway: usize) -> String {
        match self {
            Self::Unit(number) => format!("unit-{number}"),
            Self::Main => format!("mc-gateway-{}", gateway_id(gateway)),
            Self::Pulse(number) => format!("pulse-{number}"),
        }
    }
}

impl Wish {
    /// The job document, for the gateway at that url.
    pub fn document(&self, url: &str) -> Value {
        let mut document = json!({
            "version": 1,
            "kind": self.kind.as_str(),
            "gateway": { "id": gateway_id(self.gateway), "name": "Acme", "url": url, "token": GATEWAY_TOKEN,
                         "workspace_root": "/srv/openclaw" },
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
