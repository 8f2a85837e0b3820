//! Rules that keep the worker from harming gateways that people use, each tested on gateways that
//! behave as real ones do.

mod ownership;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use mission_core::apply::Run;
use mission_core::gateway::Limits;
use mission_core::journal::Journal;
use mission_core::{Failure, Job, Outcome};
use mission_gateway_sim::{Gateway, Profile, Setup};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::in_memory::Network;
use crate::killmatrix::flows::HOST;

/// Three profiles that keep agents in a list, and one that keeps them as entries.
const SHAPES: [Profile; 4] =
    [Profile::V2026_2_9, Profile::V2026_5_7, Profile::V2026_7_35, Profile::V2026_9_6];

fn gateway(profile: Profile, change: impl FnOnce(&mut Setup)) -> Arc<Gateway> {
    let mut setup = Setup::new(profile);
    change(&mut setup);
    Arc::new(Gateway::detached(setup))
}

/// Runs a job once, with its journal.
async fn attempt(gateway: &Arc<Gateway>, document: Value, journal: &Arc<Journal>) -> Run {
    let worker = Network::of([(HOST.to_owned(), Arc::clone(gateway))]).worker(Limits::default());
    worker.apply("job", &Job::from_value(document).unwrap(), journal).await
}

async fn apply(gateway: &Arc<Gateway>, document: Value) -> Outcome {
    attempt(gateway, document, &Arc::default()).await.outcome
}

async fn done(gateway: &Arc<Gateway>, document: Value) -> mission_core::Report {
    let journal = Arc::default();
    for _ in 0..5 {
        match attempt(gateway, document.clone(), &journal).await.outcome {
            Outcome::Done(report) => return *report,
            // Some gateways allow only three writes a minute, and a restart takes time.
            Outcome::Busy { retry_after: Some(wait), .. } => sleep(wait).await,
            Outcome::Transient(failure) if failure.code == "unreachable" => {
                sleep(Duration::from_secs(5)).await;
            }
            outcome => panic!("{:?}: {outcome:?}", gateway.profile()),
        }
    }
    panic!("{:?}: the job is not done", gateway.profile());
}

fn blocked(outcome: &Outcome, code: &str) -> Failure {
    let failure =
        outcome.failure().unwrap_or_else(|| panic!("it should be blocked by {code}: {outcome:?}"));
    assert_eq!((outcome.name(), failure.code.as_str()), ("blocked", code), "{failure:?}");
    assert!(failure.remedy.text().is_some(), "{failure:?}");
    failure.clone()
}

/// Returns an agent's entry in the gateway's effective config.
fn entry(gateway: &Gateway, id: &str) -> Option<Value> {
    let agents = &gateway.state()["config"]["agents"];
    let listed = agents["list"].as_array().into_iter().flatten().find(|entry| entry["id"] == id);
    agents["entries"].get(id).or(listed).cloned()
}

/// Returns a config with these agents, in the shape of that profile.
fn config(profile: Profile, agents: &Value) -> Value {
    let defaults = json!({ "workspace": "/srv/owner" });
    if matches!(profile, Profile::V2026_8_2 | Profile::V2026_9_6) {
        return json!({
            "agents": { "ownership": "explicit", "entries": agents, "defaults": defaults }
        });
    }
    let with_id = |(id, entry): (&String, &Value)| {
        let mut entry = entry.clone();
        entry["id"] = json!(id);
        entry
    };
    let list: Vec<_> = agents.as_object().unwrap().iter().map(with_id).collect();
    json!({ "agents": { "list": list, "defaults": defaults } })
}
