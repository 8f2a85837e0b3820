//! The one table that turns an error of a gateway into an [`Outcome`].

use std::time::Duration;

use super::connect_errors::{pairing, refused};
use crate::gateway::{Fingerprint, GatewayError, Method, Need, RpcError};
use crate::outcome::{Failure, Outcome};

const INCLUDED: &str = "the gateway does not write into files that its config includes: make the \
    change in the file \
                        that it names, or take the $include out of its config, then retry";

/// The table: which error ends a run in which outcome, and whether it is the gateway's or the
/// job's.
impl From<GatewayError> for Outcome {
    fn from(error: GatewayError) -> Self {
        let method = error.method().map(Method::as_str);
        let text = error.to_string();
        let ambiguous = error.may_have_been_carried_out();
        let outcome = match error {
            GatewayError::Unreachable { .. } => Self::Transient(Failure::new("unreachable", text).of_gateway()),
            GatewayError::OutOfReach(_) => Self::Blocked(Failure::new("gateway_not_allowed", text).with_action(
                "correct the gateway's url in the main backend, or add its host or network to \
                    gateway.allowed of the workers",
            )),
            // New gateways refuse what a proxy forwards unless they know the proxy.
            GatewayError::NotAGateway { .. } => {
                Self::Blocked(Failure::new("not_a_gateway", text).of_gateway().with_action(
                    "correct the gateway's url in the main backend; if a proxy stands before the \
                        gateway, name it in \
                     `gateway.trustedProxies` of the gateway's config",
                ))
            }
            GatewayError::Untrusted { fingerprint, port, .. } => Self::Blocked(untrusted(text, fingerprint, port)),
            GatewayError::Tls { .. } => {
                Self::Blocked(Failure::new("tls", text).of_gateway().with_action(
                    "give ws:// as the gateway's url in the main backend if it has no TLS; else \
                        see its log",
                ))
            }
            GatewayError::Starting { retry_after, .. } => {
                Self::Busy { retry_after, failure: Failure::new("gateway_starting", text).of_gateway() }
            }
            GatewayError::Refused(error) => refused(&error),
            GatewayError::MissingScope { request } => Self::Blocked(pairing(text, request.as_deref())),
            GatewayError::TooOld { .. } => Self::Blocked(too_old(text)),
            GatewayError::Rpc { method, error } => answered(method, &error),
            // All runs share one connection: when it is lost, it is lost for all. But a frame that
            // is too large (1009) is the fault of the one that sent it.
            GatewayError::Closed { code, .. } if ambiguous && code != Some(1009) => {
                Self::Ambiguous(Failure::new("unknown_effect", text).of_gateway())
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
                Self::Ambiguous(Failure::new("unknown_effect", text))
            }
            GatewayError::Closed { code: Some(1012 | 1013), .. } => {
                Self::Busy { retry_after: None, failure: Failure::new("gateway_restarting", text).of_gateway() }
            }
            GatewayError::TooLarge { .. } | GatewayError::Closed { code: Some(1009), .. } => Self::Permanent(
                Failure::new("too_large", text).with_action("shorten the templates or texts of \
                    this agent"),
            ),
            GatewayError::Closed { .. } => Self::Transient(Failure::new("connection_closed", text).of_gateway()),
            GatewayError::Timeout { .. } | GatewayError::Unanswered { .. } => {
                Self::Transient(Failure::new("timeout", text))
            }
            GatewayError::Garbage { method: Method::Connect, .. } => {
                Self::Transient(Failure::new("garbage", text).of_gateway())
            }
            GatewayError::Garbage { .. } => Self::Transient(Failure::new("garbage", text)),
            GatewayError::ConfigInvalid { .. } => Self::Blocked(
                Failure::new("gateway_config_invalid", text)
                    .of_gateway()
                    .with_action("run `openclaw doctor` on the gateway and correct its config"),
            ),
            GatewayError::UnsafeFile { path } => Self::Blocked(
                Failure::new("unsafe_file", text)
                    .with_action(format!("put a plain file in the place of {path} on the \
                        gateway's machine, or remove it")),
            ),
            GatewayError::NotKept { .. } => Self::Transient(Failure::new("not_kept", text)),
            GatewayError::NotOurs { .. } => Self::Blocked(Failure::new("agent_not_ours", text).with_action(
                "give the agent another name or `openclaw_session_id` in the main backend; to \
                 take the gateway's agent over on purpose, enqueue the job with `options.adopt`, \
                 and with `options.move_workspace` as well if it lives in another folder: what it \
                 has there stays behind",
            )),
            GatewayError::IdTaken { owner, .. } => Self::Blocked(Failure::new("agent_id_taken", text).with_action(format!(
                "give one of the two agents another name or `openclaw_session_id` in the main \
                    backend; if agent {owner} is \
                 no more, clean it up first, or enqueue this job with `options.adopt`",
            ))),
            GatewayError::DefaultAgent { .. } => Self::Blocked(Failure::new("agent_is_default", text).with_action(
                "make another agent the default one in the gateway's config, then retry",
            )),
            GatewayError::WorkspaceMoves { .. } => Self::Blocked(Failure::new("workspace_moves", text).with_action(
                "set the gateway's workspace_root or the agent's name in the main backend back to \
                    what they were; to move \
                 the agent without its memory, enqueue the job with `options.move_workspace`",
            )),
            GatewayError::WorkspaceTaken { .. } => Self::Blocked(
                Failure::new("workspace_taken", text).with_action(
                    "give the agent another name or `openclaw_session_id` in the main backend, or \
                    the other agent another folder on the gateway, then retry; to share the folder, \
                    enqueue the job with `options.adopt`",
                ),
            ),
            GatewayError::Undone { .. } => Self::Blocked(Failure::new("not_kept", text).with_action(
                "find out what writes to the gateway's config besides this worker, or why the \
                    gateway does not keep it, \
                 then retry the job",
            )),
            GatewayError::OfAgent { error, .. } => return Self::from(*error).saying(text),
            GatewayError::NotSaved(_) => Self::Transient(Failure::new("lease_lost", text)),
            GatewayError::SessionsLost { .. } | GatewayError::NotTakenIn { .. } => Self::Blocked(
                Failure::new("gateway_restart_needed", text).with_action("restart the gateway's \
                    process, then retry the job"),
            ),
            GatewayError::Included { .. } => Self::Blocked(Failure::new("config_included", text).with_action(INCLUDED)),
        };
        outcome.during(method)
    }
}

/// An error answer to any other method, after the flows have dealt with those that they expect.
fn answered(method: Method, error: &RpcError) -> Outcome {
    let text = format!("{}: {}", method.as_str(), error.quote());
    if error.is_rate_limited() {
        let retry_after =
            Some(error.retry_after_ms.map_or(Duration::from_secs(60), Duration::from_millis));
        // Gateways count by client, and to them all jobs are one.
        return Outcome::Busy {
            retry_after,
            failure: Failure::new("rate_limited", text).of_gateway(),
        };
    }
    if error.is_form(&["config base hash required*"]) {
        let action = "the gateway shows no hash of its config; see its log, and upgrade it";
        return Outcome::Blocked(
            Failure::new("no_config_hash", text).of_gateway().with_action(action),
        );
    }
    if error.is_form(&["config write rejected: *"]) {
        let action = "the gateway protects its config against large changes; make this one on the \
            gateway, then retry";
        return Outcome::Blocked(Failure::new("config_write_rejected", text).with_action(action));
    }
    match error.needs_a_person() {
        Some(Need::Maintenance) => {
            let action = "run `openclaw doctor --fix` on the gateway's machine and do what it \
                says, then retry";
            return Outcome::Blocked(
                Failure::new("maintenance_required", text).with_action(action),
            );
        }
        Some(Need::Include) => {
            return Outcome::Blocked(Failure::new("config_included", text).with_action(INCLUDED));
        }
        None => {}
    }
    if error.is_config_invalid() {
        let failure = Failure::new("gateway_config_invalid", text).with_action(
            "correct what the gateway names in its config, or in the agent's heartbeat_config",
        );
        return Outcome::Blocked(if error.is_about_heartbeats() {
            failure
        } else {
            failure.of_gateway()
        });
    }
    if error.code == "UNAVAILABLE" {
        let retry_after = error.retry_after_ms.map(Duration::from_millis);
        return if error.is_starting() || retry_after.is_some() {
            Outcome::Busy { retry_after, failure: Failure::new("gateway_busy", text).of_gateway() }
        } else {
            // The gateway tried and failed: a full disk, a locked store. It may pass.
            Outcome::Transient(Failure::new("gateway_failed", text))
        };
    }
    if error.is_scope_missing() || error.code == "FORBIDDEN" {
        return Outcome::Blocked(pairing(text, None));
    }
    if error.is_form(&["unknown method: *"]) {
        return Outcome::Blocked(too_old(text));
    }
    // The last is what some gateways say of a file that comes or goes while they look at it: their
    // agent removes its BOOTSTRAP.md when it has begun to work.
    if error.is_config_stale() || error.is_agent_unknown() || error.is_file_unsafe() {
        return Outcome::Transient(Failure::new("conflict", text));
    }
    Outcome::Permanent(Failure::new("refused", text))
}

/// Trusting a certificate is a decision; it is made with what the gateway's own machine shows.
fn untrusted(text: String, fingerprint: Fingerprint, port: u16) -> Failure {
    let action = format!(
        "run `openssl s_client -connect 127.0.0.1:{port} </dev/null | openssl x509 -noout \
            -fingerprint -sha256` on the \
         gateway's machine; if it prints the same fingerprint, set the gateway's tls_fingerprint \
         to {fingerprint} in \
         the main backend; or, if an authority signed it, name that one's certificate in \
         gateway.ca_file of the worker"
    );
    Failure::new("untrusted_certificate", text).of_gateway().with_action(action)
}

fn too_old(text: String) -> Failure {
    Failure::new("gateway_too_old", text)
        .of_gateway()
        .with_action("upgrade the gateway to 2026.2.9 or newer")
}
