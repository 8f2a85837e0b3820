//! The errors between this program and the queue.

use std::time::Duration;

use mission_core::humanize::count;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use uuid::Uuid;

use super::admin::gateways::InUse;
use super::shards::MAX_SHARDS;
use super::states::State;
use crate::seal::OpenError;

/// The reasons why the queue could not do what it was asked to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The url cannot be used. This is an error in the configuration.
    #[error(
        "the Redis url cannot be used: {reason}. Use redis://HOST:PORT, rediss://HOST:PORT, \
         unix:///PATH, redis+sentinel://HOST:PORT,HOST:PORT/NAME or \
         redis+cluster://HOST:PORT,HOST:PORT; put a login as USER:PASSWORD@ before the first HOST"
    )]
    Url {
        /// Describes the fault, without any part of the url, which may hold a password.
        reason: String,
    },
    /// The files for TLS cannot be used. This is an error in the configuration.
    #[error(
        "the files for TLS with Redis cannot be used: {reason}; correct redis.ca_file, \
         redis.cert_file or redis.key_file"
    )]
    Tls {
        /// Names the file and describes the fault.
        reason: String,
    },
    /// The queue's name cannot be used. This is an error in the configuration.
    #[error(
        "the queue name {name:?} cannot be used; use 1 to 64 letters, digits, `-`, `_` and `.`"
    )]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// The number of shards cannot be used. This is an error in the configuration.
    #[error("{count} shards cannot be; use 1 to {MAX_SHARDS}")]
    ShardCount {
        /// The number as it was given.
        count: usize,
    },
    /// The queue in Redis has another number of shards than this process believes.
    #[error(
        "the queue has {}, but redis.shards (MISSION_SHARDS) is {set}; set it to {stored}, because \
         the number is fixed when a queue is created", count(*stored as u64, "shard")
    )]
    Shards {
        /// The number in Redis.
        stored: usize,
        /// The number that was set.
        set: usize,
    },
    /// The key with the number of shards does not hold one.
    #[error(
        "the key {key} holds {stored:?}, but it must be a number of shards from 1 to {MAX_SHARDS}; \
         `worker doctor --repair` with the redis.shards (MISSION_SHARDS) of the workers corrects it"
    )]
    ShardsUnreadable {
        /// The key.
        key: String,
        /// The text that it holds.
        stored: String,
    },
    /// Redis does not answer, or cannot work at the moment. Trying again later can help.
    #[error("Redis is unavailable for {command} ({reason}); {remedy}")]
    Unavailable {
        /// The name of the script, or of what was asked for.
        command: &'static str,
        /// The message of the connection, or the code and the message of the server.
        reason: String,
        /// The text of what helps.
        remedy: &'static str,
    },
    /// A script failed. Trying again does not help.
    #[error(
        "script {script} failed ({reason}); check that its user has the rights in \
         docs/redis.md#rights and that no other program writes to this queue's keys, else report \
         this as a bug"
    )]
    Script {
        /// The name of the script.
        script: &'static str,
        /// The code and the message of Redis.
        reason: String,
    },
    /// A key that a queue has once has another type than it should, because another program or a
    /// person has written to it.
    #[error(
        "script {command} met a key of a wrong type ({what}); `worker doctor --repair` moves it out \
         of the way and rebuilds what can be derived"
    )]
    WrongType {
        /// The name of the script, or of what was asked for.
        command: &'static str,
        /// Names the keys with their types, or has the message of Redis.
        what: String,
    },
    /// The stored head of a job cannot be read.
    #[error("{reason}")]
    Unreadable {
        /// Names the job and the place of its head.
        reason: String,
    },
    /// More jobs were given than one call may carry.
    #[error("{count} jobs are too many for one call; send {max} at most")]
    TooMany {
        /// The number of jobs that were given.
        count: usize,
        /// The number of jobs that are allowed.
        max: usize,
    },
    /// The expiry of a job is not later than the time when it is due.
    #[error(
        "expires_in of {expires_in:?} is not longer than the delay of {delay:?}, so job {id} would \
         expire before it is due; raise expires_in, or lower the delay"
    )]
    ExpiresTooSoon {
        /// The id of the envelope.
        id: Uuid,
        /// The time after which it would be dead.
        expires_in: Duration,
        /// The time after which it would be due.
        delay: Duration,
    },
    /// No job has this id.
    #[error("there is no job {id}; it may have ended and been removed")]
    Missing {
        /// The id that was asked for.
        id: Uuid,
    },
    /// The job is in a state in which it cannot be retried.
    #[error(
        "job {id} is {state} and cannot be retried; only dead, blocked, retrying, snoozed and \
         scheduled jobs can"
    )]
    NotRetryable {
        /// The id that was asked for.
        id: Uuid,
        /// The state of the job.
        state: State,
    },
    /// The job is dead, and newer jobs of the same agent have come since.
    #[error(
        "job {id} is dead, and a retry would undo newer jobs of the same agent; set force to \
         retry it anyway"
    )]
    Outdated {
        /// The id that was asked for.
        id: Uuid,
    },
    /// The job is in a state in which it cannot be snoozed.
    #[error(
        "job {id} is {state} and cannot be snoozed; only ready, retrying, snoozed and blocked \
         jobs can"
    )]
    NotSnoozable {
        /// The id that was asked for.
        id: Uuid,
        /// The state of the job.
        state: State,
    },
    /// The job is not dead.
    #[error(
        "job {id} is {state}, and only dead jobs can be discarded; cancel it instead if it has \
         not ended"
    )]
    NotDiscardable {
        /// The id that was asked for.
        id: Uuid,
        /// The state of the job.
        state: State,
    },
    /// No worker of this name has been seen recently.
    #[error("there is no worker {name:?}; it may have ended")]
    NoWorker {
        /// The name that was asked for.
        name: String,
    },
    /// Nothing is known of a gateway with this id.
    #[error("nothing is known of gateway {id}")]
    UnknownGateway {
        /// The id that was asked for.
        id: Uuid,
    },
    /// The gateway cannot be forgotten now.
    #[error("gateway {id} cannot be forgotten: {what}")]
    GatewayInUse {
        /// The id that was asked for.
        id: Uuid,
        /// The thing that keeps the gateway.
        what: InUse,
    },
    /// The text is not the id of an entry in a stream.
    #[error("{id:?} is not the id of an entry; start again without it")]
    EntryId {
        /// The text as it was given.
        id: String,
    },
    /// The job has ended.
    #[error("job {id} is {state} and cannot be cancelled; it has ended")]
    NotCancellable {
        /// The id that was asked for.
        id: Uuid,
        /// The state of the job.
        state: State,
    },
    /// Another version wrote the queue's keys.
    #[error("{reason}")]
    Layout {
        /// The message of the script, with the remedy.
        reason: String,
    },
    /// The keys cannot be moved while an older program may use them.
    #[error(
        "older workers may still use the queue ({what}); stop them all, and try again when their \
         leases have ended and their heartbeats are 30 s old"
    )]
    OldWorkers {
        /// Names the workers, and tells the number of leases and when they end.
        what: String,
    },
    /// The keys have a layout from which this version cannot move them.
    #[error(
        "the keys of the queue have layout {layout}, which this version cannot move; move them \
         with the version that came after theirs, or, if they are newer, use a newer version"
    )]
    NotMovable {
        /// The layout in Redis.
        layout: String,
    },
    /// The key that tells the layout of the others does not do so.
    #[error(
        "the layout of the queue is not known: {key} is {what}; if an older version wrote its keys, \
         set {key} to their layout (1 or 2), otherwise run `worker doctor --repair`"
    )]
    UnknownLayout {
        /// The key of the layout.
        key: String,
        /// The type of the key, or that it is empty.
        what: String,
    },
    /// The job's document is sealed and cannot be opened here.
    #[error("the document of job {id} cannot be opened: {reason}")]
    Sealed {
        /// The id of the job.
        id: Uuid,
        /// Names the field, and the key that is missing.
        reason: OpenError,
    },
    /// The scope of a pause does not exist.
    #[error("{scope:?} cannot be paused; use all, kind:KIND or gateway:ID")]
    Scope {
        /// The text as it was given.
        scope: String,
    },
}

impl QueueError {
    /// Converts an error of the client library, and decides whether trying again can help.
    pub(super) fn from_redis(script: &'static str, error: &RedisError) -> Self {
        let reason = reason(error);
        let code = condition(error);
        let unavailable = |reason| {
            let remedy = remedy(code.or_else(|| error.code()));
            Self::Unavailable { command: script, reason, remedy }
        };
        if code.is_some() {
            return unavailable(reason);
        }
        match error.code() {
            Some("LAYOUT") => return Self::Layout { reason },
            Some("UNREADABLE") => return Self::Unreadable { reason },
            Some("WRONGTYPE") => return Self::WrongType { command: script, what: reason },
            _ => {}
        }
        let fault = match error.kind() {
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::Client => true,
            ErrorKind::Server(kind) => {
                matches!(kind, ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot)
            }
            // Other codes describe the server's condition: LOADING, READONLY, OOM, MISCONF, NOAUTH,
            // NOREPLICAS …
            _ => matches!(error.code(), Some("PROTOCOL" | "SCRIPT")),
        };
        if fault { Self::Script { script, reason } } else { unavailable(reason) }
    }

    /// Returns whether the number of shards has to be corrected first.
    #[must_use]
    pub const fn is_about_shards(&self) -> bool {
        matches!(self, Self::Shards { .. } | Self::ShardsUnreadable { .. })
    }

    /// Returns whether trying again later can help.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Returns the text of what helps with a condition of Redis, by its code.
pub(super) fn remedy(code: Option<&str>) -> &'static str {
    match code.unwrap_or_default() {
        "NOPERM" => "give its user the rights in docs/redis.md#rights",
        "NOAUTH" | "WRONGPASS" => "correct the user and password in the url of Redis",
        "OOM" => "raise its maxmemory",
        "READONLY" => "this Redis is a replica: use the url of its master",
        "NOREPLICAS" => "check that its replicas run, or lower its min-replicas-to-write",
        "MISCONF" => "check its disk: it cannot save its data",
        "LOADING" => "wait until it has loaded its data",
        _ => "check that it runs, is reachable and accepts writes",
    }
}

/// Describes an error, with the code of the server if it comes from there. The client library
/// shows most codes in words of its own.
fn reason(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code}: {detail}"),
        _ => error.to_string(),
    }
}

/// Returns the code by which a server reports its own condition, if a proxy has put `ERR` before
/// it, as those of hosted Redis servers do.
pub(super) fn condition(error: &RedisError) -> Option<&str> {
    const CODES: [&str; 10] = [
        "NOPERM",
        "READONLY",
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "OOM",
        "MISCONF",
        "NOREPLICAS",
        "TRYAGAIN",
        "UNBLOCKED",
    ];
    let detail = error.detail()?.trim_start_matches('-');
    let code = Some(detail).filter(|_| error.code() == Some("ERR"))?.split([' ', ':']).next()?;
    CODES.contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use redis::{ServerError, make_extension_error};

    use super::*;

    fn sorted(code: &str) -> QueueError {
        QueueError::from_redis(
            "claim",
            &make_extension_error(code.to_owned(), Some("words".to_owned())),
        )
    }

    #[test]
    fn a_condition_of_the_server_is_worth_waiting_for() {
        for code in ["OOM", "MISCONF", "NOAUTH", "NOREPLICAS"] {
            assert!(sorted(code).is_unavailable(), "{code}");
        }
        for (code, detail, remedy) in [
            ("NOPERM", "words", "docs/redis.md#rights"),
            ("ERR", "NOPERM words", "docs/redis.md#rights"),
            ("OOM", "words", "raise its maxmemory"),
            ("READONLY", "words", "is a replica"),
            ("ERR", "READONLY words", "is a replica"),
            ("BUSY", "words", "check that it runs"),
        ] {
            let error = make_extension_error(code.to_owned(), Some(detail.to_owned()));
            let error = QueueError::from_redis("claim", &error);
            assert!(error.is_unavailable(), "{error}");
            assert!(error.to_string().contains(remedy), "{error}");
        }
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert!(QueueError::from_redis("claim", &refused).is_unavailable());
        assert!(ServerError::try_from(refused).is_err());
    }

    #[test]
    fn a_fault_of_the_script_is_not_worth_waiting_for() {
        for code in ["PROTOCOL", "SCRIPT", "WRONGTYPE"] {
            assert!(!sorted(code).is_unavailable(), "{code}");
        }
    }
}
