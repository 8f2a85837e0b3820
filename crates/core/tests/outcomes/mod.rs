//! The table from what a gateway says to what becomes of the job, with the words of real gateways.

use std::time::Duration;

use mission_core::Outcome;
use mission_core::gateway::{GatewayError, Method, RpcError};
use serde_json::{Value, json};

fn answer(error: Value) -> Box<RpcError> {
    Box::new(serde_json::from_value(error).unwrap())
}

fn refused(error: Value) -> Outcome {
    GatewayError::Refused(answer(error)).into()
}

fn answered(method: Method, error: Value) -> Outcome {
    GatewayError::Rpc { method, error: answer(error) }.into()
}

fn name_and_code(outcome: &Outcome) -> (&str, &str) {
    (outcome.name(), outcome.failure().map_or("", |failure| &failure.code))
}

#[test]
fn a_refused_connection() {
    let cases = [
        ("INVALID_REQUEST", "protocol mismatch", "blocked", "protocol_mismatch"),
        ("INVALID_REQUEST", "unauthorized: gateway token mismatch (…)", "blocked", "unauthorized"),
        ("NOT_PAIRED", "device identity required", "blocked", "unauthorized"),
        ("NOT_PAIRED", "pairing required", "blocked", "pairing_required"),
        ("INVALID_REQUEST", "device signature expired", "blocked", "device_refused"),
        ("INVALID_REQUEST", "origin not allowed", "blocked", "origin_refused"),
        ("INVALID_REQUEST", "too many failed authentication attempts (retry later)", "busy", "auth_rate_limited"),
        ("UNAVAILABLE", "gateway starting; retry shortly", "busy", "gateway_starting"),
    ];
    for (code, message, outcome, expected) in cases {
        let ended = refused(json!({ "code": code, "message": message }));
        assert_eq!(name_and_code(&ended), (outcome, expected), "{message}");
        let says_what_to_do = ended.failure().unwrap().action.is_some();
        assert!(says_what_to_do || outcome == "busy", "{message}: a person has to know what to do");
    }
}

#[test]
fn an_error_answer() {
    let cases = [
        (
            Method::ConfigPatch,
            "INVALID_REQUEST",
            "config changed since last load; re-run config.get and retry",
            "transient",
        ),
        (Method::ConfigPatch, "INVALID_REQUEST", "invalid config: tools: Unrecognized key: \"x\"", "blocked"),
        (Method::ConfigPatch, "UNAVAILABLE", "Error: Config write rejected: (size-drop:1924->949)", "blocked"),
        (Method::FilesSet, "INVALID_REQUEST", "missing scope: operator.admin", "blocked"),
        (Method::FilesGet, "INVALID_REQUEST", "unknown method: agents.files.get", "blocked"),
        (Method::FilesGet, "INVALID_REQUEST", "unknown agent id", "transient"),
        (Method::AgentsDelete, "INVALID_REQUEST", "\"main\" cannot be deleted", "permanent"),
        (Method::AgentsCreate, "UNAVAILABLE", "Error: ENOTDIR: not a directory, mkdir '/x'", "transient"),
        (Method::SessionsList, "UNAVAILABLE", "sessions.list unavailable during gateway restart", "busy"),
        (Method::SessionsPatch, "UNAVAILABLE", "The server is busy. Please try again in a moment.", "busy"),
    ];
    for (method, code, message, outcome) in cases {
        assert_eq!(answered(method, json!({ "code": code, "message": message })).name(), outcome, "{message}");
    }
}

#[test]
fn a_rate_limit_is_obeyed() {
    let message = "rate limit exceeded for config.patch; retry after 60s";
    let error = json!({ "code": "UNAVAILABLE", "message": message, "retryAfterMs": 59_989 });
    let Outcome::Busy { retry_after, .. } = answered(Method::ConfigPatch, error) else { panic!("busy") };
    assert_eq!(retry_after, Some(Duration::from_millis(59_989)));
}

#[test]
fn a_lost_connection_is_ambiguous_only_after_a_write_was_sent() {
    let closed = |method, code, sent| Outcome::from(GatewayError::Closed { method, code, reason: String::new(), sent });
    assert_eq!(closed(Method::FilesSet, Some(1012), true).name(), "ambiguous");
    assert_eq!(closed(Method::FilesSet, Some(1012), false).name(), "busy");
    assert_eq!(closed(Method::ConfigGet, Some(1013), true).name(), "busy");
    assert_eq!(closed(Method::ConfigGet, Some(1006), true).name(), "transient");
    let late = |method| Outcome::from(GatewayError::Timeout { method, after: Duration::from_secs(90) });
    assert_eq!(late(Method::ConfigPatch).name(), "ambiguous");
    assert_eq!(late(Method::ConfigGet).name(), "transient");
}

#[test]
fn a_pairing_request_is_named_in_the_command_unless_it_is_no_id() {
    let action = |id: &str| {
        let error = json!({ "code": "NOT_PAIRED", "message": "pairing required", "details": { "requestId": id } });
        refused(error).failure().unwrap().action.clone().unwrap()
    };
    assert_eq!(action("ab-12"), "run `openclaw devices approve ab-12` on the gateway");
    assert!(!action("x; rm -rf /").contains("rm -rf"));
}

#[test]
fn a_gateways_words_are_cut_and_cleaned() {
    let error = answer(json!({ "code": "X", "message": format!("a\n\u{1b}[31mb{}", "c".repeat(10_000)) }));
    assert_eq!(error.quote().chars().count(), 400);
    assert!(error.quote().starts_with("a[31mb"));
    let shown = GatewayError::Rpc { method: Method::FilesSet, error }.to_string();
    assert!(shown.len() < 500 && !shown.contains(char::is_control));
}

#[test]
fn the_label_limit_is_read_from_the_refusal() {
    for (words, limit) in
        [("must NOT have more than 64 characters", 64), ("must not have more than 512 characters", 512)]
    {
        let message = format!("invalid sessions.patch params: at /label: {words}; at /label: must be null");
        assert_eq!(answer(json!({ "message": message })).label_limit(), Some(limit));
    }
    assert_eq!(answer(json!({ "message": "at /key: must not have more than 9 characters" })).label_limit(), None);
}
