//! Tests of options, canned answers, limits, restarts and the handle.

use std::time::Duration;

use mission_gateway_sim::{Gateway, Options, Profile, Setup};
use serde_json::json;

use crate::client::{Client, Gone, from_json, patch};

#[tokio::test]
async fn agents_are_the_configurations_list() {
    let (gateway, mut client) =
        from_json(json!({ "config": { "agents": { "list": [{ "id": "main" }] } } })).await;
    client.ok("agents.create", json!({ "name": "Ada L", "workspace": "/w/ada" })).await;
    client
        .ok("agents.files.set", json!({ "agentId": "ada-l", "name": "SOUL.md", "content": "s" }))
        .await;
    client.ok("sessions.patch", json!({ "key": "agent:ada-l:main", "label": "Ada" })).await;
    client.ok("sessions.reset", json!({ "key": "agent:ada-l:main" })).await;
    let ada = json!({ "id": "ada-l", "name": "Ada L", "workspace": "/w/ada" });
    assert_eq!(
        gateway.state(),
        json!({
            "agents": { "main": { "id": "main", "name": null, "workspace": null }, "ada-l": ada },
            "config": { "agents": { "list": [{ "id": "main" }, ada] } },
            "files": { "ada-l": { "SOUL.md": "s" } },
            "sessions": { "agent:ada-l:main": { "label": "Ada", "resets": 1 } },
        })
    );
    // A patch replaces the list, so an agent that is missing from it is removed.
    patch(&mut client, &json!({ "agents": { "list": [{ "id": "bob" }] } })).await.unwrap();
    assert_eq!(client.ok("agents.list", json!({})).await["agents"], json!([{ "id": "bob" }]));
    let methods: Vec<String> =
        gateway.mutating_calls().into_iter().map(|call| call.method).collect();
    assert_eq!(
        methods,
        ["agents.create", "agents.files.set", "sessions.patch", "sessions.reset", "config.patch"]
    );
    assert_eq!(gateway.config_writes(), 2);
}

#[tokio::test]
async fn a_separate_registry_ignores_the_configuration() {
    let (gateway, mut client) = from_json(json!({
        "agents": { "main": { "name": "Main" } },
        "config": { "agents": { "list": [{ "id": "zed" }] } },
        "options": { "link_agents_config": false },
    }))
    .await;
    assert_eq!(
        client.refused("agents.files.list", json!({ "agentId": "zed" })).await,
        "unknown agent id"
    );
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w" })).await;
    client.ok("agents.delete", json!({ "agentId": "main" })).await;
    let state = gateway.state();
    assert_eq!(
        state["agents"],
        json!({ "ada": { "id": "ada", "name": "ada", "workspace": "/w" } })
    );
    assert_eq!(state["config"], json!({ "agents": { "list": [{ "id": "zed" }] } }));
    assert_eq!(gateway.config_writes(), 0);
}

#[tokio::test]
async fn small_options_have_their_effect() {
    let (_gateway, mut client) = from_json(json!({
        "config": { "agents": { "list": [{ "id": "a" }, { "id": "zed" }] } },
        "default_id": "zed",
        "supported_files": ["SOUL.md", "USER.md"],
        "sessions": { "agent:other:main": { "label": "Ada" } },
        "options": {
            "list_missing_files": false, "unique_labels": true, "protect_main_session": true,
            "require_base_hash": false, "seed_files_on_create": { "USER.md": "u" },
            "event_noise": 1.0,
            "latency_ms": 1, "shuffle_ms": 5,
        },
    }))
    .await;
    client.ok("agents.create", json!({ "name": "b", "workspace": "/w" })).await;
    let files = client.ok("agents.files.list", json!({ "agentId": "b" })).await["files"].clone();
    assert_eq!(files.as_array().unwrap().len(), 1);
    assert_eq!((&files[0]["name"], &files[0]["missing"]), (&json!("USER.md"), &json!(false)));
    let unsupported = json!({ "agentId": "b", "name": "X.md", "content": "" });
    assert_eq!(client.refused("agents.files.set", unsupported).await, "unsupported file \"X.md\"");
    let taken = json!({ "key": "agent:a:main", "label": "Ada" });
    assert_eq!(client.refused("sessions.patch", taken).await, "label already in use: Ada");
    let protected = client.refused("sessions.delete", json!({ "key": "agent:zed:main" })).await;
    assert_eq!(protected, "Cannot delete the main session (agent:zed:main).");
    client.ok("config.patch", json!({ "raw": "{\"x\":1}" })).await;
    assert!(client.saw("tick"));
}

#[tokio::test]
async fn shuffled_replies_overtake_each_other() {
    let (_gateway, mut client) = from_json(json!({ "options": { "shuffle_ms": 100 } })).await;
    let mut sent = Vec::new();
    for _ in 0..8 {
        sent.push(client.send("health", json!({})).await);
    }
    let mut answered = Vec::new();
    for _ in 0..8 {
        answered.push(client.frame().await.unwrap()["id"].as_str().unwrap().to_owned());
    }
    assert_ne!(answered, sent);
    answered.sort();
    assert_eq!(answered, sent);
}

#[tokio::test]
async fn canned_answers_match_and_run_out() {
    let (gateway, mut client) = from_json(json!({
        "canned": [
            { "method": "config.get", "payload": { "hash": "old" }, "times": 1 },
            {
                "method": "sessions.patch", "match": { "label": "b" },
                "error": { "code": "X", "message": "no" },
            },
        ],
    }))
    .await;
    assert_eq!(client.ok("config.get", json!({})).await, json!({ "hash": "old" }));
    assert_ne!(client.ok("config.get", json!({})).await["hash"], "old");
    client.ok("sessions.patch", json!({ "key": "k", "label": "a" })).await;
    let error = client
        .call("sessions.patch", json!({ "key": "k", "label": "b" }))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error, json!({ "code": "X", "message": "no" }));
    assert_eq!(gateway.calls().last().unwrap().error.as_deref(), Some("no"));
}

#[tokio::test]
async fn the_31st_patch_of_a_minute_is_refused() {
    let gateway = Gateway::start(Setup::new(Profile::V2026_9_6)).await.unwrap();
    let mut client = Client::connected(&gateway.url(), "").await;
    let bad = json!({ "raw": "{{{" });
    for _ in 0..30 {
        assert!(client.refused("config.patch", bad.clone()).await.starts_with("SyntaxError"));
    }
    // The same device on another connection counts as the same client.
    let mut client = Client::connected(&gateway.url(), "").await;
    let error = client.call("config.patch", bad).await.unwrap().unwrap_err();
    assert_eq!(error["details"], json!({ "method": "config.patch", "limit": "30 per 60s" }));
    assert!(error["retryAfterMs"].as_u64().unwrap() > 50_000);
}

#[tokio::test]
async fn only_one_of_two_patches_from_the_same_base_is_written() {
    let gateway = Gateway::start(Setup::new(Profile::V2026_9_6)).await.unwrap();
    let mut client = Client::connected(&gateway.url(), "").await;
    let hash = client.ok("config.get", json!({})).await["hash"].clone();
    assert!(hash.as_str().unwrap().starts_with("hmac-sha256:v1:"));
    let first =
        client.send("config.patch", json!({ "raw": "{\"ui\":{\"a\":1}}", "baseHash": hash })).await;
    let second =
        client.send("config.patch", json!({ "raw": "{\"ui\":{\"b\":1}}", "baseHash": hash })).await;
    assert_eq!(client.reply(&first).await.unwrap()["ok"], true);
    assert_eq!(client.reply(&second).await.unwrap()["ok"], false);
    // The event may arrive after the answers.
    for _ in 0..100 {
        client.ok("health", json!({})).await;
    }
    assert!(client.saw("config.changed"));
}

#[tokio::test]
async fn a_roster_of_several_must_be_explicit_on_the_new_gateway() {
    let gateway = Gateway::start(Setup::new(Profile::V2026_9_6)).await.unwrap();
    let mut client = Client::connected(&gateway.url(), "").await;
    let entries = json!({ "main": {}, "mc-a": { "name": "A", "workspace": "/w/a" } });
    let refused =
        patch(&mut client, &json!({ "agents": { "entries": entries } })).await.unwrap_err();
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("multi-agent rosters require agents.ownership=\"explicit\"")
    );
    let explicit = json!({ "agents": { "ownership": "explicit", "entries": entries } });
    patch(&mut client, &explicit).await.unwrap();
    let again = patch(&mut client, &explicit).await.unwrap();
    assert_eq!((&again["noop"], &again["changedPaths"]), (&json!(true), &json!([])));
    assert_eq!(gateway.config_writes(), 1);
    // Writing a file creates the workspace of an agent that was only in the configuration.
    client
        .ok("agents.files.set", json!({ "agentId": "mc-a", "name": "SOUL.md", "content": "s" }))
        .await;
}

#[tokio::test]
async fn the_old_gateway_restarts_after_a_write_and_again_after_a_patch() {
    let options = Options {
        restart_after_write_ms: 30,
        restart_after_patch_ms: 60,
        restart_outage_ms: 0,
        ..Options::default()
    };
    let gateway =
        Gateway::start(Setup { options, ..Setup::new(Profile::V2026_2_9) }).await.unwrap();
    let mut client = Client::connected(&gateway.url(), "").await;
    patch(&mut client, &json!({})).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.end().await, Gone::Closed(1012));
        assert!(client.saw("shutdown"));
        client = Client::connected(&gateway.url(), "").await;
    }
}

#[tokio::test]
async fn a_frame_beyond_the_limit_closes_with_1009() {
    let gateway = Gateway::start(Setup::new(Profile::V2026_2_9)).await.unwrap();
    let mut client = Client::connected(&gateway.url(), "").await;
    let file = json!({ "agentId": "main", "name": "SOUL.md", "content": "x".repeat(512 * 1024) });
    assert_eq!(client.call("agents.files.set", file).await, Err(Gone::Closed(1009)));
}

#[tokio::test]
async fn edits_by_hand_are_visible_and_tokens_stay_out_of_the_log() {
    let (gateway, mut client) =
        from_json(json!({ "config": { "gateway": { "auth": { "token": "secret" } } } })).await;
    gateway.edit_config(&json!({ "ui": { "by": "hand" } }));
    let config = client.ok("config.get", json!({})).await;
    assert_eq!(config["config"]["ui"]["by"], "hand");
    assert!(!config.to_string().contains("secret"));
    client.refused("config.get", json!({ "auth": { "token": "secret" } })).await;
    assert!(!format!("{:?}", gateway.calls()).contains("secret"));
    assert_eq!(gateway.config_writes(), 0);
}

#[tokio::test]
async fn dropping_the_handle_cuts_connections_and_frees_the_port() {
    let (gateway, mut client) = from_json(json!({})).await;
    gateway.restart(Duration::ZERO);
    assert_eq!(client.end().await, Gone::Closed(1012));
    let mut client = Client::connected(&gateway.url(), "").await;
    drop(gateway);
    assert_eq!(client.end().await, Gone::Cut);
}
