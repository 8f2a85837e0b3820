//! Tests the output of commands on a real terminal, with names that contain control sequences.

use std::path::PathBuf;

use mission_gateway_sim::Profile;
use mission_jobs::queue::Author;
use mission_jobs::{Envelope, PauseScope, Queue};
use mission_test_support::RedisServer;
use redis::AsyncCommands;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::documents::{self, AGENT_TOKEN, GATEWAY_TOKEN};
use crate::processes::Worker;
use crate::simulated::start;

/// A name that sets the title of the terminal, overwrites the line, forges another line and
/// reverses the direction of text.
const HOSTILE_NAME: &str = "Al\u{1b}]0;title\u{7}\u{1b}[2K\r0000-forged\u{9b}31m\
    \u{7f}\u{202e}\u{2066}\u{61c}\nforged line";

/// Returns the characters of the output that a terminal would obey.
fn obeyed(got: &str) -> Vec<char> {
    let is_bad = |c: &char| {
        (c.is_control() && !matches!(c, '\r' | '\n' | '\t'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    got.chars().filter(is_bad).collect()
}

/// Removes the lines that `script` writes before and after the output of the command.
fn printed(screen: &str) -> String {
    let lines = screen.lines().filter(|line| {
        !line.starts_with("Script started on") && !line.starts_with("Script done on")
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Stores the name of a gateway, as an earlier version of the worker did.
const NAME_GATEWAY: &str =
    "local known = cmsgpack.unpack(redis.call('HGET', KEYS[1], ARGV[1]) or cmsgpack.pack({}))
known.about = ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(known))";

/// Writes the name into the document of a job and into the record of its gateway, as was possible
/// before such names were refused.
async fn rename(redis: &RedisServer, queue: &Queue, id: Uuid) {
    let mut connection = redis.connect().await;
    let lane = queue.get(id).await.unwrap().unwrap().lane;
    let key = queue.keys().documents(&lane);
    let text: String = connection.hget(&key, id.to_string()).await.unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    for name in ["/gateway/name", "/agent/name", "/board/name"] {
        *document.pointer_mut(name).unwrap() = HOSTILE_NAME.into();
    }
    let _: () = connection.hset(&key, id.to_string(), document.to_string()).await.unwrap();
    let about = json!({ "name": HOSTILE_NAME, "url": "ws://127.0.0.1:9" }).to_string();
    let key = format!("{{{}}}:gateway", queue.name());
    redis::Script::new(NAME_GATEWAY)
        .key(key)
        .arg(lane)
        .arg(about)
        .invoke_async::<()>(&mut connection)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_old_documents_do_nothing_to_a_terminal() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let document = documents::provision("ws://127.0.0.1:9", "Ada").to_string();
    let id = queue.enqueue(&[Envelope::new(document.as_bytes()).unwrap()]).await.unwrap()[0]
        .id
        .to_string();
    let by = Author::new(HOSTILE_NAME, HOSTILE_NAME);
    queue.pause(&PauseScope::All, &by, HOSTILE_NAME).await.unwrap();
    queue
        .snooze(id.parse().unwrap(), std::time::Duration::from_secs(60), &by, HOSTILE_NAME)
        .await
        .unwrap();
    rename(&redis, &queue, id.parse().unwrap()).await;
    for command in [
        &["jobs", "list"][..],
        &["jobs", "list", "--json"],
        &["jobs", "show", &id],
        &["jobs", "show", &id, "--json"],
        &["gateways"],
        &["doctor"],
        &["audit"],
        &["jobs", "failures"],
        &["jobs", "cancel", HOSTILE_NAME],
        &["jobs", "list", HOSTILE_NAME],
    ] {
        let worker = Worker::new(data.path()).env("MISSION_REDIS_URL", redis.url());
        let shown = printed(&worker.run_on_terminal(command).await);
        assert_eq!(obeyed(&shown), Vec::<char>::new(), "{command:?}: {shown:?}");
        assert!(
            !shown.lines().any(|line| line.starts_with("forged line")),
            "{command:?}: {shown:?}"
        );
        // A carriage return within a line would let the rest overwrite its beginning.
        assert!(!shown.trim_end().replace("\r\n", "\n").contains('\r'), "{command:?}: {shown:?}");
        if matches!(command, ["jobs", "list" | "show", ..] | ["gateways"])
            && !command.contains(&HOSTILE_NAME)
        {
            assert!(shown.contains("0000-forged"), "the name is shown: {command:?}: {shown:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_document_and_a_gateway_say_does_nothing_to_a_terminal() {
    let (data, gateway) = (TempDir::new().unwrap(), start(Profile::V2026_9_6, |_| {}).await);
    let file = |name: &str, document: &Value| -> PathBuf {
        let path = data.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path
    };
    let mut refused = documents::provision(&gateway.url(), "Ada");
    refused["agent"]["name"] = HOSTILE_NAME.into();
    let mut accepted = documents::provision(&gateway.url(), "Ada");
    accepted["board"]["objective"] = HOSTILE_NAME.into();
    accepted["user"] = json!({ "name": HOSTILE_NAME });
    accepted["auth_token"] = format!("{AGENT_TOKEN}\r\n").into();
    accepted["gateway"]["token"] = format!(" {GATEWAY_TOKEN}\n").into();
    // The log has its own writer and would contain colours.
    let config = data.path().join("worker.toml");
    std::fs::write(&config, "[log]\nlevel = \"error\"\n").unwrap();
    for (name, document, says) in [
        ("refused.json", &refused, "agent.name: contains control characters (U+001B); remove them"),
        (
            "accepted.json",
            &accepted,
            "gateway.token: removed the spaces or line breaks around the token",
        ),
    ] {
        let path = file(name, document);
        for command in ["explain", "plan", "apply", "enqueue"] {
            let worker = Worker::new(data.path()).env("MISSION_CONFIG", &config);
            let shown = printed(&worker.run_on_terminal(&[command, path.to_str().unwrap()]).await);
            assert_eq!(obeyed(&shown), Vec::<char>::new(), "{command} {name}: {shown:?}");
            assert!(shown.contains(says), "{command} {name}: {shown:?}");
        }
    }
    let state = gateway.state();
    assert!(
        state.to_string().contains(&format!("AUTH_TOKEN={AGENT_TOKEN}\\n")),
        "the token is the only output"
    );
}
