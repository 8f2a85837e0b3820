//! Tests of remedies: who has to act after a failure, with which command, and whether a retry
//! helps.

use mission_core::Outcome;
use mission_core::gateway::{Fingerprint, GatewayError, Method, RpcError};
use mission_core::outcome::Actor::{self, Backend, GatewayHost, Nobody, Worker};
use serde_json::{Value, json};
use uuid::Uuid;

/// Code of the failure, actor, whether a retry helps, beginning of the command or nothing.
type Expected = (&'static str, Actor, bool, &'static str);

fn assert_remedy(outcome: &Outcome, (code, actor, retry_helps, command): Expected) {
    let failure = outcome.failure().unwrap();
    let remedy = &failure.remedy;
    assert_eq!(failure.code, code);
    assert_eq!((remedy.actor, remedy.retry_helps), (actor, retry_helps), "{failure:?}");
    let shown = remedy.command.as_deref().unwrap_or_default();
    assert!(shown.starts_with(command) && shown.is_empty() == command.is_empty(), "{failure:?}");
    assert!(remedy.text.contains(shown), "the text names its command: {failure:?}");
    assert_eq!(actor == Nobody, remedy.text().is_none(), "{failure:?}");
    assert!(!remedy.text.ends_with('.'), "{failure:?}");
    if outcome.name() == "blocked" {
        assert_ne!(actor, Nobody, "a blocked job waits for somebody: {failure:?}");
    }
}

#[test]
fn each_error_names_who_has_to_act() {
    let agent = || "ada".to_owned();
    let reason = String::new;
    let cases: Vec<(GatewayError, Expected)> = vec![
        (GatewayError::Unreachable { reason: reason() }, ("unreachable", Nobody, true, "")),
        (GatewayError::NotAGateway { reason: reason() }, ("not_a_gateway", Backend, true, "")),
        (GatewayError::Tls { reason: reason() }, ("tls", Backend, true, "")),
        (
            GatewayError::Untrusted {
                reason: reason(),
                fingerprint: Fingerprint::of(b""),
                port: 443,
            },
            (
                "untrusted_certificate",
                GatewayHost,
                true,
                "openssl s_client -connect 127.0.0.1:443 ",
            ),
        ),
        (
            GatewayError::Starting { reason: reason(), retry_after: None },
            ("gateway_starting", Nobody, true, ""),
        ),
        (
            GatewayError::MissingScope { request: Some("r1".into()) },
            ("pairing_required", GatewayHost, true, "openclaw devices approve r1"),
        ),
        (GatewayError::TooOld { method: "x" }, ("gateway_too_old", GatewayHost, true, "")),
        (
            GatewayError::TooLarge { method: Method::FilesSet, size: 2, limit: 1 },
            ("too_large", Backend, false, ""),
        ),
        (
            GatewayError::ConfigInvalid { reason: reason() },
            ("gateway_config_invalid", GatewayHost, true, "openclaw doctor"),
        ),
        (GatewayError::UnsafeFile { path: "/x".into() }, ("unsafe_file", GatewayHost, true, "")),
        (
            GatewayError::NotOurs { agent: agent(), reason: reason() },
            ("agent_not_ours", Backend, false, ""),
        ),
        (
            GatewayError::IdTaken { agent: agent(), owner: Uuid::nil() },
            ("agent_id_taken", Backend, false, ""),
        ),
        (
            GatewayError::DefaultAgent { agent: agent() },
            ("agent_is_default", GatewayHost, true, ""),
        ),
        (
            GatewayError::WorkspaceTaken { agent: agent(), folder: "/x".into(), other: agent() },
            ("workspace_taken", Backend, false, ""),
        ),
        (
            GatewayError::SessionsLost { agent: agent() },
            ("gateway_restart_needed", GatewayHost, true, ""),
        ),
        (GatewayError::NotKept { what: "x".into(), rounds: 4 }, ("not_kept", Nobody, true, "")),
    ];
    for (error, expected) in cases {
        assert_remedy(&error.into(), expected);
    }
}

#[test]
fn each_answer_names_who_has_to_act() {
    let cases = [
        ("config base hash required; re-run", ("no_config_hash", GatewayHost, true, "")),
        (
            "Config write rejected: (size-drop:1924->949)",
            ("config_write_rejected", GatewayHost, true, ""),
        ),
        (
            "AuthProfileMigrationRequired: migrate",
            ("maintenance_required", GatewayHost, true, "openclaw doctor --fix"),
        ),
        ("invalid config: tools", ("gateway_config_invalid", GatewayHost, true, "")),
        (
            "missing scope: operator.admin",
            ("pairing_required", GatewayHost, true, "openclaw devices list"),
        ),
        ("unknown method: x", ("gateway_too_old", GatewayHost, true, "")),
    ];
    for (message, expected) in cases {
        assert_remedy(
            &answered(json!({ "code": "INVALID_REQUEST", "message": message })),
            expected,
        );
    }
    let limited = json!({ "code": "UNAVAILABLE",
        "message": "rate limit exceeded for config.patch; retry after 60s" });
    assert_remedy(&answered(limited), ("rate_limited", Nobody, true, ""));
    let issues = json!([{ "path": "agents.list.3.heartbeat", "message": "Invalid input" }]);
    let heartbeats = json!({ "code": "INVALID_REQUEST", "message": "invalid config",
        "details": { "issues": issues } });
    assert_remedy(&answered(heartbeats), ("gateway_config_invalid", Backend, false, ""));
}

#[test]
fn each_refused_connection_names_who_has_to_act() {
    let cases = [
        ("AUTH_TOKEN_MISMATCH", ("unauthorized", Backend, true, "")),
        ("AUTH_TOKEN_NOT_CONFIGURED", ("unauthorized", GatewayHost, true, "")),
        (
            "AUTH_PASSWORD_MISMATCH",
            ("unauthorized", GatewayHost, true, "openclaw config set gateway.auth.mode token"),
        ),
        ("AUTH_DEVICE_TOKEN_MISMATCH", ("unauthorized", Backend, true, "")),
        ("AUTH_RATE_LIMITED", ("auth_rate_limited", Backend, true, "")),
        ("DEVICE_AUTH_SIGNATURE_EXPIRED", ("device_refused", GatewayHost, true, "")),
        ("DEVICE_AUTH_SIGNATURE_INVALID", ("device_refused", Backend, true, "")),
        (
            "DEVICE_AUTH_DEVICE_ID_MISMATCH",
            ("device_refused", GatewayHost, true, "openclaw devices list"),
        ),
        ("CONTROL_UI_ORIGIN_NOT_ALLOWED", ("origin_refused", Backend, true, "")),
        ("CONTROL_UI_DEVICE_IDENTITY_REQUIRED", ("refused", Backend, true, "")),
        ("PAIRING_REQUIRED", ("pairing_required", GatewayHost, true, "openclaw devices list")),
        ("PROTOCOL_MISMATCH", ("protocol_mismatch", GatewayHost, true, "")),
        ("SOMETHING_NEW", ("refused", GatewayHost, true, "")),
    ];
    for (code, expected) in cases {
        assert_remedy(
            &refused(
                json!({ "code": "INVALID_REQUEST", "message": "no", "details": { "code": code } }),
            ),
            expected,
        );
    }
    let newer = json!({ "code": "INVALID_REQUEST", "message": "protocol mismatch",
        "details": { "expectedProtocol": 5 } });
    assert_remedy(&refused(newer), ("protocol_mismatch", Worker, true, ""));
}

fn answered(error: Value) -> Outcome {
    GatewayError::Rpc { method: Method::ConfigPatch, error: rpc(error) }.into()
}

fn refused(error: Value) -> Outcome {
    GatewayError::Refused(rpc(error)).into()
}

fn rpc(error: Value) -> Box<RpcError> {
    Box::new(serde_json::from_value(error).unwrap())
}
