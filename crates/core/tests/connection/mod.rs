//! Tests of the connection to a gateway: the gateway's stated limits, silence, and closing when
//! idle.

use std::sync::Arc;
use std::time::Duration;

use mission_core::Outcome;
use mission_core::gateway::{
    Call, Clients, DeviceIdentity, Endpoint, GatewayError, Limits, Method,
};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::scripted::Scripted;

/// Returns a run's calls to a gateway on this port of the loopback interface, with short time
/// limits.
pub(crate) fn call(port: u16, idle: Duration) -> Call {
    let limits = Limits { call: Duration::from_secs(10), patience: Duration::ZERO, idle };
    let url = format!("ws://localhost:{port}").parse().unwrap();
    let endpoint = Endpoint { url, token: None, allow_insecure_tls: false, tls_fingerprint: None };
    Call::new(Clients::new(Arc::new(DeviceIdentity::ephemeral()), limits).get(&endpoint))
}

pub(crate) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_frame_larger_than_the_gateway_takes_is_not_sent() {
    let (listener, port) = listen().await;
    let gateway = tokio::spawn(async move {
        let policy = json!({ "policy": { "maxPayload": 1000 } });
        let mut gateway = Scripted::open(accept(&listener).await, policy).await;
        let request = gateway.request().await.unwrap();
        gateway.answer(&request, &json!({})).await;
        request["method"].clone()
    });
    let call = call(port, MINUTE);
    let error =
        call.write(Method::FilesSet, json!({ "content": "x".repeat(1000) })).await.unwrap_err();
    assert!(matches!(error, GatewayError::TooLarge { limit: 1000, .. }), "{error:?}");
    assert_eq!(Outcome::from(error).name(), "permanent");
    // The connection still works.
    call.read(Method::ConfigGet, json!({})).await.unwrap();
    assert_eq!(gateway.await.unwrap(), "config.get");
}

#[tokio::test]
async fn a_gateway_without_ticks_is_disconnected() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let policy = json!({ "policy": { "tickIntervalMs": 1000 } });
        let mut gateway = Scripted::open(accept(&listener).await, policy).await;
        // The gateway reads requests and never answers.
        while gateway.request().await.is_some() {}
    });
    // An unused connection would be closed earlier than a silent one.
    let call = call(port, Duration::from_millis(100));
    let error = call.write(Method::ConfigPatch, json!({})).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Closed { reason, sent: true, .. } if reason == "silent"),
        "{error:?}"
    );
    assert_eq!(Outcome::from(error).name(), "ambiguous");
}

#[tokio::test]
async fn an_unused_connection_is_closed_and_reopened_when_needed() {
    let (listener, port) = listen().await;
    let (closed, was_closed) = oneshot::channel();
    tokio::spawn(async move {
        let mut closed = Some(closed);
        for _ in 0..2 {
            let mut gateway = Scripted::open(accept(&listener).await, json!({})).await;
            let request = gateway.request().await.unwrap();
            gateway.answer(&request, &json!({})).await;
            assert_eq!(gateway.request().await, None, "the client closes the connection");
            closed.take().map(|closed| closed.send(()));
        }
    });
    let call = call(port, Duration::from_millis(50));
    call.read(Method::ConfigGet, json!({})).await.unwrap();
    was_closed.await.unwrap();
    call.read(Method::ConfigGet, json!({})).await.unwrap();
}

#[tokio::test]
async fn a_client_without_scopes_is_told_which_pairing_request_to_approve() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let pairing = json!({ "code": "NOT_PAIRED", "message": "pairing \
            required", "details": { "requestId": "r-1" } });
        Scripted::refuse(accept(&listener).await, pairing).await;
        // Some gateways accept a client without a device, grant it no scope, and do not report
        // that.
        let mut gateway = Scripted::open(accept(&listener).await, json!({})).await;
        let request = gateway.request().await.unwrap();
        let error = json!({ "code": "INVALID_REQUEST", "message": "missing scope: operator.read" });
        gateway.answer_error(&request, &error).await;
    });
    let outcome = Outcome::from(call(port, MINUTE).open().await.unwrap_err());
    let command = outcome.failure().and_then(|failure| failure.remedy.command.clone());
    assert_eq!(command.as_deref(), Some("openclaw devices approve r-1"));
}

/// Returns the error for an HTTP answer.
async fn answered(status: &'static str) -> GatewayError {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = accept(&listener).await;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        stream
            .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
            .await
            .unwrap();
    });
    call(port, MINUTE).open().await.unwrap_err()
}

#[tokio::test]
async fn a_proxy_in_front_of_a_stopped_gateway_is_retried() {
    let error = answered("502 Bad Gateway").await;
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_address_without_a_gateway_is_reported() {
    let error = answered("404 Not Found").await;
    assert_eq!(
        error.to_string(),
        "cannot reach the gateway: the address answers HTTP 404",
        "it may pass"
    );
    let (closed, port) = listen().await;
    drop(closed);
    let error = call(port, MINUTE).open().await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_proxy_in_front_of_an_absent_gateway_is_no_wrong_address() {
    for (status, outcome, code) in [
        ("429 Too Many Requests", "busy", "gateway_starting"),
        ("502 Bad Gateway", "transient", "unreachable"),
        ("503 Service Unavailable", "busy", "gateway_starting"),
        ("504 Gateway Timeout", "transient", "unreachable"),
    ] {
        let (listener, port) = listen().await;
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = accept(&listener).await;
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let ended = Outcome::from(call(port, MINUTE).open().await.unwrap_err());
        assert_eq!(
            (ended.name(), ended.failure().unwrap().code.as_str()),
            (outcome, code),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_session_without_scopes_or_methods_is_refused_with_a_reason() {
    let cases = [
        (json!({ "auth": { "scopes": [] } }), "pairing_required"),
        (json!({ "features": { "methods": ["config.get", "sessions.patch"] } }), "gateway_too_old"),
    ];
    for (hello, code) in cases {
        let (listener, port) = listen().await;
        tokio::spawn(async move {
            Scripted::open(accept(&listener).await, hello).await.request().await
        });
        let outcome = Outcome::from(call(port, MINUTE).open().await.unwrap_err());
        assert_eq!((outcome.name(), outcome.failure().unwrap().code.as_str()), ("blocked", code));
    }
}

#[tokio::test]
async fn the_token_is_in_the_connect_frame_and_not_in_the_url() {
    let (listener, port) = listen().await;
    let gateway = tokio::spawn(async move {
        let stream = accept(&listener).await;
        let mut head = [0; 4096];
        let read = stream.peek(&mut head).await.unwrap();
        let line = String::from_utf8_lossy(&head[..read]).lines().next().unwrap().to_owned();
        (line, Scripted::connect_request(stream).await)
    });
    let url = format!("ws://localhost:{port}/ws").parse().unwrap();
    let endpoint = Endpoint {
        url,
        token: Some("s3cret".into()),
        allow_insecure_tls: false,
        tls_fingerprint: None,
    };
    let clients = Clients::new(Arc::new(DeviceIdentity::ephemeral()), Limits::default());
    // The gateway closes the connection after the first frame.
    assert!(Call::new(clients.get(&endpoint)).open().await.is_err());
    let (line, connect) = gateway.await.unwrap();
    assert_eq!(line, "GET /ws HTTP/1.1");
    assert_eq!(connect["params"]["auth"], json!({ "token": "s3cret" }));
    let offered =
        (connect["params"]["minProtocol"].as_u64(), connect["params"]["maxProtocol"].as_u64());
    assert_eq!(offered, (Some(3), Some(4)));
}
