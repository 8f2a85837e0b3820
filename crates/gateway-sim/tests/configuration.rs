//! Tests of the references in a configuration: the home folder, variables, included files.

use mission_gateway_sim::{Gateway, Profile};
use serde_json::{Value, json};

use crate::client::{Client, from_json, patch};

const LISTS: [&str; 6] =
    ["2026.2.9", "2026.3.13", "2026.5.7", "2026.5.20", "2026.6.11", "2026.7.35"];
const ENTRIES: [&str; 2] = ["2026.8.2", "2026.9.6"];

/// Returns a patch with these agents beside the default one, in the profile's shape.
fn roster(profile: &str, agents: &Value) -> Value {
    let agents = agents.as_object().unwrap();
    if ENTRIES.contains(&profile) {
        let mut entries = json!({ "main": {} });
        entries.as_object_mut().unwrap().extend(agents.clone());
        return json!({ "agents": { "ownership": "explicit", "entries": entries } });
    }
    let agents = agents.iter().map(|(id, entry)| {
        let mut entry = entry.clone();
        entry["id"] = id.clone().into();
        entry
    });
    let list: Vec<Value> = [json!({ "id": "main" })].into_iter().chain(agents).collect();
    json!({ "agents": { "list": list } })
}

/// Returns an agent's entry in a document of `config.get`.
fn entry<'a>(document: &'a Value, id: &str) -> &'a Value {
    let agents = &document["agents"];
    let in_list = || agents["list"].as_array()?.iter().find(|entry| entry["id"] == id);
    agents["entries"].get(id).or_else(in_list).unwrap_or(&Value::Null)
}

async fn start(profile: &str, setup: &Value) -> (Gateway, Client) {
    let mut setup = setup.clone();
    setup["profile"] = profile.into();
    setup["options"] = json!({ "restarts": false });
    from_json(setup).await
}

#[tokio::test]
async fn the_file_keeps_references_and_the_gateway_runs_with_their_values() {
    for profile in LISTS.into_iter().chain(ENTRIES) {
        let (_gateway, mut client) =
            start(profile, &json!({ "home": "/h", "env": { "KEY": "secret" } })).await;
        let prompt = "a ${KEY} b $${KEY} c $${lower}";
        let ada = json!({
            "name": "Ada", "workspace": "~/ada", "heartbeat": { "every": "1h", "prompt": prompt },
        });
        patch(&mut client, &roster(profile, &json!({ "ada": ada }))).await.unwrap();
        let seen = client.ok("config.get", json!({})).await;

        let written = entry(&seen["parsed"], "ada");
        let expands = ["2026.5.7", "2026.5.20", "2026.6.11"].contains(&profile);
        assert_eq!(written["workspace"], if expands { "/h/ada" } else { "~/ada" }, "{profile}");
        assert_eq!(written["heartbeat"]["prompt"], prompt, "{profile}");
        let runs = entry(&seen["config"], "ada");
        assert_eq!(runs["workspace"], "/h/ada", "{profile}");
        assert_eq!(runs["heartbeat"]["prompt"], "a secret b ${KEY} c $${lower}", "{profile}");
        for name in ["resolved", "sourceConfig"].into_iter().filter(|name| seen.get(name).is_some())
        {
            let source = entry(&seen[name], "ada");
            assert_eq!(source["workspace"], written["workspace"], "{profile} {name}");
            assert_eq!(
                source["heartbeat"]["prompt"], runs["heartbeat"]["prompt"],
                "{profile} {name}"
            );
        }
        let files = client.ok("agents.files.list", json!({ "agentId": "ada" })).await;
        assert_eq!(files["workspace"], "/h/ada", "{profile}");
    }
}

#[tokio::test]
async fn the_newest_considers_an_unchanged_escaped_text_changed() {
    for (profile, is_noop) in [("2026.6.11", true), ("2026.9.6", false)] {
        let (gateway, mut client) = start(profile, &json!({ "env": {} })).await;
        let ada =
            json!({ "workspace": "/w/ada", "heartbeat": { "every": "1h", "prompt": "$${X}" } });
        let wanted = roster(profile, &json!({ "ada": ada }));
        patch(&mut client, &wanted).await.unwrap();
        let again = patch(&mut client, &wanted).await.unwrap();
        assert_eq!(again.get("noop").is_some(), is_noop, "{profile}");
        let writes = gateway.effects().writes;
        assert_eq!(writes.len(), if is_noop { 1 } else { 2 });
        if !is_noop {
            assert_eq!(again["changedPaths"], json!(["agents.entries.ada.heartbeat.prompt"]));
            assert_eq!(writes[1].paths, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn the_oldest_overwrites_the_file_with_resolved_values() {
    let config = json!({
        "messages": { "prefix": "p $${KEY} q", "ack": "${KEY}" },
        "agents": { "defaults": { "workspace": "~/own" } },
    });
    let (gateway, mut client) =
        start("2026.2.9", &json!({ "config": config, "env": { "KEY": "secret" } })).await;
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
    let file = gateway.state()["config"].clone();
    assert_eq!(file["messages"], json!({ "prefix": "p ${KEY} q", "ack": "secret" }));
    assert_eq!(file["agents"]["defaults"]["workspace"], "/home/node/own");
    patch(&mut client, &json!({ "ui": { "seamColor": "#112233" } })).await.unwrap();
    assert_eq!(gateway.state()["config"]["messages"]["prefix"], "p secret q");
}

#[tokio::test]
async fn an_unset_variable_stops_only_the_oldest() {
    let config = json!({ "agents": { "list": [{ "id": "main", "name": "${UNSET}" }] } });
    for profile in LISTS {
        let (gateway, mut client) = start(profile, &json!({ "env": {} })).await;
        patch(&mut client, &config).await.unwrap();
        let seen = client.ok("config.get", json!({})).await;
        gateway.restart(std::time::Duration::ZERO);
        if profile == "2026.2.9" {
            let message =
                "Missing env var \"UNSET\" referenced at config path: agents.list[0].name";
            assert_eq!(
                (&seen["valid"], &seen["issues"][0]["message"]),
                (&json!(false), &json!(message))
            );
            assert_eq!(gateway.dead().as_deref(), Some(message));
            gateway.edit_config(&json!({ "agents": { "list": [] } }));
            gateway.restart(std::time::Duration::ZERO);
        } else {
            assert_eq!(
                (&seen["valid"], &seen["config"]["agents"]),
                (&json!(true), &seen["parsed"]["agents"])
            );
            assert_eq!(
                seen["warnings"][0]["message"].as_str().unwrap().find("Missing env var \"UNSET\""),
                Some(0)
            );
        }
        assert_eq!(gateway.dead(), None, "{profile}");
        Client::connected(&gateway.url(), "").await;
    }
}

#[tokio::test]
async fn without_an_environment_references_are_left_alone() {
    let (_gateway, mut client) = start("2026.2.9", &json!({})).await;
    patch(&mut client, &json!({ "messages": { "ack": "${UNSET}" } })).await.unwrap();
    let seen = client.ok("config.get", json!({})).await;
    assert_eq!(
        (&seen["valid"], &seen["config"]["messages"]["ack"]),
        (&json!(true), &json!("${UNSET}"))
    );
}

/// Returns a setup in which this part is included: a section, one agent, the roster, or all of
/// `agents`.
fn included(profile: &str, what: &str) -> Value {
    let ops = json!({ "name": "Ops", "workspace": "/w/ops" });
    let mut agents = roster(profile, &json!({ "ops": ops }))["agents"].clone();
    let name = if ENTRIES.contains(&profile) { "entries" } else { "list" };
    let mut config = json!({ "messages": { "ack": "x" } });
    let include = json!({ "$include": "./part.json5" });
    let part = match what {
        "section" => std::mem::replace(&mut config["messages"], include),
        "entry" if name == "list" => {
            agents["list"][1] = json!({ "id": "ops", "$include": "./part.json5" });
            ops
        }
        "entry" => std::mem::replace(&mut agents["entries"]["ops"], include),
        "roster" => std::mem::replace(&mut agents[name], include),
        _ => std::mem::replace(&mut agents, include),
    };
    config["agents"] = agents;
    json!({ "config": config, "includes": { "./part.json5": part } })
}

#[tokio::test]
async fn includes_are_written_or_refused_as_each_version_does() {
    // Each row has the results of a patch with an agent, of creating an agent, and of deleting it:
    // `kept` leaves the include, `flat` replaces it by its content, `into` writes the included
    // file, and a place is the one named in the refusal.
    let table: &[(&str, &str, [&str; 3])] = &[
        ("2026.2.9", "section", ["flat", "", ""]),
        ("2026.3.13", "entry", ["flat", "", ""]),
        ("2026.5.7", "section", ["messages", "messages", ""]),
        ("2026.5.20", "section", ["messages", "messages", ""]),
        ("2026.5.20", "entry", ["flat", "", ""]),
        ("2026.5.20", "roster", ["agents.list", "agents.list", ""]),
        ("2026.5.20", "agents", ["agents", "into", "into"]),
        ("2026.7.35", "section", ["kept", "kept", "kept"]),
        ("2026.7.35", "entry", ["kept", "kept", "kept"]),
        ("2026.7.35", "roster", ["agents.list", "agents.list", ""]),
        ("2026.7.35", "agents", ["agents", "into", "into"]),
        ("2026.8.2", "section", ["kept", "kept", "kept"]),
        ("2026.8.2", "entry", ["agents", "agents", ""]),
        ("2026.8.2", "roster", ["agents", "agents", ""]),
        ("2026.8.2", "agents", ["agents", "into", "into"]),
        ("2026.9.6", "section", ["kept", "kept", "kept"]),
        ("2026.9.6", "entry", ["kept", "kept", "kept"]),
        ("2026.9.6", "roster", ["into", "into", "agents"]),
        ("2026.9.6", "agents", ["into", "into", "agents"]),
    ];
    for (profile, what, expected) in table {
        let case = format!("{profile} {what}");
        let (gateway, mut client) = start(profile, &included(profile, what)).await;
        let seen = client.ok("config.get", json!({})).await;
        assert_eq!(entry(&seen["config"], "ops")["name"], "Ops", "{case}");
        assert!(seen["parsed"].to_string().contains("$include"), "{case}");
        let patched = roster(profile, &json!({ "x": { "name": "X", "workspace": "/w/x" } }));
        for (step, expected) in
            expected.iter().enumerate().filter(|(_, expected)| !expected.is_empty())
        {
            let writes = gateway.config_writes();
            let before = gateway.state()["config"].clone();
            let answer = match step {
                0 => patch(&mut client, &patched).await,
                1 => client
                    .call("agents.create", json!({ "name": "y", "workspace": "/w/y" }))
                    .await
                    .unwrap(),
                _ => client.call("agents.delete", json!({ "agentId": "y" })).await.unwrap(),
            };
            let after = gateway.state()["config"].clone();
            match *expected {
                "kept" | "into" | "flat" => {
                    assert!(answer.is_ok(), "{case} {step}: {answer:?}");
                    let is_included = after.to_string().contains("$include");
                    assert_eq!(is_included, *expected != "flat", "{case} {step}: {after}");
                    assert_eq!(
                        before["agents"] == after["agents"],
                        *expected == "into",
                        "{case} {step}: {after}"
                    );
                    assert_eq!(gateway.config_writes(), writes + 1);
                }
                place => {
                    let error = answer.unwrap_err();
                    let code =
                        if *profile == "2026.9.6" { ": code=CONFIG_INCLUDE_OWNERSHIP" } else { "" };
                    let message = format!(
                        "Error: Config write would flatten $include-owned config at {place}; edit \
                            that include file directly or remove the $include first.{code}"
                    );
                    assert_eq!(
                        (&error["code"], &error["message"]),
                        (&json!("UNAVAILABLE"), &json!(message)),
                        "{case}"
                    );
                    assert_eq!(before, after, "{case} {step}");
                }
            }
        }
        let seen = client.ok("config.get", json!({})).await;
        // The oldest version treats the list that was sent as the whole list.
        let ops = entry(&seen["config"], "ops");
        assert_eq!(ops["workspace"] == "/w/ops", *profile != "2026.2.9", "{case}");
    }
}

#[tokio::test]
async fn with_references_an_include_makes_a_patch_invalid() {
    let mut setup = included("2026.5.20", "section");
    setup["config"]["ui"] = json!({ "assistant": "${NAME}" });
    setup["env"] = json!({ "NAME": "A" });
    let (_gateway, mut client) = start("2026.5.20", &setup).await;
    let error = patch(&mut client, &json!({ "ui": { "seamColor": "#112233" } })).await.unwrap_err();
    let message = "Error: Config validation failed: messages: Unrecognized key: \"$include\"";
    assert_eq!((&error["code"], &error["message"]), (&json!("UNAVAILABLE"), &json!(message)));
    let create = json!({ "name": "y", "workspace": "/w/y" });
    let message = client.refused("agents.create", create).await;
    assert!(message.contains("would flatten $include-owned config at messages"), "{message}");
}

#[tokio::test]
async fn the_newest_reports_the_source_of_includes() {
    let (_gateway, mut client) = start("2026.9.6", &included("2026.9.6", "roster")).await;
    let seen = client.ok("config.get", json!({})).await;
    assert_eq!(seen["includedPaths"], json!(["/srv/openclaw/part.json5"]));
    assert_eq!(seen["includeProvenance"][0]["path"], json!(["agents", "entries"]));
    assert_eq!(seen["agentRosterIncludeOwned"], true);
    assert_eq!(seen["parsed"]["agents"]["entries"], json!({ "$include": "__OPENCLAW_REDACTED__" }));
}

#[tokio::test]
async fn every_profile_has_its_own_name_and_seeds() {
    for profile in Profile::ALL {
        assert_eq!(Profile::named(profile.name()), Some(profile));
        let read: Profile = serde_json::from_value(profile.name().into()).unwrap();
        assert_eq!(read, profile);
    }
    let (_gateway, mut client) = start("2026.9.6", &json!({})).await;
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
    let file = client.ok("agents.files.get", json!({ "agentId": "ada", "name": "USER.md" })).await
        ["file"]
        .clone();
    assert_eq!(file["hash"], Profile::V2026_9_6.seed_hashes()["USER.md"]);
    assert_ne!(file["hash"], Profile::V2026_8_2.seed_hashes()["USER.md"]);
    assert_eq!(client.ok("simulator.seeds", json!({})).await["USER.md"], file["hash"]);
    let identity = json!({ "agentId": "ada", "name": "IDENTITY.md" });
    let file = client.ok("agents.files.get", identity.clone()).await["file"].clone();
    assert_eq!(file["hash"], Profile::V2026_9_6.seed_hashes()["IDENTITY.md"]);
    client.ok("agents.update", json!({ "agentId": "ada", "name": "Ada L" })).await;
    let named = client.ok("agents.files.get", identity).await["file"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        named,
        Profile::V2026_9_6.seeds()["IDENTITY.md"].replace("- **Name:**", "- Name: Ada L")
    );
}
