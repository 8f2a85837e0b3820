//! The connection to a gateway: TLS, limits that the gateway states, silence, and the end of idle ones.

use std::sync::Arc;
use std::time::Duration;

use mission_core::Outcome;
use mission_core::gateway::{Call, Client, DeviceIdentity, Endpoint, GatewayError, Limits, Method};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::scripted::Scripted;

/// A run's calls to a gateway at that port of loopback. It is not patient.
fn call(scheme: &str, port: u16, allow_insecure_tls: bool, idle: Duration) -> Call {
    let limits = Limits { call: Duration::from_secs(10), patience: Duration::ZERO, idle };
    let url = format!("{scheme}://localhost:{port}").parse().unwrap();
    let endpoint = Endpoint { url, token: None, allow_insecure_tls };
    Call::new(Arc::new(Client::new(endpoint, Arc::new(DeviceIdentity::ephemeral()), limits)))
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

const MINUTE: Duration = Duration::from_secs(60);

/// A certificate that nobody has signed but its holder.
fn self_signed() -> TlsAcceptor {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_certificate_that_cannot_be_verified_is_refused_unless_the_job_allows_it() {
    let (listener, port) = listen().await;
    let tls = self_signed();
    tokio::spawn(async move {
        // The first client hangs up during the handshake.
        assert!(tls.accept(accept(&listener).await).await.is_err());
        let mut gateway = Scripted::open(tls.accept(accept(&listener).await).await.unwrap(), json!({})).await;
        let request = gateway.request().await.unwrap();
        gateway.answer(&request, &json!({ "config": {} })).await;
    });
    let error = call("wss", port, false, MINUTE).open().await.unwrap_err();
    assert!(matches!(error, GatewayError::Tls { .. }), "{error:?}");
    let outcome = Outcome::from(error);
    assert_eq!(outcome.name(), "blocked");
    assert!(outcome.failure().unwrap().action.as_ref().unwrap().contains("allow_insecure_tls"));

    let answer = call("wss", port, true, MINUTE).read(Method::ConfigGet, json!({})).await.unwrap();
    assert_eq!(answer, json!({ "config": {} }));
}

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
    let call = call("ws", port, false, MINUTE);
    let error = call.write(Method::FilesSet, json!({ "content": "x".repeat(1000) })).await.unwrap_err();
    assert!(matches!(error, GatewayError::TooLarge { limit: 1000, .. }), "{error:?}");
    assert_eq!(Outcome::from(error).name(), "permanent");
    // The connection is as good as before.
    call.read(Method::ConfigGet, json!({})).await.unwrap();
    assert_eq!(gateway.await.unwrap(), "config.get");
}

#[tokio::test]
async fn a_gateway_without_ticks_is_given_up() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let policy = json!({ "policy": { "tickIntervalMs": 1000 } });
        let mut gateway = Scripted::open(accept(&listener).await, policy).await;
        // It takes requests and never answers.
        while gateway.request().await.is_some() {}
    });
    // An unused connection would be closed sooner than a silent one.
    let call = call("ws", port, false, Duration::from_millis(100));
    let error = call.write(Method::ConfigPatch, json!({})).await.unwrap_err();
    assert!(matches!(&error, GatewayError::Closed { reason, sent: true, .. } if reason == "silent"), "{error:?}");
    assert_eq!(Outcome::from(error).name(), "ambiguous");
}

#[tokio::test]
async fn an_unused_connection_is_closed_and_made_again_when_needed() {
    let (listener, port) = listen().await;
    let (closed, was_closed) = oneshot::channel();
    tokio::spawn(async move {
        let mut closed = Some(closed);
        for _ in 0..2 {
            let mut gateway = Scripted::open(accept(&listener).await, json!({})).await;
            let request = gateway.request().await.unwrap();
            gateway.answer(&request, &json!({})).await;
            assert_eq!(gateway.request().await, None, "the client hangs up");
            closed.take().map(|closed| closed.send(()));
        }
    });
    let call = call("ws", port, false, Duration::from_millis(50));
    call.read(Method::ConfigGet, json!({})).await.unwrap();
    was_closed.await.unwrap();
    call.read(Method::ConfigGet, json!({})).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_no_gateway_is_said_so() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = accept(&listener).await;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let error = call("ws", port, false, MINUTE).open().await.unwrap_err();
    assert_eq!(error.to_string(), "the address answers HTTP 404; check the gateway's url");
    let (closed, port) = listen().await;
    drop(closed);
    let error = call("ws", port, false, MINUTE).open().await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_session_without_rights_or_methods_is_refused_in_words() {
    let cases = [
        (json!({ "auth": { "scopes": [] } }), "pairing_required"),
        (json!({ "features": { "methods": ["config.get", "sessions.patch"] } }), "gateway_too_old"),
    ];
    for (hello, code) in cases {
        let (listener, port) = listen().await;
        tokio::spawn(async move { Scripted::open(accept(&listener).await, hello).await.request().await });
        let outcome = Outcome::from(call("ws", port, false, MINUTE).open().await.unwrap_err());
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
    let endpoint = Endpoint { url, token: Some("s3cret".into()), allow_insecure_tls: false };
    let client = Client::new(endpoint, Arc::new(DeviceIdentity::ephemeral()), Limits::default());
    // The gateway hangs up after the first frame.
    assert!(Call::new(Arc::new(client)).open().await.is_err());
    let (line, connect) = gateway.await.unwrap();
    assert_eq!(line, "GET /ws HTTP/1.1");
    assert_eq!(connect["params"]["auth"], json!({ "token": "s3cret" }));
    let offered = (connect["params"]["minProtocol"].as_u64(), connect["params"]["maxProtocol"].as_u64());
    assert_eq!(offered, (Some(3), Some(4)));
}
