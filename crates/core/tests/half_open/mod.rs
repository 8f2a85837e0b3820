//! Gateways that are there and yet not: one that takes nothing more, and one that is heard and
//! never answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mission_core::gateway::{
    Call, Client, Connector, DeviceIdentity, Endpoint, GatewayError, Limits, Method,
};
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
pub(crate) fn client_over(
    pipe: usize,
    call: Duration,
) -> (Arc<Client>, UnboundedReceiver<DuplexStream>) {
    client_with(pipe, Limits { call, patience: Duration::ZERO, idle: Duration::from_secs(1) })
}

fn client_with(pipe: usize, limits: Limits) -> (Arc<Client>, UnboundedReceiver<DuplexStream>) {
    let (arrive, arrivals) = unbounded_channel();
    let dial = Connector::by(move |_, _| {
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
    (
        Arc::new(
            Client::new(endpoint, Arc::new(DeviceIdentity::ephemeral()), limits).dialling(dial),
        ),
        arrivals,
    )
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
    let error =
        call.write(Method::FilesSet, json!({ "content": "x".repeat(2 * PIPE) })).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Closed { reason, sent: true, .. } if reason == "silent"),
        "{error:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "told by its silence, not by the call's deadline"
    );
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
            // It takes in nothing, and goes on telling that it lives.
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
    assert_eq!(call.read(Method::ConfigGet, json!({})).await.unwrap(), json!({ "config": {} }));
}

/// A gateway's end that answers everything but what `is_swallowed` says, by method and how often it
/// was asked.
async fn swallows(mut gateway: Scripted<DuplexStream>, is_swallowed: impl Fn(&str, u32) -> bool) {
    let mut asked = std::collections::HashMap::<String, u32>::new();
    while let Some(request) = gateway.request().await {
        let method = request["method"].as_str().unwrap().to_owned();
        let times = asked.entry(method.clone()).or_default();
        *times += 1;
        if !is_swallowed(&method, *times) {
            gateway.answer(&request, &json!({ "config": {} })).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_not_answered_is_asked_again_over_another_connection() {
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
    let mut report = mission_core::Report::default();
    call.account(&mut report, None);
    assert_eq!(
        (report.rpc_count, report.connections),
        (7, 2),
        "two connections, and one question twice"
    );
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_busy_is_waited_for_though_it_takes_no_other_connection() {
    let (client, mut arrivals) = client(Duration::from_secs(120));
    tokio::spawn(async move {
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
        let (write, read) = (gateway.request().await.unwrap(), gateway.request().await.unwrap());
        // A reload that takes a minute. Nothing else is answered, and nobody let in, meanwhile.
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
async fn a_write_is_given_up_when_the_gateway_answers_what_it_was_asked_later() {
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
async fn what_was_answered_before_a_cut_is_not_asked_again() {
    let limits = Limits { patience: Duration::from_secs(2), ..Limits::default() };
    let (client, mut arrivals) = client_with(PIPE, limits);
    let gateway = tokio::spawn(async move {
        let mut asked = Vec::new();
        // Each connection lasts for two answers.
        while asked.len() < 24 {
            let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
            for _ in 0..2 {
                let request = gateway.request().await.unwrap();
                asked.push(request["params"]["name"].as_u64().unwrap());
                gateway.answer(&request, &json!({ "file": request["params"]["name"] })).await;
            }
            gateway.close().await;
        }
        asked
    });
    let questions = (0..24).map(|name| (Method::FilesGet, json!({ "name": name }))).collect();
    let answers = Call::new(client).read_all(questions).await.unwrap();
    for (name, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), json!({ "file": name }));
    }
    assert_eq!(gateway.await.unwrap(), (0..24).collect::<Vec<_>>());
}
