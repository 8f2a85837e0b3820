//! The simulated gateways, and how their agents must be at the end: as on a gateway that saw the
//! newest job only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mission_core::apply::Applier;
use mission_core::documents::Document;
use mission_core::gateway::{Clients, DeviceIdentity, Limits};
use mission_core::{Job, Kind};
use mission_gateway_sim::{Gateway, Profile};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::plan::{Agent, GATEWAYS, Wish, newest, profile};
use crate::faults::applier;
use crate::simulated;

/// Answers take this long, so that a job takes a while and strikes meet it half-way.
const LATENCY_MS: u64 = 15;

/// An agent as its gateway has it; all parts are null or empty when there is none.
pub type Seen = Value;

/// Starts all gateways. Writing is not limited: a limit would only slow the jobs down.
pub async fn start() -> Vec<Gateway> {
    let mut gateways = Vec::with_capacity(GATEWAYS);
    for gateway in 0..GATEWAYS {
        gateways.push(one(profile(gateway), LATENCY_MS).await);
    }
    gateways
}

async fn one(profile: Profile, latency_ms: u64) -> Gateway {
    let change = |setup: &mut mission_gateway_sim::Setup| {
        setup.options.latency_ms = latency_ms;
        setup.options.patches_per_minute = Some(u32::MAX);
    };
    simulated::start(profile, change).await
}

/// How each agent must be when its newest job is done, as carried out in this process and without
/// disturbance.
pub async fn expected(jobs: &[Wish]) -> BTreeMap<(usize, Agent), Seen> {
    let newest = newest(jobs);
    let mut gateways = JoinSet::new();
    for gateway in 0..GATEWAYS {
        let here = newest.range((gateway, Agent::Unit(0))..(gateway + 1, Agent::Unit(0)));
        let agents: Vec<Agent> = here.clone().map(|((_, agent), _)| *agent).collect();
        // In the order of enqueueing: a heartbeat-sync can be the newest of one agent, and old for
        // another.
        let wishes: BTreeSet<usize> = here.map(|(_, place)| *place).collect();
        let wishes: Vec<Wish> = wishes.into_iter().map(|place| jobs[place].clone()).collect();
        gateways.spawn(async move {
            let reference = one(profile(gateway), 0).await;
            // All gateways at once are slow.
            let clients = Clients::new(Arc::new(DeviceIdentity::ephemeral()), Limits::default());
            let applier = Applier { clients, ..applier() };
            for wish in wishes.iter().filter(|wish| wish.kind != Kind::Cleanup) {
                // An update leaves out what the provisioning before it has written.
                let mut document = wish.document(&reference.url());
                if let Some(options) = document.get_mut("options") {
                    options["action"] = "provision".into();
                }
                let job = Job::from_value(document).unwrap();
                let run = applier.apply("reference", &job, &Arc::default()).await;
                assert_eq!(run.outcome.name(), "done", "{wish:?}: {:?}", run.outcome);
            }
            let state = reference.state();
            agents
                .into_iter()
                .map(move |agent| ((gateway, agent), seen(&state, gateway, agent)))
                .collect::<Vec<_>>()
        });
    }
    gateways.join_all().await.into_iter().flatten().collect()
}

/// An agent in a gateway's state. Documents that are the agent's own, or written once, say what an
/// older job said.
pub fn seen(state: &Value, gateway: usize, agent: Agent) -> Seen {
    let id = agent.id(gateway);
    let config = &state["config"]["agents"];
    let listed = config["list"]
        .as_array()
        .and_then(|list| list.iter().find(|entry| entry["id"] == id.as_str()));
    let entry = listed.or(config["entries"].get(&id));
    let field = |name: &str| entry.and_then(|entry| entry.get(name)).cloned().unwrap_or_default();
    let files = state["files"][&id].as_object().into_iter().flatten().map(|(name, text)| {
        let written_once = Document::ALL
            .into_iter()
            .filter(|document| document.is_agents_own() || *document == Document::Bootstrap)
            .any(|document| document.file_name() == name);
        // By line, so that differences are told by line.
        let lines: Vec<&str> = text.as_str().into_iter().flat_map(str::lines).collect();
        (name.clone(), if written_once { "(any)".into() } else { lines.into() })
    });
    // A main agent's session bears another name, under which the old gateway does not show its
    // label.
    let session = if agent == Agent::Main { id.replace("mc-", "") } else { id.clone() };
    let mut session = state["sessions"][format!("agent:{session}:main")].clone();
    if agent == Agent::Main && profile(gateway) == Profile::V2026_2_9 && !session.is_null() {
        session["label"] = "(any)".into();
    }
    json!({
        "name": field("name"), "workspace": field("workspace"), "heartbeat": field("heartbeat"),
        "files": files.collect::<serde_json::Map<_, _>>(),
        "session": session,
    })
}
