//! What a gateway can say instead of letting a worker in, and what a person then has to do.
//!
//! Old gateways tell the cases apart by their words only, newer ones also by `details.code`; so
//! both are looked at. All of it concerns the gateway and not the job: all jobs connect the same
//! way.

use std::time::Duration;

use super::protocol::PROTOCOLS;
use super::rpc_error::RpcError;
use crate::outcome::{Failure, Outcome};

/// How long to leave a gateway alone that has locked this address and does not say for how long;
/// measured: 300 s.
const LOCKED_FOR: Duration = Duration::from_secs(300);

/// An error answer to `connect`.
pub(super) fn refused(error: &RpcError) -> Outcome {
    let text = format!("the gateway refused the connection: {}", error.quote());
    let retry_after = error.retry_after_ms.map(Duration::from_millis);
    let code = error.detail("code").unwrap_or_default();
    if is_pairing(error, code) {
        return Outcome::Blocked(pairing(text, error.detail("requestId")));
    }
    if code == "AUTH_RATE_LIMITED" || error.is_form(&["too many failed authentication*"]) {
        let action = format!("{}; the gateway has locked this address after wrong ones", TOKEN.1);
        let failure = Failure::new("auth_rate_limited", text).of_gateway().with_action(action);
        return Outcome::Busy { retry_after: Some(retry_after.unwrap_or(LOCKED_FOR)), failure };
    }
    let known = ROWS.iter().find(|row| row.fits(error, code)).map(|row| row.means);
    let (name, action) = if let Some((name, action)) = known {
        (name, action.to_owned())
    } else if code == "PROTOCOL_MISMATCH" || error.is_form(&["protocol mismatch*"]) {
        ("protocol_mismatch", protocol_action(error))
    } else if error.needs_a_person().is_some() {
        ("maintenance_required", MAINTENANCE.to_owned())
    } else if error.code == "UNAVAILABLE" {
        return Outcome::Busy {
            retry_after,
            failure: Failure::new("gateway_starting", text).of_gateway(),
        };
    } else {
        (OTHER.0, OTHER.1.to_owned())
    };
    Outcome::Blocked(Failure::new(name, text).of_gateway().with_action(action))
}

/// Whether the gateway counts it, and locks out an address with too many of them: those that are
/// about the token.
pub(super) fn counts_against_address(error: &RpcError) -> bool {
    let outcome = refused(error);
    outcome.failure().is_some_and(|failure| {
        matches!(failure.code.as_str(), "unauthorized" | "auth_rate_limited")
    })
}

/// What is wrong, by the code of the failure and by what to do about it.
type Meaning = (&'static str, &'static str);

const TOKEN: Meaning = (
    "unauthorized",
    // No command of the gateway shows it: newer ones mask it.
    "set the gateway's token in the main backend to `gateway.auth.token` of the gateway's config, \
        which is \
     ~/.openclaw/openclaw.json unless `openclaw config file` says otherwise",
);
const NO_TOKEN: Meaning = (
    "unauthorized",
    "set a token on the gateway with `openclaw config set gateway.auth.token TOKEN`, and the same \
        one in the main backend",
);
const PASSWORD: Meaning = (
    "unauthorized",
    "run `openclaw config set gateway.auth.mode token` on the gateway: this worker shows a token, \
        never a password",
);
const DEVICE_TOKEN: Meaning = (
    "unauthorized",
    "set the gateway's own token in the main backend (`gateway.auth.token` of its config), or give \
     this worker's device a new one there with `openclaw devices rotate --device ID --role \
     operator`",
);
const CLOCKS: Meaning = (
    "device_refused",
    "set the clocks of the gateway and of this machine by NTP: signatures are accepted for 2 \
        minutes",
);
const PROOF: Meaning = (
    "device_refused",
    "connect to the gateway directly: what stands between it and this worker changes or mixes up \
        connections",
);
const DEVICE: Meaning = (
    "device_refused",
    "run `openclaw devices list` on the gateway, remove this worker's device there, and approve \
        it anew",
);
const ORIGIN: Meaning = (
    "origin_refused",
    "connect to the gateway directly, not through what adds an Origin; or allow that one in \
     `gateway.controlUi.allowedOrigins` on the gateway",
);
const CONTROL_UI: Meaning = (
    "refused",
    "connect to the gateway directly: what stands between makes it take this worker for a browser",
);
const PARAMS: Meaning = (
    "connect_not_understood",
    "upgrade the gateway, or this worker: they do not know the same form of `connect`",
);
const OTHER: Meaning =
    ("refused", "see the gateway's log; this worker connects as `gateway-client`");

const MAINTENANCE: &str =
    "run `openclaw doctor --fix` on the gateway's machine and do what it says, then retry";

/// One case: it is told by any of these codes, or by any of these forms of the message.
struct Row {
    codes: &'static [&'static str],
    forms: &'static [&'static str],
    means: Meaning,
}

impl Row {
    fn fits(&self, error: &RpcError, code: &str) -> bool {
        self.codes.contains(&code) || error.is_form(self.forms)
    }
}

/// The first that fits counts.
const ROWS: [Row; 11] = [
    row(
        &["AUTH_DEVICE_TOKEN_MISMATCH"],
        &["unauthorized: device token mismatch*", "device token mismatch*"],
        DEVICE_TOKEN,
    ),
    row(&["AUTH_TOKEN_NOT_CONFIGURED"], &["unauthorized: gateway token not configured*"], NO_TOKEN),
    row(
        &["AUTH_PASSWORD_MISSING", "AUTH_PASSWORD_MISMATCH", "AUTH_PASSWORD_NOT_CONFIGURED"],
        &["unauthorized: gateway password *"],
        PASSWORD,
    ),
    // Its words speak of the control UI as well.
    row(&["CONTROL_UI_ORIGIN_NOT_ALLOWED"], &["origin not allowed*"], ORIGIN),
    row(
        &["CONTROL_UI_DEVICE_IDENTITY_REQUIRED"],
        &["control ui *", "protocol mismatch: control ui *"],
        CONTROL_UI,
    ),
    row(
        &["AUTH_TOKEN_MISMATCH", "AUTH_TOKEN_MISSING", "DEVICE_IDENTITY_REQUIRED"],
        &["device identity required*"],
        TOKEN,
    ),
    row(&["DEVICE_AUTH_SIGNATURE_EXPIRED"], &["device signature expired*"], CLOCKS),
    row(
        &[
            "DEVICE_AUTH_NONCE_REQUIRED",
            "DEVICE_AUTH_NONCE_MISMATCH",
            "DEVICE_AUTH_SIGNATURE_INVALID",
        ],
        &["device nonce *", "device signature invalid*"],
        PROOF,
    ),
    row(&[], &["invalid connect params*", "invalid handshake*", "invalid-handshake*"], PARAMS),
    row(&["AUTH_REQUIRED", "AUTH_UNAUTHORIZED"], &["unauthorized*"], TOKEN),
    row(
        &[
            "DEVICE_AUTH_INVALID",
            "DEVICE_AUTH_DEVICE_ID_MISMATCH",
            "DEVICE_AUTH_PUBLIC_KEY_INVALID",
        ],
        &["device *"],
        DEVICE,
    ),
];

const fn row(
    codes: &'static [&'static str],
    forms: &'static [&'static str],
    means: Meaning,
) -> Row {
    Row { codes, forms, means }
}

fn is_pairing(error: &RpcError, code: &str) -> bool {
    let said = error.is_form(&["pairing required*"]) || error.detail("requestId").is_some();
    code == "PAIRING_REQUIRED" || (error.code == "NOT_PAIRED" && said)
}

/// Which of the two is too old, from what the gateway expects.
fn protocol_action(error: &RpcError) -> String {
    let (oldest, newest) = PROTOCOLS;
    match error.details.get("expectedProtocol").and_then(serde_json::Value::as_u64) {
        Some(expected) if expected < oldest.into() => {
            format!(
                "upgrade the gateway to 2026.2.9 or newer: it speaks protocol {expected}, this \
                    worker {oldest} and {newest}"
            )
        }
        Some(expected) if expected > newest.into() => {
            format!(
                "upgrade this worker: it speaks protocols {oldest} and {newest}, the gateway \
                    {expected}"
            )
        }
        _ => format!(
            "this worker speaks protocols {oldest} and {newest}; upgrade the gateway or the worker"
        ),
    }
}

/// A device that waits for approval, or has not the rights it needs.
pub(super) fn pairing(text: String, request: Option<&str>) -> Failure {
    let known =
        request.filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    let command = match known {
        Some(id) => format!("run `openclaw devices approve {id}` on the gateway"),
        None => {
            "run `openclaw devices list` on the gateway and approve this worker's device".to_owned()
        }
    };
    Failure::new("pairing_required", text).of_gateway().with_action(command)
}
