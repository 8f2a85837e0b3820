//! The one table that turns an error of a gateway into an [`Outcome`].

use std::time::Duration;

use super::connect_errors::{pairing, refused};
use crate::gateway::{Fingerprint, GatewayError, Method, Need, RpcError};
use crate::outcome::{Failure, MAX_MESSAGE, Outcome, Remedy};
use crate::sanitize::one_line;

/// Returns the remedy for a write into a file that the gateway's config includes.
fn included() -> Remedy {
    Remedy::gateway_host(
        "make the change in the file that the gateway names, or take the $include out of its \
            config: the gateway does not write into included files",
    )
}

/// Returns the remedy for a gateway that has to be maintained first.
pub(super) fn maintenance() -> Remedy {
    Remedy::gateway_host("run `openclaw doctor --fix` on the gateway's machine and do what it says")
        .with_command("openclaw doctor --fix")
}

/// The table: which error ends a run in which outcome, and whether it is the gateway's or the
/// job's.
impl From<GatewayError> for Outcome {
    fn from(error: GatewayError) -> Self {
        let method = error.method();
        let text = error.to_string();
        let ambiguous = error.may_have_been_carried_out();
        let remedy = remedy(&error);
        let failure = |code| Failure::new(code, text.clone()).with_remedy(remedy.clone());
        let of_gateway = |code| failure(code).of_gateway();
        let mut outcome = match error {
            GatewayError::Unreachable { .. } => Self::Transient(of_gateway("unreachable")),
            GatewayError::OutOfReach(_) => Self::Blocked(failure("gateway_not_allowed")),
            GatewayError::NotAGateway { .. } => Self::Blocked(of_gateway("not_a_gateway")),
            GatewayError::Untrusted { .. } => Self::Blocked(of_gateway("untrusted_certificate")),
            GatewayError::Tls { .. } => Self::Blocked(of_gateway("tls")),
            GatewayError::Starting { retry_after, .. } => {
                Self::Busy { retry_after, failure: of_gateway("gateway_starting") }
            }
            GatewayError::Refused(error) => refused(&error, &text),
            GatewayError::MissingScope { request } => {
                Self::Blocked(pairing(&text, request.as_deref()))
            }
            GatewayError::TooOld { .. } => Self::Blocked(of_gateway("gateway_too_old")),
            GatewayError::Rpc { error, .. } => answered(&error, &text),
            // All runs share one connection: when it is lost, it is lost for all. But a frame that
            // is too large (1009) is the fault of the one that sent it.
            GatewayError::Closed { code, .. } if ambiguous && code != Some(1009) => {
                Self::Ambiguous(of_gateway("unknown_effect"))
            }
            // The rest is the job's, here and below: a gateway that falls silent is `Closed` and
            // one that takes too long to connect is `Unreachable`. So this one lives, and only this
            // request has no good answer.
            GatewayError::Closed { .. }
            | GatewayError::Timeout { .. }
            | GatewayError::Unanswered { .. }
            | GatewayError::Garbage { .. }
                if ambiguous =>
            {
                Self::Ambiguous(failure("unknown_effect"))
            }
            GatewayError::Closed { code: Some(1012 | 1013), .. } => {
                Self::Busy { retry_after: None, failure: of_gateway("gateway_restarting") }
            }
            GatewayError::TooLarge { .. } | GatewayError::Closed { code: Some(1009), .. } => {
                Self::Permanent(failure("too_large"))
            }
            GatewayError::Closed { .. } => Self::Transient(of_gateway("connection_closed")),
            GatewayError::Timeout { .. } | GatewayError::Unanswered { .. } => {
                Self::Transient(failure("timeout"))
            }
            GatewayError::Garbage { method: Method::Connect, .. } => {
                Self::Transient(of_gateway("garbage"))
            }
            GatewayError::Garbage { .. } => Self::Transient(failure("garbage")),
            GatewayError::ConfigInvalid { .. } => {
                Self::Blocked(of_gateway("gateway_config_invalid"))
            }
            GatewayError::UnsafeFile { .. } => Self::Blocked(failure("unsafe_file")),
            GatewayError::NotKept { .. } => Self::Transient(failure("not_kept")),
            GatewayError::NotOurs { .. } => Self::Blocked(failure("agent_not_ours")),
            GatewayError::IdTaken { .. } => Self::Blocked(failure("agent_id_taken")),
            GatewayError::DefaultAgent { .. } => Self::Blocked(failure("agent_is_default")),
            GatewayError::WorkspaceMoves { .. } => Self::Blocked(failure("workspace_moves")),
            GatewayError::WorkspaceTaken { .. } => Self::Blocked(failure("workspace_taken")),
            GatewayError::Undone { .. } => Self::Blocked(failure("not_kept")),
            GatewayError::OfAgent { error, .. } => Self::from(*error),
            GatewayError::NotSaved(_) => Self::Transient(failure("lease_lost")),
            GatewayError::SessionsLost { .. } | GatewayError::NotTakenIn { .. } => {
                Self::Blocked(failure("gateway_restart_needed"))
            }
            GatewayError::Included { .. } => Self::Blocked(failure("config_included")),
        };
        if let Some(failure) = outcome.failure_mut() {
            // Unlike the error of an agent, the text names the agent.
            failure.message = one_line(&text, MAX_MESSAGE);
            failure.method = method.map(|method| method.as_str().to_owned());
        }
        outcome
    }
}

/// Returns the remedy for an error that is not an answer of the gateway; an empty one if the
/// failure passes by itself.
fn remedy(error: &GatewayError) -> Remedy {
    match error {
        GatewayError::OutOfReach(_) => Remedy::connection(
            "correct the gateway's url in the main backend, or add its host or network to \
                gateway.allowed of the workers",
        ),
        // New gateways refuse what a proxy forwards unless they know the proxy.
        GatewayError::NotAGateway { .. } => Remedy::connection(
            "correct the gateway's url in the main backend; if a proxy stands before the gateway, \
                name it in `gateway.trustedProxies` of the gateway's config",
        ),
        GatewayError::Untrusted { fingerprint, port, .. } => trust(*fingerprint, *port),
        GatewayError::Tls { .. } => Remedy::connection(
            "give ws:// as the gateway's url in the main backend if the gateway has no TLS; \
                otherwise see its log",
        ),
        GatewayError::TooOld { .. } => upgrade(),
        GatewayError::TooLarge { .. } | GatewayError::Closed { code: Some(1009), .. }
            if !error.may_have_been_carried_out() =>
        {
            Remedy::backend("shorten the templates or texts of this agent in the main backend")
        }
        GatewayError::ConfigInvalid { .. } => {
            Remedy::gateway_host("run `openclaw doctor` on the gateway and correct its config")
                .with_command("openclaw doctor")
        }
        GatewayError::UnsafeFile { path } => Remedy::gateway_host(format!(
            "put a plain file in the place of {path} on the gateway's machine, or remove it"
        )),
        GatewayError::NotOurs { .. } => Remedy::backend(
            "give the agent another name or `openclaw_session_id` in the main backend; to take the \
                gateway's agent over on purpose, enqueue the job with `options.adopt`, and with \
                `options.move_workspace` as well if it lives in another folder: what it has there \
                stays behind",
        ),
        GatewayError::IdTaken { owner, .. } => Remedy::backend(format!(
            "give one of the two agents another name or `openclaw_session_id` in the main backend; \
                if agent {owner} no longer exists, clean it up first, or enqueue this job with \
                `options.adopt`"
        )),
        GatewayError::DefaultAgent { .. } => {
            Remedy::gateway_host("make another agent the default one in the gateway's config")
        }
        GatewayError::WorkspaceMoves { .. } => Remedy::backend(
            "set the gateway's workspace_root or the agent's name in the main backend back to what \
                they were; to move the agent without its memory, enqueue the job with \
                `options.move_workspace`",
        ),
        GatewayError::WorkspaceTaken { .. } => Remedy::backend(
            "give the agent another name or `openclaw_session_id` in the main backend, or the \
                other agent another folder on the gateway; to share the folder, enqueue the job \
                with `options.adopt`",
        ),
        GatewayError::Undone { .. } => Remedy::gateway_host(
            "find out what writes to the gateway's config besides this worker, or why the gateway \
                does not keep it",
        ),
        GatewayError::SessionsLost { .. } | GatewayError::NotTakenIn { .. } => {
            Remedy::gateway_host("restart the gateway's process")
        }
        GatewayError::Included { .. } => included(),
        _ => Remedy::default(),
    }
}

/// An error answer to any other method, after the flows have dealt with those that they expect.
fn answered(error: &RpcError, text: &str) -> Outcome {
    let failure = |code| Failure::new(code, text);
    let blocked = |code, remedy| Outcome::Blocked(failure(code).with_remedy(remedy));
    let asked = error.retry_after_ms.map(Duration::from_millis);
    if error.is_rate_limited() {
        // Gateways count by client, and to them all jobs are one.
        let retry_after = asked.or(Some(Duration::from_secs(60)));
        return Outcome::Busy { retry_after, failure: failure("rate_limited").of_gateway() };
    }
    if error.is_form(&["config base hash required*"]) {
        let remedy = Remedy::gateway_host(
            "see the gateway's log, and upgrade the gateway: it shows no hash of its config",
        );
        return Outcome::Blocked(failure("no_config_hash").of_gateway().with_remedy(remedy));
    }
    if error.is_form(&["config write rejected: *"]) {
        let remedy = Remedy::gateway_host(
            "make this change on the gateway: it protects its config against large changes",
        );
        return blocked("config_write_rejected", remedy);
    }
    match error.needs_a_person() {
        Some(Need::Maintenance) => return blocked("maintenance_required", maintenance()),
        Some(Need::Include) => return blocked("config_included", included()),
        None => {}
    }
    if error.is_config_invalid() && error.is_about_heartbeats() {
        let remedy =
            Remedy::backend("correct what the gateway names in the agent's heartbeat_config");
        return blocked("gateway_config_invalid", remedy);
    }
    if error.is_config_invalid() {
        let remedy = Remedy::gateway_host(
            "correct what the gateway names in its config, or in the agent's heartbeat_config",
        );
        let failure = failure("gateway_config_invalid").of_gateway();
        return Outcome::Blocked(failure.with_remedy(remedy));
    }
    if error.code == "UNAVAILABLE" {
        return if error.is_starting() || asked.is_some() {
            Outcome::Busy { retry_after: asked, failure: failure("gateway_busy").of_gateway() }
        } else {
            // The gateway tried and failed: a full disk, a locked store. It may pass.
            Outcome::Transient(failure("gateway_failed"))
        };
    }
    if error.is_scope_missing() || error.code == "FORBIDDEN" {
        return Outcome::Blocked(pairing(text, None));
    }
    if error.is_form(&["unknown method: *"]) {
        let failure = failure("gateway_too_old").of_gateway();
        return Outcome::Blocked(failure.with_remedy(upgrade()));
    }
    // The last is what some gateways say of a file that comes or goes while they look at it: their
    // agent removes its BOOTSTRAP.md when it has begun to work.
    if error.is_config_stale() || error.is_agent_unknown() || error.is_file_unsafe() {
        return Outcome::Transient(failure("conflict"));
    }
    Outcome::Permanent(failure("refused"))
}

/// Returns the remedy for a certificate that is not trusted. Trusting it is a decision, which is
/// made with what the gateway's own machine shows.
fn trust(fingerprint: Fingerprint, port: u16) -> Remedy {
    let command = format!(
        "openssl s_client -connect 127.0.0.1:{port} </dev/null | openssl x509 -noout -fingerprint \
            -sha256"
    );
    let remedy = Remedy::gateway_host(format!(
        "run `{command}` on the gateway's machine; if it prints the same fingerprint, set the \
            gateway's tls_fingerprint to {fingerprint} in the main backend, which sends it with any \
            job of the gateway; or, if an authority \
            signed the certificate, name the authority's certificate in gateway.ca_file of the \
            worker"
    ));
    remedy.with_command(command)
}

fn upgrade() -> Remedy {
    Remedy::gateway_host("upgrade the gateway to 2026.2.9 or newer")
}
