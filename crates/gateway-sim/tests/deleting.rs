//! Tests of what is deleted with an agent: folders, bindings, sessions.

use mission_gateway_sim::{Gateway, Profile};
use serde_json::{Value, json};

use crate::client::{Client, from_json, patch};

/// Starts a gateway with these agents, by workspace, and a file in each of their folders.
async fn with_workspaces(
    profile: &str,
    default: &str,
    agents: &[(&str, &str)],
) -> (Gateway, Client) {
    let entries =
        agents.iter().map(|(id, workspace)| (*id, json!({ "id": id, "workspace": workspace })));
    let roster = if Profile::named(profile) >= Some(Profile::V2026_8_2) {
        let entries = entries.map(|(id, mut entry)| {
            entry.as_object_mut().unwrap().remove("id");
            (id.to_owned(), entry)
        });
        json!({ "defaults": { "workspace": default }, "ownership": "explicit",
            "entries": entries.collect::<serde_json::Map<_, _>>() })
    } else {
        let list: Vec<Value> = entries.map(|(_, entry)| entry).collect();
        json!({ "defaults": { "workspace": default }, "list": list })
    };
    let files: serde_json::Map<_, _> = agents
        .iter()
        .map(|(_, workspace)| ((*workspace).to_owned(), json!({ "SOUL.md": "s" })))
        .collect();
    let mut files = Value::from(files);
    files[default] = json!({ "SOUL.md": "own" });
    from_json(json!({
        "profile": profile, "home": "/h", "files": files,
        "config": { "agents": roster }, "options": { "restarts": false },
    }))
    .await
}

async fn folders_left(
    gateway: &Gateway,
    client: &mut Client,
    id: &str,
    with_files: bool,
) -> Vec<String> {
    client.ok("agents.delete", json!({ "agentId": id, "deleteFiles": with_files })).await;
    let disk = gateway.disk();
    disk["folders"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn folders_are_trashed_with_others_files_except_on_later_versions() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("the same folder", &[("ada", "/w/x"), ("bob", "/w/x")]),
        ("a slash at the end", &[("ada", "/w/x/"), ("bob", "/w/x")]),
        ("the home folder", &[("ada", "~/x"), ("bob", "/h/x")]),
        ("another folder inside", &[("ada", "/w/x"), ("bob", "/w/x/personal")]),
        ("the default workspace", &[("main", "/w/own"), ("ada", "/w/own")]),
    ];
    for (what, agents) in cases {
        for profile in ["2026.2.9", "2026.3.13", "2026.5.7", "2026.6.11", "2026.9.6"] {
            let (gateway, mut client) = with_workspaces(profile, "/w/own", agents).await;
            let folder =
                client.ok("agents.files.list", json!({ "agentId": "ada" })).await["workspace"]
                    .clone();
            let folder = folder.as_str().unwrap().trim_end_matches('/').to_owned();
            let left = folders_left(&gateway, &mut client, "ada", true).await;
            let protects = ["2026.5.7", "2026.6.11", "2026.9.6"].contains(&profile);
            assert_eq!(left.contains(&folder), protects, "{profile} {what}: {left:?}");
            assert_eq!(gateway.effects().trashed.is_empty(), protects, "{profile} {what}");
            if !protects {
                assert!(gateway.disk()["trash"][&folder].is_object(), "{profile} {what}");
            }
        }
    }
}

#[tokio::test]
async fn a_folder_inside_goes_alone_and_files_can_be_kept() {
    for profile in ["2026.2.9", "2026.9.6"] {
        let agents = [("ada", "/w/x/ada"), ("bob", "/w/y")];
        let (gateway, mut client) = with_workspaces(profile, "/w/own", &agents).await;
        assert_eq!(
            folders_left(&gateway, &mut client, "bob", false).await,
            ["/w/own", "/w/x/ada", "/w/y"]
        );
        assert_eq!(folders_left(&gateway, &mut client, "ada", true).await, ["/w/own", "/w/y"]);
        assert_eq!(gateway.effects().deletes, ["bob", "ada"]);
    }
}

#[tokio::test]
async fn bindings_go_with_their_agent_and_are_counted() {
    for profile in ["2026.2.9", "2026.6.11", "2026.8.2"] {
        let (gateway, mut client) =
            with_workspaces(profile, "/w/own", &[("main", "/w/own"), ("ada", "/w/a")]).await;
        let bind = |id: &str| json!({ "agentId": id, "match": { "channel": "telegram" } });
        gateway.edit_config(&json!({ "bindings": [bind("ada"), bind("main"), bind("ada")] }));
        let answer =
            client.ok("agents.delete", json!({ "agentId": "ada", "deleteFiles": false })).await;
        assert_eq!(answer["removedBindings"], 2, "{profile}");
        assert_eq!(gateway.state()["config"]["bindings"], json!([bind("main")]), "{profile}");
    }
}

#[tokio::test]
async fn the_default_agent_can_be_deleted_from_2026_8_once_it_owns_no_logins() {
    for profile in ["2026.2.9", "2026.7.35", "2026.8.2", "2026.9.6"] {
        let (gateway, mut client) =
            with_workspaces(profile, "/w/own", &[("main", "/w/own"), ("ada", "/w/a")]).await;
        gateway.edit_config(&json!({
            "agents": { "defaults": { "systemAgent": { "agentId": "main" } } },
            "bindings": [{ "agentId": "main" }],
        }));
        client.refused("agents.delete", json!({ "agentId": "main" })).await;
        gateway.doctor();
        client = Client::connected(&gateway.url(), "").await;
        let answer = client.call("agents.delete", json!({ "agentId": "main" })).await.unwrap();
        assert_eq!(answer.is_ok(), profile >= "2026.8", "{profile}");
        if let Ok(answer) = answer {
            assert_eq!(answer["removedBindings"], 1);
            assert_eq!(
                gateway.state()["config"]["agents"]["defaults"],
                json!({ "workspace": "/w/own" })
            );
        }
    }
}

/// The results of creating, deleting and recreating an agent, as measured on a real gateway.
#[tokio::test]
async fn one_version_loses_the_sessions_of_a_deleted_agent() {
    let wanted = json!({ "agents": { "ownership": "explicit", "entries": {
        "main": {}, "ada": { "name": "ada", "workspace": "/w/ada" },
    } } });
    // Each row: files deleted, session touched, recreated by call; then the expected result: the
    // session exists, the gateway boots.
    for (with_files, touched, by_call, has_session, boots) in [
        (true, true, false, false, true),
        (false, true, false, false, false),
        (true, true, true, false, false),
        (false, true, true, true, true),
        (true, false, true, true, true),
    ] {
        let case = format!("{with_files} {touched} {by_call}");
        let (gateway, mut client) = from_json(json!({ "profile": "2026.8.2" })).await;
        let label = json!({ "key": "agent:ada:main", "label": "Ada" });
        patch(&mut client, &wanted).await.unwrap();
        if touched {
            client.ok("sessions.patch", label.clone()).await;
        }
        let deleted = client
            .ok("agents.delete", json!({ "agentId": "ada", "deleteFiles": with_files }))
            .await;
        assert_eq!(deleted["purgeFailed"], true);
        if by_call {
            client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
        } else {
            let error = patch(&mut client, &wanted).await.unwrap_err();
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with("config.patch persisted but was not applied"), "{message}");
            assert!(gateway.state()["config"]["agents"]["entries"]["ada"].is_object());
            client.refused("agents.files.list", json!({ "agentId": "ada" })).await;
            // This is a dead end: the agent is in the file but not in use.
            let exists = client
                .refused("agents.create", json!({ "name": "ada", "workspace": "/w/ada" }))
                .await;
            assert_eq!(exists, "agent \"ada\" already exists");
            client.refused("agents.delete", json!({ "agentId": "ada" })).await;
        }
        let answer = client.call("sessions.patch", label.clone()).await.unwrap();
        assert_eq!(answer.is_ok(), has_session, "{case}");
        if let Err(error) = answer {
            let message = "Session patch failed unexpectedly. Retry the request.";
            assert_eq!(
                error,
                json!({ "code": "UNAVAILABLE", "message": message, "retryable": true })
            );
            client.refused("sessions.reset", json!({ "key": "agent:ada:main" })).await;
        }
        gateway.restart(std::time::Duration::ZERO);
        assert_eq!(gateway.dead().is_none(), boots, "{case}: {:?}", gateway.dead());
        gateway.doctor();
        let mut client = Client::connected(&gateway.url(), "").await;
        client.ok("sessions.patch", label).await;
    }
}

#[tokio::test]
async fn a_state_that_does_not_boot_can_be_undone_before_the_restart() {
    let (gateway, mut client) = from_json(json!({ "profile": "2026.8.2" })).await;
    let (create, label) = (
        json!({ "name": "ada", "workspace": "/w" }),
        json!({ "key": "agent:ada:main", "label": "A" }),
    );
    client.ok("agents.create", create.clone()).await;
    client.ok("sessions.patch", label.clone()).await;
    client.ok("agents.delete", json!({ "agentId": "ada" })).await;
    client.ok("agents.create", create.clone()).await;
    client.refused("sessions.patch", label.clone()).await;
    client.ok("agents.delete", json!({ "agentId": "ada" })).await;
    gateway.restart(std::time::Duration::ZERO);
    assert_eq!(gateway.dead(), None);
    let mut client = Client::connected(&gateway.url(), "").await;
    client.ok("agents.create", create).await;
    client.ok("sessions.patch", label).await;
}

#[tokio::test]
async fn a_restart_in_between_helps_and_so_does_the_fixed_version() {
    for is_fixed in [false, true] {
        let options = if is_fixed { json!({ "loses_sessions": false }) } else { json!({}) };
        let (gateway, mut client) =
            from_json(json!({ "profile": "2026.8.2", "options": options })).await;
        for _ in 0..2 {
            client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
            client.ok("sessions.patch", json!({ "key": "agent:ada:main", "label": "Ada" })).await;
            client.ok("agents.delete", json!({ "agentId": "ada" })).await;
            if !is_fixed {
                gateway.restart(std::time::Duration::ZERO);
                client = Client::connected(&gateway.url(), "").await;
            }
        }
        assert_eq!(gateway.dead(), None);
    }
}

#[tokio::test]
async fn an_entry_cannot_be_removed_by_a_patch() {
    let (_gateway, mut client) = from_json(json!({ "profile": "2026.8.2" })).await;
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
    let error =
        patch(&mut client, &json!({ "agents": { "entries": { "ada": null } } })).await.unwrap_err();
    let message =
        "Error: Config write would drop agent roster entries without an explicit deletion: ada.";
    assert_eq!((&error["code"], &error["message"]), (&json!("UNAVAILABLE"), &json!(message)));
}
