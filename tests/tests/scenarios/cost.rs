//! The cost of a provisioning on the imitated versions: connections, round trips and config writes.

use std::fs;

use mission_gateway_sim::Gateway;
use serde_json::{Value, json};

use crate::documents;
use crate::processes::Worker;

/// The maximum number of round trips of a first provisioning, including the handshake.
const ROUND_TRIPS: u64 = 12;
/// The maximum number of round trips of a provisioning that finds nothing to write.
const ROUND_TRIPS_UNCHANGED: u64 = 6;

async fn costs_little_once_and_nothing_twice(profile: &str) {
    let setup = json!({ "profile": profile, "options": { "restarts": false } });
    let gateway = Gateway::start(serde_json::from_value(setup).unwrap()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.json");
    fs::write(&file, documents::provision(&gateway.url(), "Ada").to_string()).unwrap();
    let provision = async || {
        let ended = Worker::new(folder.path()).apply(&file).await;
        assert_eq!(ended.status, Some(0), "{}{}", ended.said, ended.answer);
        ended.answer["report"].clone()
    };

    let first = provision().await;
    assert_eq!((gateway.connections(), &first["connections"]), (1, &json!(1)));
    assert_eq!((gateway.config_writes(), &first["config_writes"]), (1, &json!(1)));
    let round_trips = first["round_trips"].as_u64().unwrap();
    println!("{profile}: {round_trips} round trips, {} requests", first["rpc_count"]);
    assert!(round_trips <= ROUND_TRIPS, "{first}");
    assert_eq!(first["changed"], true);
    assert!(!gateway.state()["files"]["ada"]["AGENTS.md"].is_null());

    let calls = gateway.mutating_calls().len();
    let second = provision().await;
    println!("{profile}: {} round trips without a difference", second["round_trips"]);
    assert!(second["round_trips"].as_u64().unwrap() <= ROUND_TRIPS_UNCHANGED, "{second}");
    assert_eq!(
        (&second["changed"], &second["written"]),
        (&json!(false), &Value::Array(Vec::new())),
        "{second}"
    );
    assert_eq!(gateway.mutating_calls().len(), calls, "{second}");
    assert_eq!(gateway.connections(), 2);
}

#[tokio::test]
async fn on_an_old_gateway() {
    costs_little_once_and_nothing_twice("2026.2.9").await;
}

#[tokio::test]
async fn on_a_new_gateway() {
    costs_little_once_and_nothing_twice("2026.9.6").await;
}
