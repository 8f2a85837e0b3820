//! Tests of the configuration with which a gateway runs after writes and restarts.

use std::time::Duration;

use mission_gateway_sim::Gateway;
use serde_json::{Value, json};

use crate::client::{Client, Gone, from_json, patch};

const VISIBILITY: &str = r#"{"channels":{"defaults":{"heartbeat":{"showOk":false}}}}"#;

fn two_agents() -> Value {
    json!({ "agents": { "list": [
        { "id": "main" }, {
            "id": "ada", "workspace": "/w/ada",
        }, { "id": "bob", "workspace": "/w/bob" },
    ] } })
}

/// Starts 2026.5.7 with two agents, after a patch of `channels` that ended the connection.
async fn stale() -> (Gateway, Client) {
    let (gateway, mut client) =
        from_json(json!({ "profile": "2026.5.7", "options": { "restart_outage_ms": 0 } })).await;
    patch(&mut client, &two_agents()).await.unwrap();
    // A change of agents alone is applied at once.
    client.ok("agents.files.list", json!({ "agentId": "ada" })).await;
    let hash = client.ok("config.get", json!({})).await["hash"].clone();
    let cut = client.call("config.patch", json!({ "raw": VISIBILITY, "baseHash": hash })).await;
    assert_eq!(cut, Err(Gone::Closed(1012)));
    let client = Client::connected(&gateway.url(), "").await;
    (gateway, client)
}

#[tokio::test]
async fn after_a_patch_of_channels_one_version_runs_with_its_first_configuration() {
    let (gateway, mut client) = stale().await;
    let unknown = client.refused("agents.files.list", json!({ "agentId": "ada" })).await;
    assert_eq!(unknown, "unknown agent id");
    assert_eq!(
        client.refused("agents.delete", json!({ "agentId": "bob" })).await,
        "agent \"bob\" not found"
    );
    let seen = client.ok("config.get", json!({})).await;
    assert_eq!(seen["parsed"]["agents"]["list"].as_array().unwrap().len(), 3);
    assert_eq!(gateway.effects().restarts, ["config.patch"]);

    // The next call that writes overwrites the file with the running configuration.
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
    let file = gateway.state()["config"].clone();
    let ids: Vec<&Value> =
        file["agents"]["list"].as_array().unwrap().iter().map(|entry| &entry["id"]).collect();
    assert_eq!(ids, ["main", "ada"]);
    assert_eq!(file.get("channels"), None);
}

#[tokio::test]
async fn a_restart_by_hand_applies_the_file() {
    let (gateway, _) = stale().await;
    gateway.restart(Duration::ZERO);
    let mut client = Client::connected(&gateway.url(), "").await;
    client.ok("agents.files.list", json!({ "agentId": "ada" })).await;
    client.ok("agents.delete", json!({ "agentId": "bob" })).await;
    assert_eq!(gateway.state()["config"]["channels"]["defaults"]["heartbeat"]["showOk"], false);
}

#[tokio::test]
async fn a_complete_configuration_is_one_write_and_no_restart() {
    let config = json!({ "channels": { "defaults": { "heartbeat": { "showOk": false } } } });
    let (gateway, mut client) = from_json(json!({ "profile": "2026.5.7", "config": config })).await;
    let mut wanted = two_agents();
    wanted["channels"] = config["channels"].clone();
    patch(&mut client, &wanted).await.unwrap();
    client.ok("agents.files.list", json!({ "agentId": "ada" })).await;
    let effects = gateway.effects();
    assert_eq!((effects.writes.len(), effects.restarts.len()), (1, 0));
    assert_eq!(effects.writes[0].paths, ["agents"]);
}

#[tokio::test]
async fn without_channels_that_version_drops_them_with_the_first_deleted_agent() {
    let mut config = two_agents();
    config["channels"] = json!({ "defaults": { "heartbeat": { "showOk": false } } });
    let options = json!({ "skips_channels": true, "restart_outage_ms": 0 });
    let (gateway, mut client) =
        from_json(json!({ "profile": "2026.5.7", "config": config, "options": options })).await;
    patch(&mut client, &json!({ "agents": { "list": [{ "id": "eve", "workspace": "/w/eve" }] } }))
        .await
        .unwrap();
    client.ok("agents.files.list", json!({ "agentId": "eve" })).await;
    let cut = client.call("agents.delete", json!({ "agentId": "ada" })).await;
    assert_eq!(cut, Err(Gone::Closed(1012)));
    let file = gateway.state()["config"].clone();
    assert_eq!((file["agents"]["list"].as_array().unwrap().len(), file.get("channels")), (3, None));
    let mut client = Client::connected(&gateway.url(), "").await;
    assert_eq!(
        client.refused("agents.delete", json!({ "agentId": "eve" })).await,
        "agent \"eve\" not found"
    );
    client.ok("agents.files.list", json!({ "agentId": "ada" })).await;
}

#[tokio::test]
async fn a_gateway_that_does_not_watch_its_file_is_unchanged_by_an_edit() {
    let list = |ids: &[&str]| -> Value {
        let entries = ids.iter().map(|id| json!({ "id": id, "workspace": format!("/w/{id}") }));
        json!({ "agents": { "list": entries.collect::<Vec<_>>() } })
    };
    let mut config = list(&["main", "old"]);
    config["gateway"] = json!({ "reload": { "mode": "off" } });
    let options = json!({ "restart_after_patch_ms": 10, "restart_outage_ms": 0 });
    let setup = json!({ "profile": "2026.7.35", "config": config, "options": options });
    let (gateway, mut client) = from_json(setup).await;
    gateway.edit_config(&list(&["main", "old", "ada"]));
    assert_eq!(
        client.refused("agents.delete", json!({ "agentId": "ada" })).await,
        "agent \"ada\" not found"
    );
    let seen = client.ok("config.get", json!({})).await;
    assert_eq!(seen["config"]["agents"]["list"][2]["id"], "ada");
    gateway.restart(Duration::ZERO);
    assert_eq!(client.end().await, Gone::Closed(1012));
    let mut client = Client::connected(&gateway.url(), "").await;
    client.ok("agents.files.list", json!({ "agentId": "ada" })).await;
    // Calls are applied, and a patch restarts the gateway.
    client.ok("agents.delete", json!({ "agentId": "ada" })).await;
    patch(&mut client, &list(&["bob"])).await.unwrap();
    assert_eq!(client.end().await, Gone::Closed(1012));
    assert_eq!(gateway.effects().restarts, ["config.patch"]);
}

#[tokio::test]
async fn an_unresolvable_reference_stops_the_oldest_gateway_after_the_patch() {
    let options = json!({
        "restart_after_write_ms": 10, "restart_after_patch_ms": 20, "restart_outage_ms": 0,
    });
    let setup = json!({ "profile": "2026.2.9", "env": {}, "options": options });
    let (gateway, mut client) = from_json(setup).await;
    patch(&mut client, &json!({ "agents": { "list": [{ "id": "main", "name": "${NO}" }] } }))
        .await
        .unwrap();
    assert_eq!(client.end().await, Gone::Closed(1012));
    assert!(gateway.dead().unwrap().starts_with("Missing env var \"NO\""));
    assert!(tokio_tungstenite::connect_async(gateway.url()).await.is_err());
}
