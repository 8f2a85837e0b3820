//! Gateways that are there and yet not: one that takes nothing more, and one that is heard and never answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mission_core::gateway::{Call, Client, DeviceIdentity, Dial, Endpoint, GatewayError, Limits, Method};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};

use crate::scripted::Scripted;

/// Bytes that fit between the two ends.
const PIPE: usize = 16 * 1024;

fn client(call: Duration) -> (Arc<Client>, UnboundedReceiver<DuplexStream>) {
    client_over(PIPE, call)
}

/// A client, and the gateway's ends of its connections, with so many bytes between.
pub(crate) fn client_over(pipe: usize, call: Duration) -> (Arc<Client>, UnboundedReceiver<DuplexStream>) {
    let (arrive, arrivals) = unbounded_channel();
    let dial = Dial::by(move |_, _| {
        let (here, there) = tokio::io::duplex(pipe);
        let arrived = arrive.send(there).map_err(io::Error::other);
        async move { arrived.map(|()| here) }
    });
    let endpoint = Endpoint {
        url: "ws://gateway".parse().unwrap(),
        token: None,
        allow_insecure_tls: false,
        tls_fingerprint: None,
    };
    let limits = Limits { call, patience: Duration::ZERO, idle: Duration::from_secs(1) };
    (Arc::new(Client::new(endpoint, Arc::new(DeviceIdentity::ephemeral()), limits).dialling(dial)), arrivals)
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_takes_nothing_more_is_given_up() {
    let (client, mut arrivals) = client(Duration::from_secs(60));
    tokio::spawn(async move {
        let hello = json!({ "policy": { "maxPayload": 10 * PIPE, "tickIntervalMs": 1000 } });
        let _gateway = Scripted::open(arrivals.recv().await.unwrap(), hello).await;
        // It reads no more, and holds the connection open.
        std::future::pending::<()>().await;
    });
    let call = Call::new(client);
    call.open().await.unwrap();
    let began = Instant::now();
    let error = call.write(Method::FilesSet, json!({ "content": "x".repeat(2 * PIPE) })).await.unwrap_err();
    assert!(matches!(&error, GatewayError::Closed { reason, sent: true, .. } if reason == "silent"), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "told by its silence, not by the call's deadline");
}

#[tokio::test(start_paused = true)]
async fn what_a_gateway_sends_is_read_while_it_takes_nothing() {
    let (client, mut arrivals) = client(Duration::from_secs(60));
    tokio::spawn(async move {
        let hello = json!({ "policy": { "maxPayload": 10 * PIPE } });
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), hello).await;
        let first = gateway.request().await.unwrap();
        // By now the second request fills the pipe; so does this answer. One of both must read.
        gateway.answer(&first, &json!({ "content": "x".repeat(2 * PIPE) })).await;
        let second = gateway.request().await.unwrap();
        gateway.answer(&second, &json!({})).await;
    });
    let call = Call::new(client);
    let large = json!({ "content": "x".repeat(2 * PIPE) });
    let answers = call.write_all(vec![(Method::FilesSet, json!({})), (Method::FilesSet, large)]).await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_costs_the_connection() {
    let (client, mut arrivals) = client(Duration::from_secs(5));
    tokio::spawn(async move {
        let mut deaf = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
        deaf.request().await.unwrap();
        tokio::spawn(async move {
            // It takes in nothing, and goes on telling that it lives.
            loop {
                sleep(Duration::from_secs(1)).await;
                deaf.send(json!({ "type": "event", "event": "tick", "payload": {} }).to_string()).await;
            }
        });
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
        let request = gateway.request().await.unwrap();
        gateway.answer(&request, &json!({ "config": {} })).await;
    });
    let call = Call::new(client);
    let error = call.read(Method::ConfigGet, json!({})).await.unwrap_err();
    assert!(matches!(error, GatewayError::Timeout { .. }), "{error:?}");
    assert_eq!(call.read(Method::ConfigGet, json!({})).await.unwrap(), json!({ "config": {} }));
}
