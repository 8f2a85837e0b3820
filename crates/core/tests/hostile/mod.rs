//! Tests of hostile gateways, which send too much, too long frames, or endless streams.

use std::time::Duration;

use mission_core::Outcome;
use mission_core::gateway::{Answer, Call, GatewayError, Method};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::connection::{accept, call, listen};
use crate::half_open::client_over;
use crate::scripted::Scripted;

const MIB: usize = 1024 * 1024;
const MINUTE: Duration = Duration::from_secs(60);

/// Returns an event of this many bytes.
fn event(size: usize) -> String {
    let event = r#"{"type":"event","event":"chat","payload":[1,1]}"#.to_owned();
    event.replace("[1,1]", &format!("[1{}]", ",1".repeat(size.saturating_sub(event.len()) / 2)))
}

/// Returns the result of a first request to a gateway that sends these messages before the answer.
async fn after(messages: Vec<Message>) -> Result<Answer, GatewayError> {
    let (client, mut arrivals) = client_over(MIB, MINUTE);
    tokio::spawn(async move {
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), json!({})).await;
        let request = gateway.request().await.unwrap();
        for message in messages {
            gateway.pass(message).await;
        }
        gateway.answer(&request, &json!({ "agents": [] })).await;
        gateway.request().await
    });
    Call::new(client).read(Method::AgentsList, json!({})).await
}

#[tokio::test(start_paused = true)]
async fn unrequested_events_of_any_size_are_dropped() {
    assert_eq!(
        after(vec![Message::text(event(31 * MIB))]).await.unwrap().into_value(),
        json!({ "agents": [] })
    );
    let deep = format!(
        r#"{{"type":"event","event":"x","payload":{}{}}}"#,
        "[".repeat(MIB),
        "]".repeat(MIB)
    );
    let number =
        format!(r#"{{"type":"event","event":"x","payload":[1e{0},{0}]}}"#, "9".repeat(MIB));
    let others = vec![
        Message::text(deep),
        Message::text(number),
        Message::text(r#"{"type":"other","id":7}"#),
    ];
    assert_eq!(after(others).await.unwrap().into_value(), json!({ "agents": [] }));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_floods_is_disconnected() {
    let floods = [
        vec![Message::Ping("x".into()); 101],
        vec![Message::text(r#"{"type":"event","event":"x"}"#); 20_001],
        vec![Message::text(event(31 * MIB)); 5],
        vec![Message::Frame(Frame::message("", OpCode::Data(Data::Text), false))]
            .into_iter()
            .chain(vec![
                Message::Frame(Frame::message("", OpCode::Data(Data::Continue), false));
                20_000
            ])
            .collect(),
    ];
    for flood in floods {
        let kind = flood[0].to_string().chars().take(40).collect::<String>();
        let error = after(flood).await.unwrap_err();
        assert!(
            matches!(&error, GatewayError::Closed { reason, .. } if reason.contains("too much at once")),
            "{kind}: {error:?}"
        );
        assert_eq!(Outcome::from(error).name(), "transient");
    }
    assert!(after(vec![Message::Ping("x".into()); 100]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_message_in_parts_is_their_sum() {
    let text = json!({ "type": "event", "event": "x", "payload": "é".repeat(1000) })
        .to_string()
        .into_bytes();
    let parts = |parts: Vec<Vec<u8>>| {
        let last = parts.len() - 1;
        let kind = |at| OpCode::Data(if at == 0 { Data::Text } else { Data::Continue });
        let frame = |(at, part)| Message::Frame(Frame::message(part, kind(at), at == last));
        parts.into_iter().enumerate().map(frame).collect::<Vec<_>>()
    };
    let small = parts(text.chunks(7).map(<[u8]>::to_vec).collect());
    assert!(after(small).await.is_ok(), "characters may be split between parts");
    let error = after(parts(vec![vec![b' '; 256 * 1024]; 33])).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Closed { reason, .. } if reason.contains("8650752 bytes; \
            the limit is 8388608")),
        "{error:?}"
    );
    let error = after(parts(vec![vec![b' '; 256 * 1024 + 1]; 2])).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Closed { reason, .. } if reason.contains("262145 bytes")),
        "{error:?}"
    );
    let error = after(parts(vec![vec![0xff; 10]])).await.unwrap_err();
    assert!(matches!(error, GatewayError::Closed { .. }), "not text: {error:?}");
}

/// Returns the result of reading this config; `PARTS` stands for 4 MiB of the value.
async fn config(payload: &str, value: &str) -> Result<Answer, GatewayError> {
    let (listener, port) = listen().await;
    let payload = payload.replace("PARTS", &value.repeat(4 * MIB / value.len()));
    tokio::spawn(async move {
        let mut gateway = Scripted::open(accept(&listener).await, json!({})).await;
        while let Some(request) = gateway.request().await {
            let frame =
                format!(r#"{{"type":"res","id":{},"ok":true,"payload":{payload}}}"#, request["id"]);
            gateway.pass(Message::text(frame)).await;
        }
    });
    call(port, MINUTE).read(Method::ConfigGet, json!({})).await
}

#[tokio::test]
async fn an_answer_that_would_take_too_much_memory_is_refused() {
    let kept =
        config(r#"{"hash":"h","raw":[PARTS 1],"config":{"agents":{}}}"#, "{},").await.unwrap();
    assert_eq!(
        kept.into_value(),
        json!({ "hash": "h", "config": { "agents": {} } }),
        "parts that are not needed are skipped"
    );
    for part in ["1,", "{},", r#"{"a":1},"#, r#"[[""]],"#] {
        let error = config(r#"{"hash":"h","config":{"agents":{"list":[PARTS 1]}}}"#, part)
            .await
            .unwrap_err();
        let is_told = |reason: &str| reason.contains("more than 50331648 bytes of memory");
        assert!(
            matches!(&error, GatewayError::Garbage { reason, .. } if is_told(reason)),
            "{part}: {error:?}"
        );
        assert_eq!(Outcome::from(error).name(), "transient");
    }
}

#[tokio::test]
async fn an_error_is_read_without_its_details_if_these_are_too_large() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let mut gateway = Scripted::open(accept(&listener).await, json!({})).await;
        let request = gateway.request().await.unwrap();
        let error = json!({ "code": "INVALID_REQUEST", "message": "no", "details": vec![1; MIB] });
        gateway.answer_error(&request, &error).await;
        let request = gateway.request().await.unwrap();
        gateway
            .answer_error(&request, &json!({ "code": "X", "message": "x".repeat(5 * MIB) }))
            .await;
        gateway.request().await
    });
    let call = call(port, MINUTE);
    let error = call.read(Method::AgentsList, json!({})).await.unwrap_err();
    let rpc = error.rpc().unwrap();
    assert_eq!((rpc.message.as_str(), &rpc.details), ("no", &Value::Null));
    let error = call.read(Method::AgentsList, json!({})).await.unwrap_err();
    assert!(matches!(error, GatewayError::Garbage { .. }), "{error:?}");
}

#[tokio::test]
async fn limits_are_lower_before_the_session_is_open() {
    /// Returns the result of connecting to a gateway with a greeting and a hello of these sizes.
    async fn greeted(greeting: usize, hello: usize) -> Result<(), GatewayError> {
        let (listener, port) = listen().await;
        tokio::spawn(async move {
            let mut gateway =
                Scripted(tokio_tungstenite::accept_async(accept(&listener).await).await.unwrap());
            gateway.pass(Message::text(event(greeting))).await;
            let challenge = json!({ "type": "event", "event": "connect.challenge", "payload": {} });
            gateway.pass(Message::text(challenge.to_string())).await;
            let Some(connect) = gateway.request().await else { return };
            let hello = json!({
                "type": "hello-ok", "protocol": 4, "snapshot": { "health": "x".repeat(hello) },
            });
            gateway.answer(&connect, &hello).await;
            gateway.request().await;
        });
        call(port, MINUTE).open().await
    }
    greeted(60 * 1024, 3 * MIB).await.unwrap();
    for (greeting, hello) in [(65 * 1024, 0), (0, 4 * MIB)] {
        let error = greeted(greeting, hello).await.unwrap_err();
        assert!(
            matches!(&error, GatewayError::Unreachable { reason } if reason.contains("the limit is")),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_reads_nothing_is_disconnected_despite_its_ticks() {
    let (client, mut arrivals) = client_over(16 * 1024, 10 * MINUTE);
    tokio::spawn(async move {
        let hello = json!({ "policy": { "maxPayload": 10 * MIB, "tickIntervalMs": 1000 } });
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), hello).await;
        // The gateway ticks and reads nothing.
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gateway.pass(Message::text(r#"{"type":"event","event":"tick"}"#)).await;
        }
    });
    let call = Call::new(client);
    let error =
        call.write(Method::FilesSet, json!({ "content": "x".repeat(MIB) })).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Closed { reason, .. } if reason == "the gateway accepts no data"),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_message_must_be_completed_in_time() {
    let (client, mut arrivals) = client_over(16 * 1024, 10 * MINUTE);
    tokio::spawn(async move {
        let hello = json!({ "policy": { "tickIntervalMs": 300_000 } });
        let mut gateway = Scripted::open(arrivals.recv().await.unwrap(), hello).await;
        let part = |kind, size| {
            Message::Frame(Frame::message(vec![b' '; size], OpCode::Data(kind), false))
        };
        gateway.pass(part(Data::Text, 65 * 1024)).await;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gateway.pass(part(Data::Continue, 1)).await;
            gateway.pass(Message::Ping("x".into())).await;
        }
    });
    let call = Call::new(client);
    let error = call.read(Method::AgentsList, json!({})).await.unwrap_err();
    assert!(
        matches!(&error, GatewayError::Closed { reason, .. } if reason.contains("took more than \
            60 s")),
        "{error:?}"
    );
}
