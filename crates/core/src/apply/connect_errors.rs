//! Refused connections: the outcome of each, and what a person then has to do.
//!
//! All of these failures concern the gateway and not the job, because all jobs connect in the same
//! way.

use std::time::Duration;

use crate::gateway::{ConnectError, PROTOCOLS, RpcError};
use crate::outcome::{Failure, Outcome};

/// The time to leave a gateway alone that has locked this address and does not say for how long;
/// measured: 300 s.
const LOCKED_FOR: Duration = Duration::from_secs(300);

/// Returns the outcome of a run whose connection was refused.
pub(super) fn refused(error: &RpcError) -> Outcome {
    let text = format!("the gateway refused the connection: {}", error.quote());
    let retry_after = error.retry_after_ms.map(Duration::from_millis);
    let (name, action) = match ConnectError::of(error) {
        ConnectError::Pairing => {
            return Outcome::Blocked(pairing(text, error.detail("requestId")));
        }
        ConnectError::AddressLocked => {
            let action =
                format!("{}; the gateway has locked this address after wrong ones", TOKEN.1);
            let failure = Failure::new("auth_rate_limited", text).of_gateway().with_action(action);
            return Outcome::Busy { retry_after: Some(retry_after.unwrap_or(LOCKED_FOR)), failure };
        }
        ConnectError::Starting => {
            return Outcome::Busy {
                retry_after,
                failure: Failure::new("gateway_starting", text).of_gateway(),
            };
        }
        ConnectError::Protocol => ("protocol_mismatch", protocol_action(error)),
        ConnectError::Maintenance => ("maintenance_required", MAINTENANCE.to_owned()),
        ConnectError::Token => (TOKEN.0, TOKEN.1.to_owned()),
        ConnectError::NoToken => (NO_TOKEN.0, NO_TOKEN.1.to_owned()),
        ConnectError::Password => (PASSWORD.0, PASSWORD.1.to_owned()),
        ConnectError::DeviceToken => (DEVICE_TOKEN.0, DEVICE_TOKEN.1.to_owned()),
        ConnectError::Clocks => (CLOCKS.0, CLOCKS.1.to_owned()),
        ConnectError::Proof => (PROOF.0, PROOF.1.to_owned()),
        ConnectError::Device => (DEVICE.0, DEVICE.1.to_owned()),
        ConnectError::Origin => (ORIGIN.0, ORIGIN.1.to_owned()),
        ConnectError::ControlUi => (CONTROL_UI.0, CONTROL_UI.1.to_owned()),
        ConnectError::Params => (PARAMS.0, PARAMS.1.to_owned()),
        ConnectError::Other => (OTHER.0, OTHER.1.to_owned()),
    };
    Outcome::Blocked(Failure::new(name, text).of_gateway().with_action(action))
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
