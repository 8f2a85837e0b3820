//! What can go wrong with a gateway, and the one table that turns it into an [`Outcome`].

use std::time::Duration;

use uuid::Uuid;

use super::allowlist::OutOfReach;
use super::connect_errors::{pairing, refused};
use super::fingerprint::Fingerprint;
use super::protocol::Method;
use super::rpc_error::{Need, RpcError};
use crate::journal::NotSaved;
use crate::outcome::{Failure, Outcome};

/// A call that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// No connection could be made.
    #[error("cannot reach the gateway: {reason}")]
    Unreachable {
        /// The operating system's or HTTP's words.
        reason: String,
    },
    /// The gateway is where this worker may not call.
    #[error("{0}")]
    OutOfReach(OutOfReach),
    /// The address answers, but not as a gateway.
    #[error("{reason}; check the gateway's url")]
    NotAGateway {
        /// What it answered.
        reason: String,
    },
    /// The gateway's certificate is not trusted.
    #[error("the gateway's certificate with fingerprint {fingerprint} is not trusted: {reason}")]
    Untrusted {
        /// Why, in the TLS library's words.
        reason: String,
        /// The certificate that it presented.
        fingerprint: Fingerprint,
        /// The port of the gateway's url.
        port: u16,
    },
    /// TLS failed for another reason than the certificate.
    #[error("TLS failed: {reason}")]
    Tls {
        /// The TLS library's words.
        reason: String,
    },
    /// The gateway is starting or restarting.
    #[error("the gateway is starting: {reason}")]
    Starting {
        /// How it showed.
        reason: String,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// The gateway refused to open a session.
    #[error("the gateway refused the connection: {}", .0.quote())]
    Refused(Box<RpcError>),
    /// The session has not the rights that provisioning needs.
    #[error("the gateway gives this worker no operator.admin scope")]
    MissingScope {
        /// Id of the pairing request waiting for approval, if the gateway named one.
        request: Option<String>,
    },
    /// The gateway lacks methods.
    #[error("the gateway has no {method}; it is older than 2026.2.9")]
    TooOld {
        /// The first method missing.
        method: &'static str,
    },
    /// The gateway answered a request with an error.
    #[error("{}: {}", .method.as_str(), .error.quote())]
    Rpc {
        /// The request's method.
        method: Method,
        /// The answer.
        error: Box<RpcError>,
    },
    /// The connection ended before the answer.
    #[error("connection closed during {} ({reason})", .method.as_str())]
    Closed {
        /// The request's method.
        method: Method,
        /// WebSocket close code, if there was a close frame.
        code: Option<u16>,
        /// The close frame's or the system's words.
        reason: String,
        /// Whether the request had been handed to the connection: then it may have been carried
        /// out.
        sent: bool,
    },
    /// No answer within the method's deadline. The request may have been carried out.
    #[error("no answer to {} within {} s", .method.as_str(), .after.as_secs())]
    Timeout {
        /// The request's method.
        method: Method,
        /// The deadline.
        after: Duration,
    },
    /// No answer, while the gateway answered what it was asked later. The request may have been
    /// carried out.
    #[error("no answer to {} within {} s, though the gateway \
        answers", .method.as_str(), .after.as_secs())]
    Unanswered {
        /// The request's method.
        method: Method,
        /// How long was waited.
        after: Duration,
    },
    /// The gateway sent something that is not an answer.
    #[error("the gateway's answer to {} is not understood: {reason}", .method.as_str())]
    Garbage {
        /// The request's method.
        method: Method,
        /// What is wrong with it.
        reason: String,
    },
    /// The request is larger than the gateway takes; sending it would close the connection.
    #[error("{} needs a frame of {size} bytes, and the gateway takes {limit}", .method.as_str())]
    TooLarge {
        /// The request's method.
        method: Method,
        /// Bytes of the frame.
        size: usize,
        /// Bytes that the gateway takes.
        limit: usize,
    },
    /// The gateway's own config cannot be worked with.
    #[error("the gateway's config is invalid: {reason}")]
    ConfigInvalid {
        /// The gateway's words, or what is wrong.
        reason: String,
    },
    /// A document is a link, or no plain file, and the gateway neither reads nor writes such.
    #[error("the gateway does not use {path}, because it is a link or no plain file")]
    UnsafeFile {
        /// Its path on the gateway's machine.
        path: String,
    },
    /// The gateway has an agent of that id which is not the job's.
    #[error("the gateway has an agent {agent} that is not this job's: {reason}")]
    NotOurs {
        /// Its id on the gateway.
        agent: String,
        /// What shows it.
        reason: String,
    },
    /// The files of the agent name another agent of the main backend.
    #[error(
        "the gateway's agent {agent} belongs to the agent {owner} of the main backend: its files \
            name that id"
    )]
    IdTaken {
        /// Its id on the gateway.
        agent: String,
        /// The id of the other agent in the main backend.
        owner: Uuid,
    },
    /// The agent that is to be deleted is the one that the gateway falls back on.
    #[error(
        "{agent} is the default agent of the gateway, which its bindings and its own work fall \
            back on"
    )]
    DefaultAgent {
        /// Its id on the gateway.
        agent: String,
    },
    /// The agent lives in another folder than the job's.
    #[error(
        "the agent {agent} lives in {present}, and this job wants it in {desired}; its memory \
            would stay behind"
    )]
    WorkspaceMoves {
        /// Its id on the gateway.
        agent: String,
        /// The folder that it has.
        present: String,
        /// The folder that it would have.
        desired: String,
    },
    /// Another agent of the gateway lives in the folder that a new agent would get.
    #[error(
        "the agent {other} lives in {folder}, where this job wants the new agent {agent}; the files \
            of that agent would be replaced"
    )]
    WorkspaceTaken {
        /// The new agent's id on the gateway.
        agent: String,
        /// The folder.
        folder: String,
        /// The agent that lives there.
        other: String,
    },
    /// The job has done this as often as it may, and it does not last.
    #[error("{what} does not last: it was done {times} and the gateway shows it undone{shows}")]
    Undone {
        /// What was done.
        what: String,
        /// How often, in words.
        times: &'static str,
        /// What the gateway shows instead, after a colon; or nothing.
        shows: String,
    },
    /// What is to be done could not be written down first.
    #[error("{0}")]
    NotSaved(NotSaved),
    /// The gateway cannot keep sessions of an agent that was deleted since it was started.
    #[error(
        "the gateway has deleted an agent {agent} before and cannot open its sessions again until \
            it is restarted"
    )]
    SessionsLost {
        /// Its id on the gateway.
        agent: String,
    },
    /// The gateway's config has an agent that the gateway itself does not know.
    #[error(
        "the gateway's config has the agent {agent}, but the gateway works with an older config \
            and does not know it"
    )]
    NotTakenIn {
        /// Its id on the gateway.
        agent: String,
    },
    /// The gateway finds fault with one agent of a write.
    #[error("agent {agent}: {error}")]
    OfAgent {
        /// Its id on the gateway.
        agent: String,
        /// What it says.
        error: Box<GatewayError>,
    },
    /// The gateway does not write into files that its config includes.
    #[error("the gateway's config includes {file}: {}", .error.quote())]
    Included {
        /// The files, as the config names them.
        file: String,
        /// The gateway's answer.
        error: Box<RpcError>,
    },
    /// The gateway says that it did what was asked, but reading back shows otherwise.
    #[error("{what} is not as written after {rounds} tries")]
    NotKept {
        /// What was written.
        what: String,
        /// How often it was tried.
        rounds: u32,
    },
}

impl GatewayError {
    /// The request that it is about; none if there was no session to send one over.
    #[must_use]
    pub fn method(&self) -> Option<Method> {
        match self {
            Self::Rpc { method, .. }
            | Self::Closed { method, .. }
            | Self::Timeout { method, .. }
            | Self::Unanswered { method, .. }
            | Self::Garbage { method, .. }
            | Self::TooLarge { method, .. } => Some(*method),
            Self::Refused(_) => Some(Method::Connect),
            Self::Included { .. } => Some(Method::ConfigPatch),
            Self::OfAgent { error, .. } => error.method(),
            _ => None,
        }
    }

    /// The error answer behind it, if it is one.
    #[must_use]
    pub const fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether the connection is gone or never was, or the answer is lost, so that asking anew may
    /// help.
    #[must_use]
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Starting { .. }
            | Self::Closed { .. }
            | Self::Garbage { .. }
            | Self::Unanswered { .. } => true,
            Self::Rpc { error, .. } | Self::Refused(error) => error.is_starting(),
            _ => false,
        }
    }

    /// Whether the gateway may have carried out a mutating request without the answer having
    /// arrived.
    #[must_use]
    pub fn may_have_been_carried_out(&self) -> bool {
        match self {
            Self::Closed { method, sent, .. } => *sent && method.is_mutating(),
            Self::Timeout { method, .. }
            | Self::Unanswered { method, .. }
            | Self::Garbage { method, .. } => method.is_mutating(),
            _ => false,
        }
    }
}

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
