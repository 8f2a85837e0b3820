//! Tests of the record of what was done to a gateway, and of the switches for misbehaviour.

use mission_gateway_sim::{Effects, Write};
use serde_json::{Value, json};

use crate::client::{Client, Gone, from_json, patch};

#[tokio::test]
async fn the_record_covers_all_connections_and_is_readable_by_other_processes() {
    let (gateway, mut client) = from_json(json!({ "profile": "2026.9.6" })).await;
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
    let heartbeat =
        json!({ "agents": { "entries": { "ada": { "heartbeat": { "every": "1h" } } } } });
    patch(&mut client, &heartbeat).await.unwrap();
    patch(&mut client, &heartbeat).await.unwrap();
    let mut client = Client::connected(&gateway.url(), "").await;
    client.ok("sessions.reset", json!({ "key": "agent:ada:main" })).await;
    client.ok("agents.delete", json!({ "agentId": "ada" })).await;
    client.refused("agents.delete", json!({ "agentId": "ada" })).await;
    gateway.edit_config(&json!({ "ui": { "by": "hand" } }));

    let write = |by: &str, paths: &[&str]| Write {
        by: by.into(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    let calls = gateway.calls().len();
    let effects: Effects =
        serde_json::from_value(client.ok("simulator.effects", json!({})).await).unwrap();
    assert_eq!(effects, gateway.effects());
    assert_eq!(gateway.calls().len(), calls, "a control method is not a call");
    assert_eq!(effects.writes[0].by, "agents.create");
    assert_eq!(effects.writes[1], write("config.patch", &["agents.entries.ada.heartbeat"]));
    assert_eq!(effects.writes[2], write("agents.delete", &["agents.entries.ada"]));
    assert_eq!(effects.writes.len(), 3);
    assert_eq!(
        (effects.creates, effects.deletes),
        (vec!["ada".to_owned()], vec!["ada".to_owned()])
    );
    assert_eq!((effects.resets, effects.restarts), (vec!["agent:ada:main".to_owned()], vec![]));
    assert_eq!(effects.trashed, ["/w/ada"]);
    assert_eq!(gateway.twin().effects(), Effects::default());
}

#[tokio::test]
async fn other_processes_can_act_like_a_person() {
    let (gateway, mut client) = from_json(json!({ "profile": "2026.9.6" })).await;
    client.ok("simulator.edit", json!({ "patch": { "ui": { "by": "hand" } } })).await;
    assert_eq!(client.ok("simulator.state", json!({})).await["config"]["ui"]["by"], "hand");
    client.ok("simulator.restart", json!({})).await;
    client.end().await;
    let mut client = Client::connected(&gateway.url(), "").await;
    assert!(client.ok("simulator.disk", json!({})).await["trash"].is_object());
    assert_eq!(
        client.refused("simulator.nonsense", json!({})).await,
        "unknown method: simulator.nonsense"
    );
    assert!(gateway.calls().is_empty() && gateway.effects() == Effects::default());
}

#[tokio::test]
async fn an_agent_with_an_impossible_workspace_needs_maintenance() {
    let long = format!("/w/{}", "x".repeat(250));
    let setup =
        json!({ "profile": "2026.9.6", "plain_files": ["/srv/file"], "unmigrated": ["old"] });
    let (gateway, mut client) = from_json(setup).await;
    for (id, workspace) in [("ada", "/srv/file/ada"), ("bob", long.as_str()), ("old", "/w/old")] {
        let entries = json!({ "main": {}, id: { "workspace": workspace } });
        let wanted = json!({ "agents": { "ownership": "explicit", "entries": entries } });
        let error = patch(&mut client, &wanted).await.unwrap_err();
        let whole = format!(
            "StartupMaintenanceRequiredError: Legacy workspace setup state requires migration for \
                {workspace}; run openclaw doctor --fix.: code=gateway.maintenance_required"
        );
        // The end of a long message is lost.
        let message = if id == "bob" { format!("{}...", &whole[..251]) } else { whole };
        assert_eq!((&error["code"], &error["message"]), (&json!("UNAVAILABLE"), &json!(message)));
        let create = json!({ "name": id, "workspace": workspace });
        let error = client.call("agents.create", create).await.unwrap().unwrap_err();
        assert_eq!(error["message"], message);
    }
    assert_eq!(gateway.config_writes(), 0);
    gateway.doctor();
    let mut client = Client::connected(&gateway.url(), "").await;
    client.ok("agents.create", json!({ "name": "old", "workspace": "/w/old" })).await;
}

#[tokio::test]
async fn earlier_versions_accept_the_patch_and_fail_at_the_file() {
    for (profile, create_says) in [
        ("2026.7.35", "Error: ENOTDIR: not a directory, mkdir '/srv/file/b': code=ENOTDIR"),
        (
            "2026.8.2",
            "Error: Legacy workspace setup state requires migration for /srv/file/b; run openclaw \
                doctor --fix.",
        ),
    ] {
        let (_gateway, mut client) =
            from_json(json!({ "profile": profile, "plain_files": ["/srv/file"] })).await;
        let ada = json!({ "workspace": "/srv/file/a" });
        let agents = if profile == "2026.8.2" {
            json!({ "ownership": "explicit", "entries": { "main": {}, "ada": ada } })
        } else {
            json!({ "list": [{ "id": "main" }, { "id": "ada", "workspace": "/srv/file/a" }] })
        };
        patch(&mut client, &json!({ "agents": agents })).await.unwrap();
        let file = json!({ "agentId": "ada", "name": "SOUL.md", "content": "s" });
        let says = "Error: ENOTDIR: not a directory, mkdir '/srv/file/a': code=ENOTDIR";
        assert_eq!(client.refused("agents.files.set", file).await, says, "{profile}");
        let create = json!({ "name": "bob", "workspace": "/srv/file/b" });
        assert_eq!(client.refused("agents.create", create).await, create_says);
    }
}

#[tokio::test]
async fn labels_and_keys_can_be_dropped_and_sessions_hidden() {
    let options = json!({
        "keeps_labels": false, "shows_session_ids": false,
        "dropped_heartbeat_keys": ["activeHours"],
    });
    let (gateway, mut client) =
        from_json(json!({ "profile": "2026.9.6", "options": options })).await;
    let key = json!({ "key": "agent:main:main" });
    let patched =
        client.ok("sessions.patch", json!({ "key": "agent:main:main", "label": "L" })).await;
    let reset = client.ok("sessions.reset", key).await;
    let listed = client.ok("sessions.list", json!({})).await["sessions"][0].clone();
    for shown in [&patched["entry"], &reset["entry"], &listed] {
        for field in ["sessionId", "updatedAt", "createdAt", "label"] {
            assert_eq!(shown.get(field), None, "{field} in {shown}");
        }
    }
    assert_eq!(gateway.effects().resets.len(), 1);
    let heartbeat = json!({ "every": "1h", "activeHours": { "start": "08:00", "end": "20:00" } });
    let main = json!({ "agents": { "entries": { "main": { "heartbeat": heartbeat } } } });
    patch(&mut client, &main).await.unwrap();
    assert_eq!(
        gateway.state()["config"]["agents"]["entries"]["main"]["heartbeat"],
        json!({ "every": "1h" })
    );
}

#[tokio::test]
async fn canned_errors_can_have_details_and_ask_for_no_wait() {
    let error = json!({
        "code": "UNAVAILABLE", "message": "busy", "details": { "a": 1 }, "retryAfterMs": 0,
    });
    let setup = json!({
        "canned": [{ "method": "health", "error": error }],
        "faults": [{
            "method": "status", "action": { "rate_limit": 0 },
        }, { "method": "status", "call": 2, "action": { "starting": 0 } }],
    });
    let (_gateway, mut client) = from_json(setup).await;
    let answer = client.call("health", json!({})).await.unwrap().unwrap_err();
    let mut expected: Value = error.clone();
    expected["retryable"] = true.into();
    assert_eq!(answer, expected);
    for _ in 0..2 {
        let answer = client.call("status", json!({})).await.unwrap().unwrap_err();
        assert_eq!(answer["retryAfterMs"], 0);
    }
}

#[tokio::test]
async fn heartbeats_of_channels_have_the_name_of_their_version() {
    for (profile, name, other) in [
        ("2026.7.35", "heartbeat", "heartbeatVisibility"),
        ("2026.8.2", "heartbeatVisibility", "heartbeat"),
    ] {
        let (_gateway, mut client) =
            from_json(json!({ "profile": profile, "options": { "restarts": false } })).await;
        patch(&mut client, &json!({ "channels": { "defaults": { name: { "showOk": false } } } }))
            .await
            .unwrap();
        let error = patch(&mut client, &json!({ "channels": { "defaults": { other: {} } } }))
            .await
            .unwrap_err();
        let issue = json!({ "path": "channels.defaults", "message": format!("Unrecognized key: \
            \"{other}\"") });
        assert_eq!(error["details"]["issues"], json!([issue]), "{profile}");
    }
}

#[tokio::test]
async fn one_agent_can_make_every_patch_with_it_fail() {
    let error = json!({ "code": "INVALID_REQUEST", "message": "no" });
    let setup = json!({ "profile": "2026.6.11", "refused_agents": { "bad": error } });
    let (gateway, mut client) = from_json(setup).await;
    let list = |ids: &[&str]| {
        json!({
            "agents": { "list": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() },
        })
    };
    assert_eq!(patch(&mut client, &list(&["main", "ada", "bad"])).await.unwrap_err(), error);
    patch(&mut client, &list(&["main", "ada"])).await.unwrap();
    assert_eq!(gateway.effects().writes.len(), 1);
}

#[tokio::test]
async fn connections_can_end_after_some_calls() {
    let (gateway, mut client) =
        from_json(json!({ "options": { "calls_per_connection": 2 } })).await;
    for _ in 0..2 {
        client.ok("health", json!({})).await;
    }
    assert_eq!(client.call("health", json!({})).await, Err(Gone::Cut));
    assert_eq!(gateway.calls().len(), 2);
    Client::connected(&gateway.url(), "").await.ok("health", json!({})).await;
}

#[tokio::test]
async fn the_first_heartbeat_of_an_agent_ends_those_of_agents_without_one() {
    let (_gateway, mut client) = from_json(json!({ "profile": "2026.9.6" })).await;
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
    let enabled = |health: &Value| -> Vec<Value> {
        health["agents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|agent| agent["heartbeat"]["enabled"].clone())
            .collect()
    };
    assert_eq!(enabled(&client.ok("health", json!({})).await), [json!(true), json!(false)]);
    let heartbeat =
        json!({ "agents": { "entries": { "ada": { "heartbeat": { "every": "1h" } } } } });
    patch(&mut client, &heartbeat).await.unwrap();
    assert_eq!(enabled(&client.ok("health", json!({})).await), [json!(false), json!(true)]);
}
