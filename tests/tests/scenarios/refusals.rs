//! Job documents that are refused, each with the path of the error and the remedy, before any
//! connection to a gateway, and without quoting the document.

use std::fs;

use mission_core::model::MAX_DOCUMENT_BYTES;
use mission_gateway_sim::{Gateway, Profile, Setup};
use serde_json::{Value, json};

use crate::documents::{self, AGENT_TOKEN, GATEWAY_TOKEN};
use crate::processes::Worker;

/// A broken document: its text, the paths of its errors, and words of the remedy.
type Broken = (String, &'static str, &'static str);

fn broken_documents(url: &str) -> Vec<Broken> {
    let good = documents::provision(url, "Ada");
    let sync = json!({ "version": 1, "kind": "heartbeat-sync", "gateway": good["gateway"] });
    let with = |path: &str, value: Value| {
        let mut document = good.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[name] = value;
        document.to_string()
    };
    let without = |parent: &str, names: &[&str]| {
        let mut document = good.clone();
        let object = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        object.retain(|name, _| !names.contains(&name.as_str()));
        document.to_string()
    };
    let with_agents = |agents: Value| {
        let mut document = sync.clone();
        document["agents"] = agents;
        document.to_string()
    };
    let nicknamed = json!([
        good["agent"], { "id": good["agent"]["id"], "name": "Bob", "nickname": AGENT_TOKEN }
    ]);
    vec![
        (format!("auth_token: {AGENT_TOKEN}"), "$", "send one JSON object"),
        (good.to_string().trim_end_matches('}').to_owned(), "$", "send one JSON object"),
        (json!([good]).to_string(), "$", "send one JSON object"),
        (json!(AGENT_TOKEN).to_string(), "$", "send one JSON object"),
        (with("/board/objective", json!("x".repeat(MAX_DOCUMENT_BYTES))), "$", "shorten"),
        (without("", &["version"]), "version", "add `\"version\": 1`"),
        (with("/version", json!(2)), "version", "send version 1"),
        (without("", &["kind"]), "kind", "provision, provision-main, cleanup, heartbeat-sync"),
        (
            with("/kind", json!("provide")),
            "kind",
            "provision, provision-main, cleanup, heartbeat-sync",
        ),
        (with("/secret", json!(AGENT_TOKEN)), "secret", "remove it"),
        (with("/agent/nickname", json!(AGENT_TOKEN)), "agent.nickname", "remove it"),
        (with("/board/goal", json!(AGENT_TOKEN)), "board.goal", "remove it"),
        (with_agents(nicknamed), "agents[1].nickname", "remove it"),
        (with("/agent/is_board_lead", json!(AGENT_TOKEN)), "agent.is_board_lead", "use a boolean"),
        (
            with("/gateway/token", json!({ "value": GATEWAY_TOKEN })),
            "gateway.token",
            "use a string",
        ),
        (with("/auth_token", json!([AGENT_TOKEN])), "auth_token", "use a string"),
        (with("/agent", json!(AGENT_TOKEN)), "agent", "use an object"),
        (
            with("/options", json!({ "action": "remove" })),
            "options.action",
            "`provision`, `update`",
        ),
        (without("/agent", &["name"]), "agent.name", "add it"),
        (without("", &["auth_token", "board"]), "auth_token, board", "add the board"),
        (without("/gateway", &["workspace_root"]), "gateway.workspace_root", "set the folder"),
        (with("/gateway/workspace_root", json!(" ")), "gateway.workspace_root", "set the folder"),
        (sync.to_string(), "agents", "a heartbeat-sync job needs it"),
        (
            with("/gateway/url", json!(format!("https://{GATEWAY_TOKEN}@host"))),
            "gateway.url",
            "ws://host:18789",
        ),
        (
            with("/gateway/url", json!(format!("{GATEWAY_TOKEN} host"))),
            "gateway.url",
            "ws://host:18789",
        ),
        (with("/board/target_date", json!("the first of May")), "board.target_date", "ISO 8601"),
        (with("/agent/id", json!(AGENT_TOKEN)), "agent.id", "use a UUID"),
    ]
}

#[tokio::test]
async fn broken_documents_are_refused_with_path_and_remedy() {
    let gateway = Gateway::start(Setup::new(Profile::Scenario)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.json");
    for (text, paths, remedy) in broken_documents(&gateway.url()) {
        fs::write(&file, &text).unwrap();
        let ended = Worker::new(folder.path()).apply(&file).await;
        let said = &ended.said;
        assert_eq!((ended.status, ended.refused_at().as_str()), (Some(2), paths), "{said}");
        assert!(
            said.split_once("; ").is_some_and(|(_, remedies)| remedies.contains(remedy)),
            "{paths}: {said}"
        );
        assert!(!said.contains(AGENT_TOKEN) && !said.contains(GATEWAY_TOKEN), "{paths}: {said}");
        assert_eq!(ended.answer, Value::Null, "standard output stays empty");
    }
    assert_eq!(gateway.connections(), 0);
}
