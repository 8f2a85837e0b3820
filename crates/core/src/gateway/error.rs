//! The errors of calls to a gateway.

use std::time::Duration;

use uuid::Uuid;

use super::allowlist::OutOfReach;
use super::fingerprint::Fingerprint;
use super::protocol::Method;
use super::rpc_error::RpcError;
use crate::journal::NotSaved;

/// The error of a call that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// No connection could be opened.
    #[error("cannot reach the gateway: {reason}")]
    Unreachable {
        /// The text of the operating system or of HTTP.
        reason: String,
    },
    /// The gateway is outside the allowlist.
    #[error("{0}")]
    OutOfReach(OutOfReach),
    /// The address answers, but not as a gateway.
    #[error("{reason}; check the gateway's url")]
    NotAGateway {
        /// The answer, in short.
        reason: String,
    },
    /// The gateway's certificate is not trusted.
    #[error("the gateway's certificate with fingerprint {fingerprint} is not trusted: {reason}")]
    Untrusted {
        /// The reason, in the TLS library's words.
        reason: String,
        /// The fingerprint of the presented certificate.
        fingerprint: Fingerprint,
        /// The port of the gateway's url.
        port: u16,
    },
    /// TLS failed for another reason than the certificate.
    #[error("TLS failed: {reason}")]
    Tls {
        /// The text of the TLS library.
        reason: String,
    },
    /// The gateway is starting or restarting.
    #[error("the gateway is starting: {reason}")]
    Starting {
        /// The sign by which it was recognised.
        reason: String,
        /// The time that the gateway asked to wait.
        retry_after: Option<Duration>,
    },
    /// The gateway refused to open a session.
    #[error("the gateway refused the connection: {}", .0.quote())]
    Refused(Box<RpcError>),
    /// The session lacks the scope that provisioning needs.
    #[error("the gateway grants this worker no operator.admin scope")]
    MissingScope {
        /// The id of the pairing request that waits for approval, if the gateway named one.
        request: Option<String>,
    },
    /// The gateway lacks required methods.
    #[error("the gateway has no {method}; it is older than 2026.2.9")]
    TooOld {
        /// The first missing method.
        method: &'static str,
    },
    /// The gateway answered a request with an error.
    #[error("{}: {}", .method.as_str(), .error.quote())]
    Rpc {
        /// The method of the request.
        method: Method,
        /// The gateway's error answer to the request.
        error: Box<RpcError>,
    },
    /// The connection ended before the answer arrived.
    #[error("connection closed during {} ({reason})", .method.as_str())]
    Closed {
        /// The method of the request.
        method: Method,
        /// The WebSocket close code, if there was a close frame.
        code: Option<u16>,
        /// The text of the close frame or of the operating system.
        reason: String,
        /// Set if the request had been handed to the connection: then it may have been carried out.
        sent: bool,
    },
    /// No answer came within the method's deadline. The request may have been carried out.
    #[error("no answer to {} within {} s", .method.as_str(), .after.as_secs())]
    Timeout {
        /// The method of the request.
        method: Method,
        /// The deadline of the method.
        after: Duration,
    },
    /// No answer came, although the gateway answered later requests. The request may have been
    /// carried out.
    #[error("no answer to {} within {} s, although the gateway \
        answers other requests", .method.as_str(), .after.as_secs())]
    Unanswered {
        /// The method of the request.
        method: Method,
        /// The time that was waited.
        after: Duration,
    },
    /// The gateway sent something that is not an answer.
    #[error("the gateway's answer to {} is invalid: {reason}", .method.as_str())]
    Garbage {
        /// The method of the request.
        method: Method,
        /// The fault of the answer.
        reason: String,
    },
    /// The request is larger than the gateway accepts; sending it would close the connection.
    #[error("{} needs a frame of {size} bytes; the gateway accepts {limit}", .method.as_str())]
    TooLarge {
        /// The method of the request.
        method: Method,
        /// The size of the frame in bytes.
        size: usize,
        /// The largest frame that the gateway accepts, in bytes.
        limit: usize,
    },
    /// The gateway's own config is invalid.
    #[error("the gateway's config is invalid: {reason}")]
    ConfigInvalid {
        /// The gateway's words, or the fault.
        reason: String,
    },
    /// A document is a link or not a regular file, which the gateway neither reads nor writes.
    #[error("the gateway does not use {path}, because it is a link or not a regular file")]
    UnsafeFile {
        /// The path on the gateway's machine.
        path: String,
    },
    /// The gateway has an agent of that id that is not the job's.
    #[error("the gateway's agent {agent} does not belong to this job: {reason}")]
    NotOurs {
        /// The agent's id on the gateway.
        agent: String,
        /// The evidence for this.
        reason: String,
    },
    /// The files of the agent name another agent of the main backend.
    #[error(
        "the gateway's agent {agent} belongs to the agent {owner} of the main backend: its files \
            name that id"
    )]
    IdTaken {
        /// The agent's id on the gateway.
        agent: String,
        /// The id of the other agent in the main backend.
        owner: Uuid,
    },
    /// The agent to delete is the gateway's default agent.
    #[error("{agent} is the gateway's default agent, which its bindings and its own work use")]
    DefaultAgent {
        /// The agent's id on the gateway.
        agent: String,
    },
    /// The agent's folder differs from the job's.
    #[error(
        "the agent {agent} lives in {present}, but this job wants it in {desired}; its memory \
            would stay behind"
    )]
    WorkspaceMoves {
        /// The agent's id on the gateway.
        agent: String,
        /// The present folder of the agent.
        present: String,
        /// The folder that the job wants.
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
        /// The folder of both agents.
        folder: String,
        /// The agent that lives there.
        other: String,
    },
    /// The job has done this as often as it may, and the effect does not last.
    #[error("{what} does not last: it was done {times}, but the gateway does not show it{shows}")]
    Undone {
        /// The step that was taken.
        what: String,
        /// The number of times, in words.
        times: &'static str,
        /// The state that the gateway shows instead, after a colon; may be empty.
        shows: String,
    },
    /// A step could not be recorded before it was taken.
    #[error("{0}")]
    NotSaved(NotSaved),
    /// The gateway cannot keep sessions of an agent that was deleted since the gateway started.
    #[error(
        "the gateway has deleted an agent {agent} before, and cannot open its sessions until it \
            is restarted"
    )]
    SessionsLost {
        /// The agent's id on the gateway.
        agent: String,
    },
    /// The gateway's config has an agent that the gateway itself does not know.
    #[error(
        "the gateway's config has the agent {agent}, but the gateway uses an older config \
            without it"
    )]
    NotTakenIn {
        /// The agent's id on the gateway.
        agent: String,
    },
    /// The gateway rejects one agent of a write.
    #[error("agent {agent}: {error}")]
    OfAgent {
        /// The agent's id on the gateway.
        agent: String,
        /// The error for this agent.
        error: Box<GatewayError>,
    },
    /// The gateway does not write into files that its config includes.
    #[error("the gateway's config includes {file}: {}", .error.quote())]
    Included {
        /// The files, as the config names them.
        file: String,
        /// The gateway's error answer.
        error: Box<RpcError>,
    },
    /// The gateway acknowledged a write, but reading back does not show it.
    #[error("{what} is not as written after {rounds} attempts")]
    NotKept {
        /// The thing that was written.
        what: String,
        /// The number of attempts.
        rounds: u32,
    },
}

impl GatewayError {
    /// Returns the error for an answer that is not one.
    pub(crate) fn garbage(method: Method, reason: impl Into<String>) -> Self {
        Self::Garbage { method, reason: reason.into() }
    }

    /// Returns the method of the request; `None` if there was no session to send one.
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

    /// Returns the error answer behind the error, if there is one.
    #[must_use]
    pub const fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Returns whether the connection or the answer was lost, so that asking again may help.
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

    /// Returns whether the gateway may have carried out a mutating request although no answer
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
