//! Tests of the limits on a gateway's answers: the largest accepted size, and one more.

use std::time::Duration;

use mission_core::gateway::{Answer, Call, GatewayError, Method};
use mission_core::outcome::{Failure, MAX_MESSAGE, Remedy};
use mission_core::{Outcome, sanitize};
use serde_json::{Value, json};

use crate::connection::{accept, call, listen};
use crate::scripted::Scripted;

/// Returns the result of one answer of `size` bytes, in which the payload replaces `PAYLOAD`.
async fn asked(method: Method, payload: &str, size: usize) -> Result<Value, GatewayError> {
    let (listener, port) = listen().await;
    let payload = payload.to_owned();
    tokio::spawn(async move {
        let mut gateway = Scripted::open(accept(&listener).await, json!({})).await;
        let request = gateway.request().await.unwrap();
        let frame =
            format!(r#"{{"type":"res","id":{},"ok":true,"payload":{payload}}}"#, request["id"]);
        let filling = size.saturating_sub(frame.len());
        gateway.send(frame + &" ".repeat(filling)).await;
        gateway.request().await
    });
    call(port, Duration::from_secs(60)).read(method, json!({})).await.map(Answer::into_value)
}

#[tokio::test]
async fn the_size_of_an_answer_is_limited() {
    const MIB: usize = 1024 * 1024;
    for (method, most) in [(Method::FilesGet, 4 * MIB), (Method::ConfigGet, 32 * MIB)] {
        assert_eq!(method.max_answer(), most);
        assert_eq!(asked(method, "7", most).await.unwrap(), 7, "{method:?}");
    }
    let error = asked(Method::FilesGet, "7", 4 * MIB + 1).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Garbage { reason, .. } if reason.contains("4194305 bytes")),
        "{error:?}"
    );
    assert_eq!(Outcome::from(error).name(), "transient");
    let error = asked(Method::ConfigGet, "7", 32 * MIB + 1).await.unwrap_err();
    assert!(matches!(error, GatewayError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn the_depth_of_an_answer_is_limited() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(asked(Method::AgentsList, &nested(127), 0).await.is_ok());
    let error = asked(Method::AgentsList, &nested(128), 0).await.unwrap_err();
    assert!(matches!(error, GatewayError::Garbage { .. }), "{error:?}");
}

/// Returns the calls to a gateway that describes itself like this in its hello.
async fn met(hello: Value) -> Call {
    let (listener, port) = listen().await;
    tokio::spawn(
        async move { Scripted::open(accept(&listener).await, hello).await.request().await },
    );
    let call = call(port, Duration::from_secs(60));
    call.open().await.unwrap();
    call
}

#[tokio::test]
async fn a_gateways_description_of_itself_is_cut() {
    let scopes: Vec<_> = (0..33)
        .map(|n| if n == 0 { "operator.admin".to_owned() } else { format!("s{n}\n") })
        .collect();
    let hello = |length: usize| {
        let name = "v".repeat(length);
        json!({
            "server": { "version": &name }, "auth": { "scopes": &scopes },
            "snapshot": { "sessionDefaults": { "defaultAgentId": name } },
        })
    };
    let (fits, long) = (met(hello(64)).await, met(hello(65)).await);
    assert_eq!(
        (fits.default_agent(), fits.server_info().unwrap().version.len()),
        ("v".repeat(64).as_str(), 64)
    );
    assert_eq!(
        (long.default_agent(), long.server_info().unwrap().version.chars().count()),
        ("main", 65)
    );
    let scopes = long.server_info().unwrap().scopes.as_ref().unwrap();
    assert_eq!((scopes.len(), scopes[1].as_str()), (32, r"s1\u000a"));
    assert_eq!(
        met(json!({ "snapshot": { "sessionDefaults": { "defaultAgentId": "a\nb" } } }))
            .await
            .default_agent(),
        "main"
    );
}

#[test]
fn a_failures_message_is_one_short_line() {
    let error = GatewayError::Unreachable {
        reason: format!("no\r\n2026 INFO all well\u{1b}[2J{}", "x".repeat(3000)),
    };
    let outcome = Outcome::from(error);
    let failure = outcome.failure().unwrap();
    assert!(
        failure
            .message
            .starts_with(r"cannot reach the gateway: no\u000d\u000a2026 INFO all well\u001b[2J")
    );
    assert_eq!(failure.message.chars().count(), MAX_MESSAGE + 1);
    let fits = "é".repeat(MAX_MESSAGE);
    let failure = Failure::new("x", &fits).with_remedy(Remedy::worker("a\nb"));
    assert_eq!((failure.message, failure.remedy.text()), (fits, Some(r"a\u000ab")));
    assert!("\u{202e}\u{2028}".chars().all(sanitize::is_unprintable));
}
