//! Jobs of one gateway share its config: they use one connection, and one write for all pending
//! changes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mission_core::apply::Applier;
use mission_core::gateway::{Clients, DeviceIdentity, Limits};
use mission_core::mirror::Mirror;
use mission_core::model::Job;
use mission_core::outcome::{Outcome, Report};
use mission_core::render::{Renderer, TemplatesConfig};
use mission_gateway_sim::{Action, Fault, Gateway};

use crate::simulated::seeds;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::documents;

async fn gateway(profile: &str, options: Value) -> Gateway {
    let setup = json!({ "profile": profile, "options": options });
    Gateway::start(serde_json::from_value(setup).unwrap()).await.unwrap()
}

fn applier() -> Applier {
    Applier {
        clients: Clients::new(Arc::new(DeviceIdentity::ephemeral()), Limits::default()),
        renderer: Renderer::new(TemplatesConfig::default()),
        mirror: Mirror::new("").unwrap(),
        seeds: seeds(),
        base_url: None,
    }
}

fn job(document: &Value) -> Job {
    Job::parse(document.to_string().as_bytes()).unwrap()
}

fn jobs(gateway: &Gateway, count: usize) -> Vec<Job> {
    (0..count)
        .map(|number| job(&documents::provision(&gateway.url(), &format!("Agent {number}"))))
        .collect()
}

/// Applies all jobs at once.
async fn apply(applier: &Applier, jobs: &[Job]) -> Vec<Outcome> {
    let runs =
        join_all(jobs.iter().map(async |job| applier.apply("1", job, &Arc::default()).await));
    timeout(Duration::from_secs(120), runs)
        .await
        .unwrap()
        .into_iter()
        .map(|run| run.outcome)
        .collect()
}

fn report(outcome: &Outcome) -> &Report {
    match outcome {
        Outcome::Done(report) => report,
        other => panic!("{:?}", other.failure()),
    }
}

fn roster(gateway: &Gateway) -> usize {
    let state = gateway.state();
    let agents = &state["config"]["agents"];
    agents["list"].as_array().map_or_else(|| agents["entries"].as_object().unwrap().len(), Vec::len)
}

#[tokio::test]
async fn fifty_agents_at_once_need_one_connection_and_one_write() {
    for profile in ["2026.2.9", "2026.9.6"] {
        let gateway = gateway(profile, json!({ "latency_ms": 10, "restarts": false })).await;
        let outcomes = apply(&applier(), &jobs(&gateway, 50)).await;
        let reports: Vec<_> = outcomes.iter().map(report).collect();
        let rpcs: u32 = reports.iter().map(|report| report.rpc_count).sum();
        println!("{profile}: {} config writes, {rpcs} requests", gateway.config_writes());
        assert_eq!((gateway.connections(), gateway.config_writes()), (1, 1), "{profile}");
        assert_eq!(reports.iter().map(|report| report.config_writes).sum::<u32>(), 1, "{profile}");
        assert_eq!(roster(&gateway), 51, "{profile}");
        for (number, report) in reports.iter().enumerate() {
            let of_agent = format!("agent-{number}: name");
            let mine: Vec<_> =
                report.written.iter().filter(|what| what.starts_with("config agents")).collect();
            assert!(
                matches!(mine[..], [what] if what.contains(&of_agent)),
                "{profile}: {:?}",
                report.written
            );
        }
    }
}

#[tokio::test]
async fn a_run_with_an_invalid_change_is_refused_alone() {
    for profile in ["2026.2.9", "2026.9.6"] {
        let gateway = gateway(profile, json!({ "restarts": false })).await;
        let mut jobs = jobs(&gateway, 4);
        let mut nonsense = documents::provision(&gateway.url(), "Nonsense");
        nonsense["agent"]["heartbeat_config"] = json!({ "every": "now and then" });
        jobs.push(job(&nonsense));
        let outcomes = apply(&applier(), &jobs).await;
        let failure = outcomes[4].failure().unwrap();
        assert_eq!(
            (outcomes[4].name(), &failure.code[..]),
            ("blocked", "gateway_config_invalid"),
            "{failure:?}"
        );
        for outcome in &outcomes[..4] {
            report(outcome);
        }
        assert_eq!(roster(&gateway), 5, "{profile}");
    }
}

#[tokio::test]
async fn an_invalid_change_beside_it_does_not_keep_a_key_from_being_removed() {
    for profile in ["2026.2.9", "2026.3.13", "2026.9.6"] {
        let options = json!({ "restarts": false, "patches_per_minute": 100 });
        let gateway = gateway(profile, options).await;
        let applier = applier();
        let mut ada = documents::provision(&gateway.url(), "Ada");
        ada["agent"]["heartbeat_config"] = json!({ "every": "5m", "model": "small" });
        let before = applier.apply("1", &job(&ada), &Arc::default()).await;
        report(&before.outcome);
        ada["agent"]["heartbeat_config"] = json!({ "every": "5m" });
        let Job::Provision(mut ada) = job(&ada) else { panic!("a provisioning") };
        ada.applied = before.applied;
        let mut nonsense = documents::provision(&gateway.url(), "Nonsense");
        nonsense["agent"]["heartbeat_config"] = json!({ "every": "now and then" });
        let outcomes = apply(&applier, &[Job::Provision(ada), job(&nonsense)]).await;
        report(&outcomes[0]);
        assert_eq!(outcomes[1].name(), "blocked", "{profile}");
        assert!(!gateway.state()["config"].to_string().contains("small"), "{profile}");
    }
}

#[tokio::test]
async fn the_changes_of_a_run_that_is_stopped_are_written_again() {
    let gateway = gateway("2026.2.9", json!({ "restarts": false })).await;
    let applier = Arc::new(applier());
    // The first write hangs, and the run that sent it is stopped.
    gateway.inject(Fault::on("config.patch", Action::Silence));
    let jobs = jobs(&gateway, 3);
    let runs: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let applier = Arc::clone(&applier);
            tokio::spawn(async move { applier.apply("1", &job, &Arc::default()).await.outcome })
        })
        .collect();
    assert!(gateway.wait_for(|calls| calls.iter().any(|call| call.method == "config.patch")).await);
    // The first run is the leader and writes for all; the others wait for its write.
    let mut runs = runs.into_iter();
    runs.next().unwrap().abort();
    for run in runs {
        report(&timeout(Duration::from_secs(60), run).await.unwrap().unwrap());
    }
    assert_eq!(roster(&gateway), 3);
}

#[tokio::test]
async fn two_runs_with_different_changes_of_an_agent_take_turns() {
    let gateway = gateway("2026.2.9", json!({ "restarts": false })).await;
    let mut other = documents::provision(&gateway.url(), "Ada");
    other["kind"] = json!("heartbeat-sync");
    let mut agent = other["agent"].take();
    agent["heartbeat_config"] = json!({ "every": "2h" });
    let sync = json!({
        "version": 1, "kind": "heartbeat-sync", "gateway": other["gateway"], "agents": [agent]
    });
    let applier = applier();
    apply(&applier, &[job(&documents::provision(&gateway.url(), "Ada"))])
        .await
        .iter()
        .for_each(|outcome| assert!(report(outcome).changed));
    let mut renamed = documents::provision(&gateway.url(), "Ada");
    renamed["agent"]["heartbeat_config"] = json!({ "every": "2h" });
    renamed["agent"]["name"] = json!("Ada");
    let outcomes = apply(&applier, &[job(&renamed), job(&sync)]).await;
    for outcome in &outcomes {
        report(outcome);
    }
    assert_eq!(gateway.state()["config"]["agents"]["list"][1]["heartbeat"]["every"], "2h");
}

#[tokio::test]
async fn a_sync_brings_no_agent_back_that_a_cleanup_beside_it_deletes() {
    for profile in ["2026.2.9", "2026.9.6"] {
        let gateway = gateway(profile, json!({ "restarts": false })).await;
        let ada = documents::provision(&gateway.url(), "Ada");
        let mut agent = ada["agent"].clone();
        agent["heartbeat_config"] = json!({ "every": "2h" });
        let sync = json!({
            "version": 1, "kind": "heartbeat-sync", "gateway": ada["gateway"], "agents": [agent]
        });
        let mut cleanup = ada.clone();
        cleanup["kind"] = json!("cleanup");
        let applier = applier();
        report(&apply(&applier, &[job(&ada)]).await[0]);
        let before = roster(&gateway);
        // The queue lets a sync run that it gave away before the cleanup came.
        gateway.inject(Fault::on("agents.delete", Action::Delay(300)));
        let applier = Arc::new(applier);
        let deleting = {
            let (applier, job) = (Arc::clone(&applier), job(&cleanup));
            tokio::spawn(async move { applier.apply("2", &job, &Arc::default()).await.outcome })
        };
        assert!(
            gateway.wait_for(|calls| calls.iter().any(|call| call.method == "agents.delete")).await
        );
        report(&apply(&applier, &[job(&sync)]).await[0]);
        report(&deleting.await.unwrap());
        assert_eq!(roster(&gateway), before - 1, "{profile}");

        report(&apply(&applier, &[job(&ada)]).await[0]);
        report(&apply(&applier, &[job(&sync)]).await[0]);
        assert_eq!(roster(&gateway), before, "{profile}");
        assert!(gateway.state()["config"].to_string().contains("2h"), "{profile}");
    }
}
