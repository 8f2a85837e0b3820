//! Tests of gateways' connect errors, in their own words, and of the actions that people are given.

use std::time::Duration;

use mission_core::gateway::GatewayError;
use mission_core::{Outcome, Scope};
use serde_json::{Value, json};

fn refused(error: Value) -> Outcome {
    GatewayError::Refused(Box::new(serde_json::from_value(error).unwrap())).into()
}

/// The code, the message, `details.code` or nothing, the code of the failure, and a part of the
/// remedy's text.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

const TOKEN: &str = "`gateway.auth.token` of the gateway's config";

/// The connect errors recorded from 2026.2.9 to 2026.9.6, except for the last group. The recordings
/// were cut at `…`.
const BLOCKED: &[Case] = &[
    (
        "INVALID_REQUEST",
        "unauthorized: gateway token mismatch (provide gateway auth token)",
        "",
        "unauthorized",
        TOKEN,
    ),
    (
        "INVALID_REQUEST",
        "unauthorized: gateway token mismatch (provide gateway auth token)",
        "AUTH_TOKEN_MISMATCH",
        "unauthorized",
        TOKEN,
    ),
    (
        "INVALID_REQUEST",
        "unauthorized: gateway token missing (provide gateway auth token)",
        "",
        "unauthorized",
        TOKEN,
    ),
    (
        "INVALID_REQUEST",
        "unauthorized: gateway token missing (provide gateway auth token)",
        "AUTH_TOKEN_MISSING",
        "unauthorized",
        TOKEN,
    ),
    ("NOT_PAIRED", "device identity required", "", "unauthorized", TOKEN),
    ("NOT_PAIRED", "device identity required", "DEVICE_IDENTITY_REQUIRED", "unauthorized", TOKEN),
    ("NOT_PAIRED", "pairing required", "", "pairing_required", "`openclaw devices list`"),
    ("INVALID_REQUEST", "device signature expired", "", "device_refused", "clocks"),
    (
        "INVALID_REQUEST",
        "device signature expired",
        "DEVICE_AUTH_INVALID",
        "device_refused",
        "clocks",
    ),
    (
        "INVALID_REQUEST",
        "device signature expired",
        "DEVICE_AUTH_SIGNATURE_EXPIRED",
        "device_refused",
        "clocks",
    ),
    ("INVALID_REQUEST", "device signature invalid", "", "device_refused", "directly"),
    (
        "INVALID_REQUEST",
        "device nonce mismatch",
        "DEVICE_AUTH_NONCE_MISMATCH",
        "device_refused",
        "directly",
    ),
    ("INVALID_REQUEST", "device nonce required", "", "device_refused", "directly"),
    (
        "INVALID_REQUEST",
        "origin not allowed (open the Control UI from the gateway host or allow it in gat…",
        "",
        "origin_refused",
        "`gateway.controlUi.allowedOrigins`",
    ),
    (
        "INVALID_REQUEST",
        "origin not allowed (open the Control UI from the gateway host or allow it in gat…",
        "CONTROL_UI_ORIGIN_NOT_ALLOWED",
        "origin_refused",
        "`gateway.controlUi.allowedOrigins`",
    ),
    (
        "INVALID_REQUEST",
        "control ui requires HTTPS or localhost (secure context)",
        "",
        "refused",
        "directly",
    ),
    (
        "INVALID_REQUEST",
        "control ui requires device identity (use HTTPS or localhost secure context)",
        "CONTROL_UI_DEVICE_IDENTITY_REQUIRED",
        "refused",
        "directly",
    ),
    (
        "UNAVAILABLE",
        "protocol mismatch: Control UI updated; reload this page to continue",
        "PROTOCOL_MISMATCH",
        "refused",
        "directly",
    ),
    (
        "INVALID_REQUEST",
        "invalid connect params: at root: unexpected property 'foo'",
        "",
        "connect_not_understood",
        "upgrade",
    ),
    (
        "INVALID_REQUEST",
        "invalid connect params: at /device: must have required property 'nonce'",
        "",
        "connect_not_understood",
        "upgrade",
    ),
    ("INVALID_REQUEST", "protocol mismatch", "", "protocol_mismatch", "speaks protocols 3 and 4"),
    (
        "INVALID_REQUEST",
        "protocol mismatch",
        "PROTOCOL_MISMATCH",
        "protocol_mismatch",
        "speaks protocols 3 and 4",
    ),
    // These were reported by users.
    (
        "INVALID_REQUEST",
        "unauthorized: device token mismatch (rotate/reissue device token)",
        "",
        "unauthorized",
        "`openclaw devices rotate ",
    ),
    ("INVALID_REQUEST", "something new", "", "refused", "the gateway's log"),
];

#[test]
fn each_refusal_has_an_action_for_a_person() {
    for (code, message, detail, expected, action) in BLOCKED {
        let details = if detail.is_empty() { Value::Null } else { json!({ "code": detail }) };
        let ended = refused(json!({ "code": code, "message": message, "details": details }));
        let failure = ended.failure().unwrap();
        assert_eq!(
            (ended.name(), failure.code.as_str()),
            ("blocked", *expected),
            "{message} {detail}"
        );
        assert_eq!(failure.scope, Scope::Gateway, "{message}: all jobs connect the same way");
        assert!(failure.message.contains(message), "{failure:?}");
        assert!(failure.remedy.text.contains(action), "{message} {detail}: {failure:?}");
    }
}

#[test]
fn a_newer_gateways_code_is_enough() {
    let codes = [
        ("AUTH_TOKEN_MISMATCH", "unauthorized", TOKEN),
        (
            "AUTH_TOKEN_NOT_CONFIGURED",
            "unauthorized",
            "`openclaw config set gateway.auth.token TOKEN`",
        ),
        ("AUTH_PASSWORD_MISMATCH", "unauthorized", "`openclaw config set gateway.auth.mode token`"),
        ("AUTH_DEVICE_TOKEN_MISMATCH", "unauthorized", "`openclaw devices rotate "),
        ("DEVICE_AUTH_SIGNATURE_INVALID", "device_refused", "directly"),
        ("DEVICE_AUTH_DEVICE_ID_MISMATCH", "device_refused", "`openclaw devices list`"),
        ("PAIRING_REQUIRED", "pairing_required", "`openclaw devices list`"),
        ("PROTOCOL_MISMATCH", "protocol_mismatch", "speaks protocols 3 and 4"),
    ];
    for (detail, expected, action) in codes {
        let ended = refused(
            json!({ "code": "INVALID_REQUEST", "message": "no", "details": { "code": detail } }),
        );
        let failure = ended.failure().unwrap();
        assert_eq!((ended.name(), failure.code.as_str()), ("blocked", expected), "{detail}");
        assert!(failure.remedy.text.contains(action), "{detail}: {failure:?}");
    }
}

#[test]
fn a_locked_or_starting_gateway_is_left_alone_for_as_long_as_it_asks() {
    let locked = "too many failed authentication attempts (retry later)";
    let starting = "gateway starting; retry shortly";
    let limited = json!({ "code": "AUTH_RATE_LIMITED" });
    let sidecars = json!({ "reason": "startup-sidecars" });
    let cases = [
        ("INVALID_REQUEST", locked, json!(null), json!(null), "auth_rate_limited", Some(300_000)),
        ("INVALID_REQUEST", locked, limited, json!(299_993), "auth_rate_limited", Some(299_993)),
        ("UNAVAILABLE", starting, sidecars, json!(500), "gateway_starting", Some(500)),
        ("UNAVAILABLE", starting, json!(null), json!(null), "gateway_starting", None),
    ];
    for (code, message, details, retry_after_ms, expected, waits) in cases {
        let error = json!({
            "code": code, "message": message, "details": details, "retryAfterMs": retry_after_ms,
        });
        let Outcome::Busy { retry_after, failure } = refused(error) else { panic!("{message}") };
        assert_eq!((failure.code.as_str(), failure.scope), (expected, Scope::Gateway), "{message}");
        assert_eq!(retry_after, waits.map(Duration::from_millis), "{message}");
        assert_eq!(failure.remedy.text.contains(TOKEN), expected == "auth_rate_limited");
    }
}

#[test]
fn of_two_incompatible_protocols_the_older_side_is_to_be_upgraded() {
    for (expected, words) in
        [(2, "upgrade the gateway to 2026.2.9"), (5, "upgrade this worker"), (3, "upgrade the")]
    {
        let details = json!({ "expectedProtocol": expected });
        let ended = refused(json!({ "code": "INVALID_REQUEST", "message": "protocol \
                mismatch", "details": details }));
        let action = &ended.failure().unwrap().remedy.text;
        assert!(action.contains(words), "{expected}: {action}");
    }
}

#[test]
fn a_pairing_request_is_named_in_the_command_unless_it_is_not_an_id() {
    let remedy = |id: &str| {
        let error = json!({ "code": "NOT_PAIRED", "message": "pairing \
            required", "details": { "requestId": id } });
        refused(error).failure().unwrap().remedy.clone()
    };
    let known = remedy("ab-12");
    assert_eq!(known.text, "run `openclaw devices approve ab-12` on the gateway");
    assert_eq!(known.command.as_deref(), Some("openclaw devices approve ab-12"));
    let odd = remedy("x; rm -rf /");
    assert!(!odd.text.contains("rm -rf"));
    assert_eq!(odd.command.as_deref(), Some("openclaw devices list"));
}
