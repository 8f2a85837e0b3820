//! What the gateway itself must answer when a job was done.

use std::path::Path;

use serde_json::{Value, json};

use super::client::Client;
use super::documents::Agent;
use super::version::{Roster, Version};

/// The files of which every version keeps some.
const FILES: [&str; 8] =
    ["AGENTS.md", "BOOTSTRAP.md", "HEARTBEAT.md", "IDENTITY.md", "MEMORY.md", "SOUL.md", "TOOLS.md", "USER.md"];

/// The agent is known, and its entry, its files and its session are as they must be.
pub async fn stands(client: &Client, version: &Version, workspaces: &Path, agent: &Agent, case: &str) {
    let case = format!("{case}, {}", agent.id);
    let listed = listed(client, agent).await.unwrap_or_else(|| panic!("{case}: agents.list lacks it"));
    assert_eq!(listed["name"], agent.name, "{case}: agents.list");

    let config = config(client).await;
    let entry = entry(&config, version, agent).unwrap_or_else(|| panic!("{case}: config.get lacks it"));
    let workspace = workspaces.join(agent.folder);
    assert_eq!(entry["name"], agent.name, "{case}: {entry}");
    assert_eq!(entry["workspace"], workspace.to_str().unwrap(), "{case}: {entry}");
    let heartbeat = &entry["heartbeat"];
    assert_eq!((&heartbeat["every"], &heartbeat["target"]), (&json!(agent.every), &json!("none")), "{case}: {entry}");
    match version.roster {
        Roster::List => {
            assert_eq!(heartbeat["includeReasoning"], false, "{case}: {entry}");
            let shown = json!({ "showOk": false, "showAlerts": true, "useIndicator": true });
            assert_eq!(config["channels"]["defaults"]["heartbeat"], shown, "{case}");
        }
        Roster::Entries => assert_eq!(heartbeat["includeReasoning"], Value::Null, "{case}: {entry}"),
    }
    let prompt = heartbeat["prompt"].as_str().unwrap_or_default();
    assert_ne!(prompt.is_empty(), !version.has_heartbeat_file, "{case}: prompt of the heartbeat: {prompt}");

    files_stand(client, version, &workspace, agent, &case).await;
    session_stands(client, version, agent, &case).await;
}

async fn files_stand(client: &Client, version: &Version, workspace: &Path, agent: &Agent, case: &str) {
    for name in FILES {
        let kept = !version.left_out_of_provisioning.contains(&format!("file {name}").as_str());
        match client.ask("agents.files.get", json!({ "agentId": agent.id, "name": name })).await {
            Ok(answer) => {
                assert!(kept, "{case}: the gateway keeps {name}, and the report says that it does not");
                let content = answer["file"]["content"].as_str().unwrap_or_default();
                assert!(!content.trim().is_empty(), "{case}: {name} has no content: {answer}");
                let on_disk = std::fs::read_to_string(workspace.join(name)).unwrap_or_default();
                assert_eq!(content, on_disk, "{case}: {name} on the disk");
                if name == version.token_file {
                    assert!(content.contains(agent.token), "{case}: {name} lacks the token:\n{content}");
                }
            }
            Err(words) => assert!(!kept && words.contains("unsupported file"), "{case}: {name}: {words}"),
        }
    }
}

async fn session_stands(client: &Client, version: &Version, agent: &Agent, case: &str) {
    let is_of_agent = agent.session.split(':').nth(1) == Some(agent.id);
    if is_of_agent || version.lists_foreign_sessions {
        let session = session(client, agent).await.unwrap_or_else(|| panic!("{case}: sessions.list lacks it"));
        assert_eq!(session["label"], agent.name, "{case}: {session}");
    }
    let resolved = client.ask("sessions.resolve", json!({ "key": agent.session })).await;
    assert_eq!(resolved.unwrap()["key"], agent.session, "{case}: sessions.resolve");
}

/// Nothing of the agent is left, on the gateway or in the folder of its workspace.
pub async fn is_gone(client: &Client, version: &Version, workspaces: &Path, agent: &Agent, case: &str) {
    assert_eq!(listed(client, agent).await, None, "{case}: agents.list");
    let config = config(client).await;
    assert_eq!(entry(&config, version, agent), None, "{case}: config.get");
    let file = client.ask("agents.files.get", json!({ "agentId": agent.id, "name": "AGENTS.md" })).await;
    let words = file.expect_err("the gateway still has files of the agent");
    assert!(words.contains("unknown agent") || words.contains("not found"), "{case}: {words}");
    assert_eq!(session(client, agent).await, None, "{case}: sessions.list");
    let resolved = client.ask("sessions.resolve", json!({ "key": agent.session })).await;
    assert!(resolved.is_err(), "{case}: sessions.resolve: {resolved:?}");
    assert!(!workspaces.join(agent.folder).exists(), "{case}: the workspace is still there");
}

/// What changes with every write of the config.
pub async fn config_hash(client: &Client) -> Value {
    client.ask("config.get", json!({})).await.unwrap()["hash"].take()
}

/// The config as the file has it.
async fn config(client: &Client) -> Value {
    client.ask("config.get", json!({})).await.unwrap()["parsed"].take()
}

fn entry(config: &Value, version: &Version, agent: &Agent) -> Option<Value> {
    match version.roster {
        Roster::List => config["agents"]["list"].as_array()?.iter().find(|entry| entry["id"] == agent.id).cloned(),
        Roster::Entries => config["agents"]["entries"].get(agent.id).cloned(),
    }
}

async fn listed(client: &Client, agent: &Agent) -> Option<Value> {
    let answer = client.ask("agents.list", json!({})).await.unwrap();
    answer["agents"].as_array().unwrap().iter().find(|listed| listed["id"] == agent.id).cloned()
}

async fn session(client: &Client, agent: &Agent) -> Option<Value> {
    let answer = client.ask("sessions.list", json!({ "limit": 1000 })).await.unwrap();
    answer["sessions"].as_array().unwrap().iter().find(|session| session["key"] == agent.session).cloned()
}
