//! What can go wrong between this program and the queue.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use uuid::Uuid;

use super::states::State;
use crate::seal::OpenError;

/// Why the queue could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The url cannot be used. Configuration.
    #[error(
        "the Redis url cannot be used: {reason}. Give redis://HOST:PORT, rediss://HOST:PORT, \
            unix:///PATH, \
         redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT; a \
         login is USER:PASSWORD@ \
         before the first HOST"
    )]
    Url {
        /// What is wrong with it; never a part of the url, which may hold a password.
        reason: String,
    },
    /// The files for TLS cannot be used. Configuration.
    #[error(
        "the files for TLS with Redis cannot be used: {reason}; correct redis.ca_file, \
            redis.cert_file, redis.key_file"
    )]
    Tls {
        /// Which file, and what is wrong with it.
        reason: String,
    },
    /// The queue's name cannot be used. Configuration.
    #[error(
        "the queue name {name:?} cannot be used; take letters, digits, `-`, `_` and `.`, at most 64"
    )]
    Name {
        /// The name as given.
        name: String,
    },
    /// Redis does not answer, or cannot work at the moment. Trying again later can help.
    #[error(
        "Redis cannot be used ({reason}); check that it runs, is reachable and may be written to"
    )]
    Unavailable {
        /// What the connection or the server said.
        reason: String,
    },
    /// A script failed. Trying again does not help.
    #[error(
        "script {script} failed ({reason}); something else writes to this queue's keys, or this \
            is a fault to report"
    )]
    Script {
        /// The script's name.
        script: &'static str,
        /// What Redis said.
        reason: String,
    },
    /// More jobs than one call may carry.
    #[error("{count} jobs are too many for one call; send {max} at most")]
    TooMany {
        /// How many were given.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// There is no such job.
    #[error("there is no job {id}; it may have ended and been removed")]
    Missing {
        /// The id asked for.
        id: Uuid,
    },
    /// The job is not in a state in which it can be retried.
    #[error(
        "job {id} is {state} and cannot be retried; only dead, blocked, retrying and snoozed jobs \
            can"
    )]
    NotRetryable {
        /// The id asked for.
        id: Uuid,
        /// The state that it is in.
        state: State,
    },
    /// The job is dead, and newer jobs of the same agent have come since.
    #[error(
        "job {id} is dead and newer jobs of the same agent have come since, which it would undo; \
            force it to retry it all the same"
    )]
    Outdated {
        /// The id asked for.
        id: Uuid,
    },
    /// The job is not in a state in which it can be snoozed.
    #[error(
        "job {id} is {state} and cannot be snoozed; only ready, retrying, snoozed and blocked \
            jobs can"
    )]
    NotSnoozable {
        /// The id asked for.
        id: Uuid,
        /// The state that it is in.
        state: State,
    },
    /// The job is not dead.
    #[error(
        "job {id} is {state}, and only dead jobs are discarded; cancel it instead if it has not \
            ended"
    )]
    NotDiscardable {
        /// The id asked for.
        id: Uuid,
        /// The state that it is in.
        state: State,
    },
    /// No such worker has been seen lately.
    #[error("there is no worker {name:?}; it may have ended")]
    NoWorker {
        /// The name asked for.
        name: String,
    },
    /// A place in a stream is none.
    #[error("{place:?} is no place among the entries; begin again without it")]
    Place {
        /// What was given.
        place: String,
    },
    /// The job has ended.
    #[error("job {id} is {state} and cannot be cancelled; it has ended")]
    NotCancellable {
        /// The id asked for.
        id: Uuid,
        /// The state that it is in.
        state: State,
    },
    /// The queue's keys were written by a newer version.
    #[error("this program is too old for the queue ({reason}); upgrade it")]
    Layout {
        /// What the script said.
        reason: String,
    },
    /// The job's document is sealed, and cannot be opened here.
    #[error("the document of job {id} cannot be opened: {reason}")]
    Sealed {
        /// The job.
        id: Uuid,
        /// Which field, and which key is missing.
        reason: OpenError,
    },
    /// What is to be paused or resumed does not exist.
    #[error("{scope:?} cannot be paused; use all, kind:KIND or gateway:ID")]
    Scope {
        /// What was given.
        scope: String,
    },
}

impl QueueError {
    /// Sorts what the client says: does trying again help?
    pub(super) fn from_redis(script: &'static str, error: &RedisError) -> Self {
        let reason = error.to_string();
        if condition(error).is_some() {
            return Self::Unavailable { reason };
        }
        if error.code() == Some("LAYOUT") {
            return Self::Layout { reason };
        }
        let fault = match error.kind() {
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::Client => true,
            ErrorKind::Server(kind) => {
                matches!(kind, ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot)
            }
            // Other codes speak of the server's condition: LOADING, READONLY, OOM, MISCONF, NOAUTH,
            // NOREPLICAS …
            _ => matches!(error.code(), Some("PROTOCOL" | "WRONGTYPE")),
        };
        if fault { Self::Script { script, reason } } else { Self::Unavailable { reason } }
    }

    /// Whether trying again later can help.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// The code by which a server speaks of its own condition, where something between puts `ERR`
/// before it: proxies of hosted Redis servers do.
pub(super) fn condition(error: &RedisError) -> Option<&str> {
    const CODES: [&str; 8] = [
        "READONLY",
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "OOM",
        "MISCONF",
        "NOREPLICAS",
        "TRYAGAIN",
    ];
    let code = error.detail().filter(|_| error.code() == Some("ERR"))?.split(' ').next()?;
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
    fn the_servers_condition_is_worth_waiting_for() {
        for code in ["OOM", "MISCONF", "NOAUTH", "NOREPLICAS"] {
            assert!(sorted(code).is_unavailable(), "{code}");
        }
        let refused = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert!(QueueError::from_redis("claim", &refused).is_unavailable());
        assert!(ServerError::try_from(refused).is_err());
    }

    #[test]
    fn a_fault_of_the_script_is_not() {
        for code in ["PROTOCOL", "WRONGTYPE"] {
            assert!(!sorted(code).is_unavailable(), "{code}");
        }
    }
}
