//! Tests that each fault has its effect at the chosen calls.

use std::time::{Duration, Instant};

use mission_gateway_sim::{Action, Fault, Gateway, Profile, Setup};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use crate::client::{Client, Gone};

async fn gateway(faults: Vec<Fault>) -> (Gateway, Client) {
    let gateway = Gateway::start(Setup { faults, ..Setup::new(Profile::Scenario) }).await.unwrap();
    let client = Client::connected(&gateway.url(), "").await;
    (gateway, client)
}

fn label(text: &str) -> Value {
    json!({ "key": "agent:a:main", "label": text })
}

fn is_labelled(gateway: &Gateway, text: &str) -> bool {
    gateway.state()["sessions"]["agent:a:main"]["label"] == text
}

#[tokio::test]
async fn drop_before_leaves_the_state_alone() {
    let (gateway, mut client) =
        gateway(vec![Fault::on("sessions.patch", Action::DropBefore).nth(2)]).await;
    client.ok("sessions.patch", label("one")).await;
    assert_eq!(client.call("sessions.patch", label("two")).await, Err(Gone::Cut));
    assert!(is_labelled(&gateway, "one"));
    assert_eq!(gateway.calls().iter().map(|call| call.ok).collect::<Vec<_>>(), [true, false]);
    // The fault occurs only once.
    let mut client = Client::connected(&gateway.url(), "").await;
    client.ok("sessions.patch", label("three")).await;
    assert_eq!(gateway.calls().last().unwrap().connection, 2);
}

#[tokio::test]
async fn drop_after_has_changed_the_state() {
    let (gateway, mut client) = gateway(vec![Fault::at_call(1, Action::DropAfter)]).await;
    assert_eq!(client.call("sessions.patch", label("one")).await, Err(Gone::Cut));
    assert!(is_labelled(&gateway, "one"));
    assert!(gateway.calls()[0].ok);
}

#[tokio::test]
async fn delay_executes_at_once_and_answers_late() {
    let (gateway, mut client) =
        gateway(vec![Fault::on("sessions.patch", Action::Delay(200))]).await;
    let start = Instant::now();
    let id = client.send("sessions.patch", label("one")).await;
    assert!(gateway.wait_for(|calls| !calls.is_empty()).await);
    assert!(is_labelled(&gateway, "one"));
    client.ok("health", json!({})).await;
    client.reply(&id).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn silence_answers_nothing_and_keeps_the_connection() {
    let (gateway, mut client) = gateway(vec![Fault::on("sessions.patch", Action::Silence)]).await;
    let silent = client.send("sessions.patch", label("one")).await;
    client.ok("health", json!({})).await;
    gateway.restart(Duration::ZERO);
    assert_eq!(client.reply(&silent).await, Err(Gone::Closed(1012)));
    assert!(!is_labelled(&gateway, "one"));
}

#[tokio::test]
async fn restart_closes_every_connection_and_refuses_new_ones() {
    for replies in [false, true] {
        let action = Action::Restart { outage_ms: 300, reply: replies };
        let (gateway, mut client) = gateway(vec![Fault::on("sessions.patch", action)]).await;
        let mut other = Client::connected(&gateway.url(), "").await;
        let answer = client.call("sessions.patch", label("one")).await;
        let closed = if replies { client.end().await } else { answer.clone().unwrap_err() };
        assert_eq!((answer.is_ok(), closed), (replies, Gone::Closed(1012)));
        assert!(client.saw("shutdown"));
        assert_eq!(other.end().await, Gone::Closed(1012));
        assert!(is_labelled(&gateway, "one"));

        assert!(connect_async(gateway.url()).await.is_err(), "refused during the outage");
        let back = Instant::now() + crate::client::PATIENCE;
        while connect_async(gateway.url()).await.is_err() {
            assert!(Instant::now() < back, "the outage does not end");
        }
    }
}

#[tokio::test]
async fn rate_limit_and_stale_hash_and_starting_are_answers() {
    let patch = "config.patch";
    let faults = vec![
        Fault::on(patch, Action::RateLimit(41_500)),
        Fault::on(patch, Action::StaleHash).nth(2),
        Fault::on(patch, Action::Starting(500)).nth(3).times(2),
    ];
    let (gateway, mut client) = gateway(faults).await;
    let hash = client.ok("config.get", json!({})).await["hash"].clone();
    let params = json!({ "raw": "{\"ui\":{}}", "baseHash": hash });
    let error = client.call(patch, params.clone()).await.unwrap().unwrap_err();
    assert_eq!(error["message"], "rate limit exceeded for config.patch; retry after 42s");
    assert_eq!((&error["retryable"], &error["retryAfterMs"]), (&json!(true), &json!(41_500)));
    let message = client.refused(patch, params.clone()).await;
    assert_eq!(message, "config changed since last load; re-run config.get and retry");
    for _ in 0..2 {
        let error = client.call(patch, params.clone()).await.unwrap().unwrap_err();
        assert_eq!((&error["code"], &error["retryAfterMs"]), (&json!("UNAVAILABLE"), &json!(500)));
    }
    assert_eq!(gateway.config_writes(), 0);
    client.ok(patch, params).await;
    assert_eq!(gateway.config_writes(), 1);
}

#[tokio::test]
async fn starting_at_connect_closes_with_try_again_later() {
    let fault = Fault::on("connect", Action::Starting(500));
    let gateway = Gateway::start(Setup { faults: vec![fault], ..Setup::default() }).await.unwrap();
    let mut client = Client::open(&gateway.url()).await;
    let params = crate::client::signed_params(&client.challenge, "", 1);
    let error = client.call("connect", params).await.unwrap().unwrap_err();
    assert_eq!(error["message"], "gateway starting; retry shortly");
    assert_eq!(client.end().await, Gone::Closed(1013));
    Client::connected(&gateway.url(), "").await;
}

#[tokio::test]
async fn garbage_comes_instead_of_the_reply() {
    let (gateway, mut client) = gateway(vec![Fault::on("sessions.patch", Action::Garbage)]).await;
    client.send("sessions.patch", label("one")).await;
    let text = client.text().await.unwrap();
    assert!(serde_json::from_str::<Value>(&text).is_err());
    assert!(is_labelled(&gateway, "one"));
    client.ok("health", json!({})).await;
}

#[tokio::test]
async fn lose_write_reports_success_and_changes_nothing() {
    let (gateway, mut client) = gateway(vec![Fault::on("agents.create", Action::LoseWrite)]).await;
    let before = gateway.state();
    let params = json!({ "name": "a", "workspace": "/w/a" });
    assert_eq!(client.ok("agents.create", params.clone()).await["agentId"], "a");
    assert_eq!((gateway.state(), gateway.config_writes()), (before, 0));
    client.ok("agents.create", params).await;
    assert_eq!(gateway.state()["agents"]["a"]["workspace"], "/w/a");
}

#[tokio::test]
async fn an_edit_right_before_a_patch_makes_its_hash_stale() {
    let (gateway, mut client) = gateway(Vec::new()).await;
    let hash = client.ok("config.get", json!({})).await["hash"].clone();
    gateway.inject(Fault::on("config.patch", Action::Edit(json!({ "ui": { "by": "hand" } }))));
    let params = json!({ "raw": "{\"a\":1}", "baseHash": hash });
    let message = client.refused("config.patch", params).await;
    assert_eq!(message, "config changed since last load; re-run config.get and retry");
    assert_eq!(gateway.state()["config"], json!({ "ui": { "by": "hand" } }));
}

#[tokio::test]
async fn faults_added_at_run_time_count_from_then_and_can_be_removed() {
    let (gateway, mut client) = gateway(Vec::new()).await;
    client.ok("health", json!({})).await;
    gateway.inject(Fault::at_call(2, Action::StaleHash).times(100));
    client.ok("health", json!({})).await;
    client.refused("health", json!({})).await;
    gateway.clear_faults();
    client.ok("health", json!({})).await;
}
