//! Tests of heartbeat-syncs of which some agents have been cleaned up meanwhile.

use std::collections::HashSet;
use std::sync::Arc;

use mission_core::apply::Applier;
use mission_core::gateway::{Clients, DeviceIdentity, Limits};
use mission_core::mirror::Mirror;
use mission_core::render::{Renderer, TemplatesConfig};
use mission_core::seeds::Seeds;
use mission_core::{Job, Outcome, Report};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::scripted::Scripted;

const ADA: Uuid = Uuid::from_u128(1);
const BO: Uuid = Uuid::from_u128(2);

/// Runs a sync of Ada and Bo on the gateway at this port after these agents have been cleaned up.
async fn sync(port: u16, cleaned_up: &[Uuid]) -> Report {
    synced(port, &json!([{ "id": ADA, "name": "Ada" }, { "id": BO, "name": "Bo" }]), cleaned_up)
        .await
}

async fn synced(port: u16, agents: &Value, cleaned_up: &[Uuid]) -> Report {
    let document = json!({
        "version": 1,
        "kind": "heartbeat-sync",
        "gateway": {
            "id": Uuid::from_u128(9), "url": format!("ws://127.0.0.1:{port}"),
            "workspace_root": "/w",
        },
        "agents": agents,
    });
    let mut job = Job::from_value(document).unwrap();
    let Job::HeartbeatSync(sync) = &mut job else { panic!("{job:?}") };
    sync.leave_out(&cleaned_up.iter().copied().collect::<HashSet<_>>());
    let applier = Applier {
        clients: Clients::new(Arc::new(DeviceIdentity::ephemeral()), Limits::default()),
        renderer: Renderer::new(TemplatesConfig::default()),
        mirror: Mirror::new("").unwrap(),
        seeds: Seeds::default(),
        base_url: None,
    };
    match applier.apply("sync", &job, &Arc::default()).await.outcome {
        Outcome::Done(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn skipped(report: &Report) -> Vec<(&str, &str)> {
    report.skipped.iter().map(|skipped| (skipped.what.as_str(), skipped.why.as_str())).collect()
}

#[tokio::test]
async fn an_agent_that_is_left_out_is_reported_and_not_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut gateway = Scripted::open(listener.accept().await.unwrap().0, json!({})).await;
        // Bo is as desired. If Ada were in the sync, a write would follow, which this gateway does
        // not answer.
        let heartbeat = json!({ "every": "10m", "target": "none", "includeReasoning": false });
        let shown = json!({ "showOk": false, "showAlerts": true, "useIndicator": true });
        let config = json!({
            "agents": {
                "list": [{ "id": "bo", "workspace": "/w/workspace-bo", "heartbeat": heartbeat }],
            },
            "channels": { "defaults": { "heartbeat": shown } },
        });
        while let Some(request) = gateway.request().await {
            assert_eq!(request["method"], "config.get");
            gateway.answer(&request, &json!({ "config": config })).await;
        }
    });
    let report = sync(port, &[ADA]).await;
    assert_eq!(skipped(&report), [("agent ada", "a cleanup or a newer job decides about it")]);
    assert_eq!(
        report.summary,
        "the heartbeats of 1 agent were as they should be; nothing was written"
    );
    assert!(report.gateway.is_some(), "the gateway was asked");
}

#[tokio::test]
async fn a_key_that_may_be_misspelt_is_named_with_the_one_that_is_meant() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut gateway = Scripted::open(listener.accept().await.unwrap().0, json!({})).await;
        let heartbeat =
            json!({ "every": "10m", "target": "none", "includeReasoning": false, "evry": "5m" });
        let shown = json!({ "showOk": false, "showAlerts": true, "useIndicator": true });
        let config = json!({
            "agents": {
                "list": [{ "id": "bo", "workspace": "/w/workspace-bo", "heartbeat": heartbeat }],
            },
            "channels": { "defaults": { "heartbeat": shown } },
        });
        while let Some(request) = gateway.request().await {
            gateway.answer(&request, &json!({ "config": config })).await;
        }
    });
    let bo = json!({ "id": BO, "name": "Bo", "heartbeat_config": { "evry": "5m" } });
    let report = synced(port, &json!([bo]), &[]).await;
    let why = "no gateway is known to have it; is `every` meant?";
    assert_eq!(skipped(&report), [("config heartbeat.evry", why)]);
}

#[tokio::test]
async fn a_sync_without_agents_succeeds_without_the_gateway() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let report = sync(port, &[ADA, BO]).await;
    let why = "a cleanup or a newer job decides about it";
    assert_eq!(skipped(&report), [("agent ada", why), ("agent bo", why)]);
    assert_eq!(
        report.summary,
        "no agents to sync; a cleanup or a newer job decides about 2 agents"
    );
    assert_eq!((report.gateway, report.rpc_count), (None, 0), "the gateway was not asked");
}
