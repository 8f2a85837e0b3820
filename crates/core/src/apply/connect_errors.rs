//! Refused connections: the outcome of each, and what a person then has to do.
//!
//! All of these failures concern the gateway and not the job, because all jobs connect in the same
//! way.

use std::time::Duration;

use super::failure::maintenance;
use crate::gateway::{ConnectError, PROTOCOLS, RpcError};
use crate::outcome::{Failure, Outcome, Remedy};

/// The time to leave a gateway alone that has locked this address and does not say for how long;
/// measured: 300 s.
const LOCKED_FOR: Duration = Duration::from_secs(300);

/// Returns the outcome of a run whose connection was refused.
pub(super) fn refused(error: &RpcError, text: &str) -> Outcome {
    let kind = ConnectError::of(error);
    let failure = failure(kind, error, text);
    let retry_after = error.retry_after_ms.map(Duration::from_millis);
    match kind {
        ConnectError::Starting => Outcome::Busy { retry_after, failure },
        ConnectError::AddressLocked => {
            Outcome::Busy { retry_after: retry_after.or(Some(LOCKED_FOR)), failure }
        }
        _ => Outcome::Blocked(failure),
    }
}

/// The table: which refusal has which code and remedy.
fn failure(kind: ConnectError, error: &RpcError, text: &str) -> Failure {
    let (code, remedy) = match kind {
        ConnectError::Pairing => return pairing(text, error.detail("requestId")),
        ConnectError::AddressLocked => (
            "auth_rate_limited",
            Remedy::connection(format!(
                "{SET_TOKEN}; the gateway has locked this address after wrong ones"
            )),
        ),
        ConnectError::Starting => ("gateway_starting", Remedy::default()),
        ConnectError::Protocol => ("protocol_mismatch", other_protocol(error)),
        ConnectError::Maintenance => ("maintenance_required", maintenance()),
        ConnectError::Token => ("unauthorized", Remedy::connection(SET_TOKEN)),
        ConnectError::NoToken => {
            let remedy = Remedy::gateway_host(
                "set a token on the gateway with `openclaw config set gateway.auth.token TOKEN`, \
                    and the same one in the main backend, which sends it with any job of the \
                    gateway",
            );
            ("unauthorized", remedy)
        }
        ConnectError::Password => (
            "unauthorized",
            Remedy::gateway_host(
                "run `openclaw config set gateway.auth.mode token` on the gateway: this worker \
                    shows a token, never a password",
            )
            .with_command("openclaw config set gateway.auth.mode token"),
        ),
        ConnectError::DeviceToken => (
            "unauthorized",
            Remedy::connection(
                "set the gateway's own token in the main backend (`gateway.auth.token` of its \
                    config), or give this worker's device a new one on the gateway with `openclaw \
                    devices rotate --device ID --role operator`",
            ),
        ),
        ConnectError::Clocks => (
            "device_refused",
            Remedy::gateway_host(
                "set the clocks of the gateway and of this machine by NTP: signatures are accepted \
                    for 2 minutes",
            ),
        ),
        ConnectError::Proof => (
            "device_refused",
            Remedy::connection(
                "connect to the gateway directly: what stands between it and this worker changes \
                    or mixes up connections",
            ),
        ),
        ConnectError::Device => (
            "device_refused",
            Remedy::gateway_host(
                "run `openclaw devices list` on the gateway, remove this worker's device there, \
                    and approve it anew",
            )
            .with_command("openclaw devices list"),
        ),
        ConnectError::Origin => (
            "origin_refused",
            Remedy::connection(
                "connect to the gateway directly, not through something that adds an Origin; or \
                    allow that origin in `gateway.controlUi.allowedOrigins` on the gateway",
            ),
        ),
        ConnectError::ControlUi => (
            "refused",
            Remedy::connection(
                "connect to the gateway directly: what stands between makes it take this worker \
                    for a browser",
            ),
        ),
        ConnectError::Params => (
            "connect_not_understood",
            Remedy::gateway_host(
                "upgrade the gateway, or this worker: they do not know the same form of `connect`",
            ),
        ),
        ConnectError::Other => (
            "refused",
            Remedy::gateway_host("see the gateway's log; this worker connects as `gateway-client`"),
        ),
    };
    Failure::new(code, text).of_gateway().with_remedy(remedy)
}

/// The remedy for a wrong token. No command of the gateway shows the token: newer ones mask it.
const SET_TOKEN: &str = "set the gateway's token in the main backend to `gateway.auth.token` of \
    the gateway's config, which is ~/.openclaw/openclaw.json unless `openclaw config file` says \
    otherwise";

/// Returns the remedy for a gateway that speaks other protocols: the older of the two is to be
/// upgraded.
fn other_protocol(error: &RpcError) -> Remedy {
    let (oldest, newest) = PROTOCOLS;
    match error.details.get("expectedProtocol").and_then(serde_json::Value::as_u64) {
        Some(expected) if expected > newest.into() => Remedy::worker(format!(
            "upgrade this worker: it speaks protocols {oldest} and {newest}, the gateway {expected}"
        )),
        Some(expected) if expected < oldest.into() => Remedy::gateway_host(format!(
            "upgrade the gateway to 2026.2.9 or newer: it speaks protocol {expected}, this worker \
                {oldest} and {newest}"
        )),
        _ => Remedy::gateway_host(format!(
            "upgrade the gateway or this worker: the worker speaks protocols {oldest} and {newest}"
        )),
    }
}

/// Returns the failure of a device that waits for approval, or lacks the scopes that it needs.
pub(super) fn pairing(text: &str, request: Option<&str>) -> Failure {
    let known =
        request.filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    let (command, rest) = match known {
        Some(id) => (format!("openclaw devices approve {id}"), ""),
        None => ("openclaw devices list".to_owned(), " and approve this worker's device"),
    };
    let remedy =
        Remedy::gateway_host(format!("run `{command}` on the gateway{rest}")).with_command(command);
    Failure::new("pairing_required", text).of_gateway().with_remedy(remedy)
}
