//! Tests of the mapping from gateways' answers to outcomes, with real gateways' error messages.

use std::time::Duration;

use mission_core::Scope::{Gateway, Job};
use mission_core::gateway::{GatewayError, Method, RpcError};
use mission_core::model::Fingerprint;
use mission_core::{Outcome, Scope};
use serde_json::{Value, json};

fn answer(error: Value) -> Box<RpcError> {
    Box::new(serde_json::from_value(error).unwrap())
}

fn answered(method: Method, error: Value) -> Outcome {
    GatewayError::Rpc { method, error: answer(error) }.into()
}

fn name_and_code(outcome: &Outcome) -> (&str, &str) {
    (outcome.name(), outcome.failure().map_or("", |failure| &failure.code))
}

fn name_and_scope(outcome: &Outcome) -> (&str, Scope) {
    (outcome.name(), outcome.failure().unwrap().scope)
}

#[test]
fn a_gateway_that_is_starting_is_waited_for() {
    for message in [
        "gateway starting; retry shortly",
        "sessions.list unavailable during gateway startup",
        "gateway is restarting",
        "The server is busy. Please try again in a moment.",
    ] {
        let error = answer(json!({ "code": "UNAVAILABLE", "message": message }));
        assert!(
            GatewayError::Rpc { method: Method::SessionsList, error }.is_connection_lost(),
            "{message}"
        );
    }
}

#[test]
fn an_error_answer() {
    let cases = [
        (
            Method::FilesSet,
            "INVALID_REQUEST",
            "unsafe workspace file \"BOOTSTRAP.md\"",
            "transient",
            Job,
        ),
        (
            Method::ConfigPatch,
            "INVALID_REQUEST",
            "config changed since last load; re-run config.get and retry",
            "transient",
            Job,
        ),
        (
            Method::ConfigPatch,
            "INVALID_REQUEST",
            "invalid config: tools: Unrecognized key: \"x\"",
            "blocked",
            Gateway,
        ),
        (
            Method::ConfigPatch,
            "INVALID_REQUEST",
            "config base hash required; re-run config.get",
            "blocked",
            Gateway,
        ),
        (
            Method::ConfigPatch,
            "UNAVAILABLE",
            "Error: Config write rejected: (size-drop:1924->949)",
            "blocked",
            Job,
        ),
        (
            Method::ConfigPatch,
            "UNAVAILABLE",
            "rate limit exceeded for config.patch; retry after 60s",
            "busy",
            Gateway,
        ),
        (Method::FilesSet, "INVALID_REQUEST", "missing scope: operator.admin", "blocked", Gateway),
        (
            Method::FilesGet,
            "INVALID_REQUEST",
            "unknown method: agents.files.get",
            "blocked",
            Gateway,
        ),
        (Method::FilesGet, "INVALID_REQUEST", "unknown agent id", "transient", Job),
        (
            Method::ChatSend,
            "INVALID_REQUEST",
            "Agent \"nosuch\" no longer exists in configuration",
            "transient",
            Job,
        ),
        (Method::AgentsDelete, "INVALID_REQUEST", "\"main\" cannot be deleted", "permanent", Job),
        (
            Method::AgentsCreate,
            "UNAVAILABLE",
            "Error: ENOTDIR: not a directory, mkdir '/x'",
            "transient",
            Job,
        ),
        (
            Method::SessionsList,
            "UNAVAILABLE",
            "sessions.list unavailable during gateway restart",
            "busy",
            Gateway,
        ),
        (
            Method::SessionsPatch,
            "UNAVAILABLE",
            "The server is busy. Please try again in a moment.",
            "busy",
            Gateway,
        ),
    ];
    for (method, code, message, outcome, scope) in cases {
        let ended = answered(method, json!({ "code": code, "message": message }));
        assert_eq!(name_and_scope(&ended), (outcome, scope), "{message}");
        assert_eq!(ended.failure().unwrap().method.as_deref(), Some(method.as_str()), "{message}");
    }
}

#[test]
fn an_invalid_config_is_the_jobs_fault_if_only_heartbeats_are_wrong() {
    let cases = [
        (vec!["agents.entries.ada.heartbeat.every"], Job),
        (vec!["agents.list.3.heartbeat", "agents.list.3.heartbeat.every"], Job),
        (vec!["agents.entries.ada.heartbeat.every", "tools"], Gateway),
        (vec!["agents.defaults.heartbeat.every"], Gateway),
        (vec![], Gateway),
    ];
    for (paths, scope) in cases {
        let issues: Vec<Value> =
            paths.iter().map(|path| json!({ "path": path, "message": "Invalid input" })).collect();
        let error = json!({ "code": "INVALID_REQUEST", "message": "invalid \
            config", "details": { "issues": issues } });
        assert_eq!(
            name_and_scope(&answered(Method::ConfigPatch, error)),
            ("blocked", scope),
            "{paths:?}"
        );
    }
}

#[test]
fn a_rate_limit_is_respected() {
    let message = "rate limit exceeded for config.patch; retry after 60s";
    let error = json!({ "code": "UNAVAILABLE", "message": message, "retryAfterMs": 59_989 });
    let Outcome::Busy { retry_after, .. } = answered(Method::ConfigPatch, error) else {
        panic!("busy")
    };
    assert_eq!(retry_after, Some(Duration::from_millis(59_989)));
}

#[test]
fn a_lost_connection_is_ambiguous_only_after_a_write_was_sent() {
    let cases = [
        (Method::FilesSet, Some(1012), true, "ambiguous", Gateway),
        (Method::FilesSet, None, true, "ambiguous", Gateway),
        (Method::FilesSet, Some(1012), false, "busy", Gateway),
        (Method::FilesSet, None, false, "transient", Gateway),
        (Method::ConfigGet, Some(1013), true, "busy", Gateway),
        (Method::ConfigGet, Some(1006), true, "transient", Gateway),
        // This closes the connection because the frame is too large.
        (Method::FilesSet, Some(1009), true, "ambiguous", Job),
        (Method::ConfigGet, Some(1009), true, "permanent", Job),
    ];
    for (method, code, sent, outcome, scope) in cases {
        let ended = GatewayError::Closed { method, code, reason: String::new(), sent }.into();
        assert_eq!(name_and_scope(&ended), (outcome, scope), "{method:?} {code:?} {sent}");
    }
}

#[test]
fn a_request_without_a_valid_answer_on_a_working_connection_is_the_jobs_fault() {
    for (method, outcome) in [(Method::ConfigPatch, "ambiguous"), (Method::ConfigGet, "transient")]
    {
        let late = GatewayError::Timeout { method, after: Duration::from_secs(90) }.into();
        assert_eq!(name_and_scope(&late), (outcome, Job), "{method:?}");
        let odd = GatewayError::Garbage { method, reason: String::new() }.into();
        assert_eq!(name_and_scope(&odd), (outcome, Job), "{method:?}");
    }
}

#[test]
fn all_other_errors() {
    let reason = String::new;
    let cases = [
        (GatewayError::Unreachable { reason: reason() }, "transient", "unreachable", Gateway),
        (GatewayError::NotAGateway { reason: reason() }, "blocked", "not_a_gateway", Gateway),
        (GatewayError::Tls { reason: reason() }, "blocked", "tls", Gateway),
        (
            GatewayError::Untrusted {
                reason: reason(),
                fingerprint: Fingerprint::of(b""),
                port: 443,
            },
            "blocked",
            "untrusted_certificate",
            Gateway,
        ),
        (
            GatewayError::Starting { reason: reason(), retry_after: None },
            "busy",
            "gateway_starting",
            Gateway,
        ),
        (GatewayError::MissingScope { request: None }, "blocked", "pairing_required", Gateway),
        (
            GatewayError::TooOld { method: "agents.files.get" },
            "blocked",
            "gateway_too_old",
            Gateway,
        ),
        (
            GatewayError::Garbage { method: Method::Connect, reason: reason() },
            "transient",
            "garbage",
            Gateway,
        ),
        (
            GatewayError::ConfigInvalid { reason: reason() },
            "blocked",
            "gateway_config_invalid",
            Gateway,
        ),
        (
            GatewayError::TooLarge { method: Method::FilesSet, size: 2, limit: 1 },
            "permanent",
            "too_large",
            Job,
        ),
        (GatewayError::NotKept { what: "config".into(), rounds: 4 }, "transient", "not_kept", Job),
    ];
    for (error, outcome, code, scope) in cases {
        let ended = Outcome::from(error);
        assert_eq!(name_and_code(&ended), (outcome, code));
        assert_eq!(name_and_scope(&ended).1, scope, "{code}");
    }
}

#[test]
fn a_failure_shows_its_scope() {
    let shown = |error: GatewayError| json!(Outcome::from(error).failure().unwrap());
    let unreachable = json!({
        "code": "unreachable", "message": "cannot reach the gateway: \
            gone", "action": null, "scope": "gateway",
    });
    assert_eq!(shown(GatewayError::Unreachable { reason: "gone".into() }), unreachable);
    assert_eq!(shown(GatewayError::NotKept { what: "x".into(), rounds: 1 })["scope"], "job");
}

#[test]
fn a_gateways_message_is_cut_and_escaped() {
    let error =
        answer(json!({ "code": "X", "message": format!("a\n\u{1b}[31mb{}", "c".repeat(10_000)) }));
    assert_eq!(error.quote().chars().count(), 401);
    assert!(error.quote().starts_with(r"a\u000a\u001b[31mb") && error.quote().ends_with("c…"));
    let shown = GatewayError::Rpc { method: Method::FilesSet, error }.to_string();
    assert!(shown.len() < 500 && !shown.contains(char::is_control));
}

#[test]
fn the_label_limit_is_read_from_the_refusal() {
    for (words, limit) in [
        ("must NOT have more than 64 characters", 64),
        ("must not have more than 512 characters", 512),
    ] {
        let message =
            format!("invalid sessions.patch params: at /label: {words}; at /label: must be null");
        assert_eq!(answer(json!({ "message": message })).label_limit(), Some(limit));
    }
    // The lower case of the first letter is two bytes shorter, and that of the second one byte
    // longer.
    let message = "\u{212a}\u{130} at /label: must NOT have more than 64 characters é";
    assert_eq!(answer(json!({ "message": message })).label_limit(), Some(64));
    assert_eq!(
        answer(json!({ "message": "at /key: must not have more than 9 characters" })).label_limit(),
        None
    );
}
