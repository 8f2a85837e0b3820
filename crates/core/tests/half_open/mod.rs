//! Tests of half-dead gateways: one that stops reading, and one that sends events but never
//! answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mission_core::gateway::{
    Call, Client, Clients, Connector, DeviceIdentity, Endpoint, GatewayError, Limits, Method,
};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep};

use crate::scripted::Scripted;

/// The number of bytes that fit between the two ends.
const PIPE: usize = 16 * 1024;

fn client(call: Duration) -> (Arc<Client>, UnboundedReceiver<DuplexStream>) {
    client_over(PIPE, call)
}

/// Returns a client and the gateway's ends of its connections, with a pipe of this many bytes
/// between them.
pub(crate) fn client_over(
    pipe: usize,
    call: Duration,
) -> (Arc<Client>, UnboundedReceiver<DuplexStream>) {
    client_with(pipe, Limits { call, patience: Duration::ZERO, idle: Duration::from_secs(1) })
}

fn client_with(pipe: usize, limits: Limits) -> (Arc<Client>, UnboundedReceiver<DuplexStream>) {
    let (arrive, arrivals) = unbounded_channel();
    let dial = Connector::from_fn(move |_, _| {
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
    let clients = Clients::new(Arc::new(DeviceIdentity::ephemeral()), limits).with_connector(dial);
    (clients.get(&endpoint), arrivals)
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stops_reading_is_disconnected() {
    let (client, mut arrivals) = client(Duration::from_secs(60));
    tokio::spawn(async move {
        let hello = json!({ "policy": { "maxPayload": 10 * PIPE, "tickIntervalMs": 1000 } });
        let _gateway = Scripted::open(arrivals.recv().await.unwrap(), hello).await;
        // The gateway stops reading and holds the connection open.
        std::future::pending::<()>().await;
    });
    let call = Call::new(client);
    call.open().await.unwrap();
    let began = Instant::now();
    let error =
        call.write(Method::FilesSet, json!({ "content": "x".repeat(2 * PIPE) })).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Closed { reason, sent: true, .. } if reason == "silent"),
        "{error:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "detected by its silence, not by the call's deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn frames_are_read_while_the_gateway_reads_nothing() {
    let (client, mut arrivals) = client(Duration::from_secs(60));
    tokio::spawn(async move {
        let hello = json!({ "policy": { "maxPayload": 10 * PIPE } });
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), hello).await;
        let first = gateway.request().await.unwrap();
        // The second request has filled the pipe by now, and so does this answer. One side must
        // read.
        gateway.answer(&first, &json!({ "content": "x".repeat(2 * PIPE) })).await;
        let second = gateway.request().await.unwrap();
        gateway.answer(&second, &json!({})).await;
    });
    let call = Call::new(client);
    let large = json!({ "content": "x".repeat(2 * PIPE) });
    let answers = call
        .write_all(vec![(Method::FilesSet, json!({})), (Method::FilesSet, large)])
        .await
        .unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_costs_the_connection() {
    let (client, mut arrivals) = client(Duration::from_secs(5));
    tokio::spawn(async move {
        let mut deaf = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
        deaf.request().await.unwrap();
        tokio::spawn(async move {
            // The gateway reads nothing and keeps sending ticks.
            loop {
                sleep(Duration::from_secs(1)).await;
                deaf.send(json!({ "type": "event", "event": "tick", "payload": {} }).to_string())
                    .await;
            }
        });
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
        let request = gateway.request().await.unwrap();
        gateway.answer(&request, &json!({ "config": {} })).await;
    });
    let call = Call::new(client);
    let error = call.read(Method::ConfigGet, json!({})).await.unwrap_err();
    assert!(matches!(error, GatewayError::Timeout { .. }), "{error:?}");
    let answer = call.read(Method::ConfigGet, json!({})).await.unwrap();
    assert_eq!(answer.into_value(), json!({ "config": {} }));
}

/// Plays a gateway that answers every request except those that `is_swallowed` selects, by method
/// and number of requests so far.
async fn swallows(mut gateway: Scripted<DuplexStream>, is_swallowed: impl Fn(&str, u32) -> bool) {
    let mut requested = std::collections::HashMap::<String, u32>::new();
    while let Some(request) = gateway.request().await {
        let method = request["method"].as_str().unwrap().to_owned();
        let times = requested.entry(method.clone()).or_default();
        *times += 1;
        if !is_swallowed(&method, *times) {
            gateway.answer(&request, &json!({ "config": {} })).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_read_is_repeated_over_a_new_connection() {
    let (client, mut arrivals) = client(Duration::from_secs(120));
    tokio::spawn(async move {
        for connection in 0.. {
            let gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
            tokio::spawn(swallows(gateway, move |_, times| connection == 0 && times == 2));
        }
    });
    let call = Call::new(client);
    let began = Instant::now();
    let answers = call.read_all(vec![(Method::ConfigGet, json!({})); 3]).await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    call.read(Method::ConfigGet, json!({})).await.unwrap();
    let cost = call.cost();
    assert_eq!((cost.rpcs, cost.connections), (7, 2), "two connections, and one question twice");
}

#[tokio::test(start_paused = true)]
async fn a_busy_gateway_is_waited_for_although_it_accepts_no_connection() {
    let (client, mut arrivals) = client(Duration::from_secs(120));
    tokio::spawn(async move {
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
        let (write, read) = (gateway.request().await.unwrap(), gateway.request().await.unwrap());
        // A reload takes a minute. Meanwhile nothing else is answered, and no connection is
        // accepted.
        sleep(Duration::from_secs(60)).await;
        for request in [write, read] {
            gateway.answer(&request, &json!({ "config": {} })).await;
        }
        gateway.request().await
    });
    let call = Call::new(client);
    call.open().await.unwrap();
    let (written, read) = tokio::join!(
        call.write(Method::ConfigPatch, json!({})),
        call.read(Method::ConfigGet, json!({}))
    );
    assert!(written.is_ok() && read.is_ok(), "{written:?} {read:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_is_given_up_when_the_gateway_answers_a_later_request() {
    for (method, most) in
        [(Method::ConfigPatch, 21), (Method::FilesSet, 21), (Method::AgentsDelete, 28)]
    {
        let (client, mut arrivals) = client(Duration::from_secs(120));
        tokio::spawn(async move {
            let gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
            swallows(gateway, |swallowed, _| swallowed == method.as_str()).await;
        });
        let call = Call::new(client);
        let began = Instant::now();
        let error = call.write(method, json!({})).await.unwrap_err();
        assert!(matches!(error, GatewayError::Unanswered { .. }), "{error:?}");
        assert!(error.is_connection_lost() && error.may_have_been_carried_out());
        assert_eq!(mission_core::Outcome::from(error).name(), "ambiguous");
        assert!(began.elapsed() < Duration::from_secs(most), "{method:?}: {:?}", began.elapsed());
        call.read(Method::ConfigGet, json!({})).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn answered_requests_are_not_repeated_after_a_disconnect() {
    let limits = Limits { patience: Duration::from_secs(2), ..Limits::default() };
    let (client, mut arrivals) = client_with(PIPE, limits);
    let gateway = tokio::spawn(async move {
        let mut requested = Vec::new();
        // Each connection lasts for two answers.
        while requested.len() < 24 {
            let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
            for _ in 0..2 {
                let request = gateway.request().await.unwrap();
                requested.push(request["params"]["name"].as_u64().unwrap());
                gateway.answer(&request, &json!({ "file": request["params"]["name"] })).await;
            }
            gateway.close().await;
        }
        requested
    });
    let questions = (0..24).map(|name| (Method::FilesGet, json!({ "name": name }))).collect();
    let answers = Call::new(client).read_all(questions).await.unwrap();
    for (name, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().into_value(), json!({ "file": name }));
    }
    assert_eq!(gateway.await.unwrap(), (0..24).collect::<Vec<_>>());
}
