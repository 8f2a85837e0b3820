//! Tests of the program: it prints its URL, and ends with its input.

use std::process::Stdio;

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::client::{Client, Gone, PATIENCE};

async fn start(arguments: &[&str]) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_gateway-sim"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let url = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    (process, url)
}

#[tokio::test]
async fn serves_until_its_input_ends() {
    let fault = r#"{"method":"health","action":"drop_after"}"#;
    let (mut process, url) =
        start(&["--profile", "2026.2.9", "--token", "t", "--fault", fault]).await;
    let mut client = Client::connected(&url, "t").await;
    assert_eq!(client.hello["server"]["version"], "dev");
    assert_eq!(client.call("health", json!({})).await, Err(Gone::Cut));
    drop(process.stdin.take());
    let status = timeout(PATIENCE, process.wait()).await.unwrap().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn imitates_the_current_version_by_default() {
    let (_process, url) = start(&[]).await;
    assert_eq!(Client::connected(&url, "any").await.hello["server"]["version"], "2026.9.6");
}

#[tokio::test]
async fn reports_what_was_done_to_other_processes() {
    let (_process, url) = start(&["--profile", "2026.8.2"]).await;
    let mut client = Client::connected(&url, "any").await;
    client.ok("agents.create", json!({ "name": "ada", "workspace": "/w/ada" })).await;
    let effects = Client::connected(&url, "any").await.ok("simulator.effects", json!({})).await;
    assert_eq!(
        (&effects["creates"], &effects["writes"][0]["by"]),
        (&json!(["ada"]), &json!("agents.create"))
    );
}
