//! The errors of calls to a gateway.

use std::time::Duration;

use uuid::Uuid;

use super::allowlist::OutOfReach;
use super::fingerprint::Fingerprint;
use super::protocol::Method;
use super::rpc_error::RpcError;
use crate::journal::NotSaved;

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
