//! The simulated gateways, and the expected state of their agents: the state on a gateway that saw
//! only the newest job of each agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mission_core::apply::Applier;
use mission_core::documents::Document;
use mission_core::gateway::{Clients, DeviceIdentity, Limits};
use mission_core::{Job, Kind};
use mission_gateway_sim::{Gateway, Profile};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::plan::{Agent, GATEWAYS, PlannedJob, newest, profile};
use crate::faults::applier;
use crate::simulated;

/// Delays each answer, so that jobs take a while and strikes hit them half-way.
const LATENCY_MS: u64 = 15;

/// An agent in its gateway's state. All parts are null or empty when there is none.
pub type Seen = Value;

/// Starts all gateways. They do not limit writes, because a limit would only slow the jobs down.
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

/// Returns the expected state of each agent after its newest job, by running that job in this
/// process without disturbance.
pub async fn expected(jobs: &[PlannedJob]) -> BTreeMap<(usize, Agent), Seen> {
    let newest = newest(jobs);
    let mut gateways = JoinSet::new();
    for gateway in 0..GATEWAYS {
        let here = newest.range((gateway, Agent::Unit(0))..(gateway + 1, Agent::Unit(0)));
        let agents: Vec<Agent> = here.clone().map(|((_, agent), _)| *agent).collect();
        // In the order of enqueueing: a heartbeat-sync can be the newest job of one agent and an
        // older one of another.
        let planned_jobs: BTreeSet<usize> = here.map(|(_, place)| *place).collect();
        let planned_jobs: Vec<PlannedJob> =
            planned_jobs.into_iter().map(|place| jobs[place].clone()).collect();
        gateways.spawn(async move {
            let reference = one(profile(gateway), 0).await;
            // All gateways run at once and are slow, so the default limits apply.
            let clients = Clients::new(Arc::new(DeviceIdentity::ephemeral()), Limits::default());
            let applier = Applier { clients, ..applier() };
            for planned in planned_jobs.iter().filter(|planned| planned.kind != Kind::Cleanup) {
                // An update leaves out what the provisioning before it has written.
                let mut document = planned.document(&reference.url());
                if let Some(options) = document.get_mut("options") {
                    options["action"] = "provision".into();
                }
                let job = Job::from_value(document).unwrap();
                let run = applier.apply("reference", &job, &Arc::default()).await;
                assert_eq!(run.outcome.name(), "done", "{planned:?}: {:?}", run.outcome);
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

/// Returns an agent in a gateway's state. Documents that belong to the agent or are written only
/// once become `(any)`, because they still have the text of an older job.
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
        // Texts are split into lines, so that differences are reported by line.
        let lines: Vec<&str> = text.as_str().into_iter().flat_map(str::lines).collect();
        (name.clone(), if written_once { "(any)".into() } else { lines.into() })
    });
    // The session of a main agent has another name, under which the old gateway does not show its
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
