//! Refused connections: the outcome of each, and what a person then has to do.
//!
//! All of these failures concern the gateway and not the job, because all jobs connect in the same
//! way.

use std::time::Duration;

use super::failure::maintenance;
use crate::gateway::{ConnectError, PROTOCOLS, RpcError};
use crate::outcome::{Actor, Failure, Outcome, Remedy};

/// The time to leave a gateway alone that has locked this address and does not say for how long;
/// measured: 300 s.
const LOCKED_FOR: Duration = Duration::from_secs(300);

/// Returns the outcome of a run whose connection was refused.
pub(super) fn refused(error: &RpcError) -> Outcome {
    let text = format!("the gateway refused the connection: {}", error.quote());
    let retry_after = error.retry_after_ms.map(Duration::from_millis);
    let meaning = match ConnectError::of(error) {
        ConnectError::Pairing => {
            return Outcome::Blocked(pairing(text, error.detail("requestId")));
        }
        ConnectError::AddressLocked => {
            let token = TOKEN.remedy();
            let locked =
                format!("{}; the gateway has locked this address after wrong ones", token.text);
            let failure = Failure::new("auth_rate_limited", text)
                .of_gateway()
                .with_remedy(Remedy { text: locked, ..token });
            return Outcome::Busy { retry_after: Some(retry_after.unwrap_or(LOCKED_FOR)), failure };
        }
        ConnectError::Starting => {
            return Outcome::Busy {
                retry_after,
                failure: Failure::new("gateway_starting", text).of_gateway(),
            };
        }
        ConnectError::Protocol => {
            let failure = Failure::new("protocol_mismatch", text).of_gateway();
            return Outcome::Blocked(failure.with_remedy(other_protocol(error)));
        }
        ConnectError::Maintenance => {
            let failure = Failure::new("maintenance_required", text).of_gateway();
            return Outcome::Blocked(failure.with_remedy(maintenance()));
        }
        ConnectError::Token => TOKEN,
        ConnectError::NoToken => NO_TOKEN,
        ConnectError::Password => PASSWORD,
        ConnectError::DeviceToken => DEVICE_TOKEN,
        ConnectError::Clocks => CLOCKS,
        ConnectError::Proof => PROOF,
        ConnectError::Device => DEVICE,
        ConnectError::Origin => ORIGIN,
        ConnectError::ControlUi => CONTROL_UI,
        ConnectError::Params => PARAMS,
        ConnectError::Other => OTHER,
    };
    Outcome::Blocked(Failure::new(meaning.code, text).of_gateway().with_remedy(meaning.remedy()))
}

/// The meaning of a refusal: the failure's code, and the remedy.
#[derive(Clone, Copy)]
struct Meaning {
    code: &'static str,
    actor: Actor,
    retry_helps: bool,
    command: Option<&'static str>,
    text: &'static str,
}

impl Meaning {
    /// A remedy on the gateway's machine.
    const fn on_the_gateway(code: &'static str, text: &'static str) -> Self {
        Self { code, actor: Actor::GatewayHost, retry_helps: true, command: None, text }
    }

    /// A remedy that changes the job's document: the gateway's url or token.
    const fn in_the_backend(code: &'static str, text: &'static str) -> Self {
        Self { code, actor: Actor::Backend, retry_helps: false, command: None, text }
    }

    const fn with_command(self, command: &'static str) -> Self {
        Self { command: Some(command), ..self }
    }

    fn remedy(self) -> Remedy {
        let Self { actor, retry_helps, command, text, .. } = self;
        let command = command.map(str::to_owned);
        Remedy { command, retry_helps, ..Remedy::new(actor, text) }
    }
}

const TOKEN: Meaning = Meaning::in_the_backend(
    "unauthorized",
    // No command of the gateway shows it: newer ones mask it.
    "set the gateway's token in the main backend to `gateway.auth.token` of the gateway's config, \
        which is ~/.openclaw/openclaw.json unless `openclaw config file` says otherwise",
);
// The document changes as well.
const NO_TOKEN: Meaning = Meaning {
    retry_helps: false,
    ..Meaning::on_the_gateway(
        "unauthorized",
        "set a token on the gateway with `openclaw config set gateway.auth.token TOKEN`, and the \
            same one in the main backend",
    )
};
const PASSWORD: Meaning = Meaning::on_the_gateway(
    "unauthorized",
    "run `openclaw config set gateway.auth.mode token` on the gateway: this worker shows a token, \
        never a password",
)
.with_command("openclaw config set gateway.auth.mode token");
const DEVICE_TOKEN: Meaning = Meaning::in_the_backend(
    "unauthorized",
    "set the gateway's own token in the main backend (`gateway.auth.token` of its config), or give \
        this worker's device a new one on the gateway with `openclaw devices rotate --device ID \
        --role operator`",
);
const CLOCKS: Meaning = Meaning::on_the_gateway(
    "device_refused",
    "set the clocks of the gateway and of this machine by NTP: signatures are accepted for 2 \
        minutes",
);
const PROOF: Meaning = Meaning::in_the_backend(
    "device_refused",
    "connect to the gateway directly: what stands between it and this worker changes or mixes up \
        connections",
);
const DEVICE: Meaning = Meaning::on_the_gateway(
    "device_refused",
    "run `openclaw devices list` on the gateway, remove this worker's device there, and approve \
        it anew",
)
.with_command("openclaw devices list");
const ORIGIN: Meaning = Meaning::in_the_backend(
    "origin_refused",
    "connect to the gateway directly, not through something that adds an Origin; or allow that \
        origin in `gateway.controlUi.allowedOrigins` on the gateway",
);
const CONTROL_UI: Meaning = Meaning::in_the_backend(
    "refused",
    "connect to the gateway directly: what stands between makes it take this worker for a browser",
);
const PARAMS: Meaning = Meaning::on_the_gateway(
    "connect_not_understood",
    "upgrade the gateway, or this worker: they do not know the same form of `connect`",
);
const OTHER: Meaning = Meaning::on_the_gateway(
    "refused",
    "see the gateway's log; this worker connects as `gateway-client`",
);

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
pub(super) fn pairing(text: String, request: Option<&str>) -> Failure {
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
