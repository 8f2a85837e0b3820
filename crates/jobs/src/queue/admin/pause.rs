//! The scopes that can be paused, and the record of a pause.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use mission_core::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::audit::whole;
use crate::queue::error::QueueError;

/// The jobs that a pause applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PauseScope {
    /// All jobs of the queue.
    All,
    /// The jobs of one kind.
    Kind(Kind),
    /// The jobs of one gateway.
    Gateway(Uuid),
}

impl fmt::Display for PauseScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
            Self::Gateway(id) => write!(f, "gateway:{id}"),
        }
    }
}

impl FromStr for PauseScope {
    type Err = QueueError;

    fn from_str(text: &str) -> Result<Self, QueueError> {
        let unknown = || QueueError::Scope { scope: text.to_owned() };
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            Some(("kind", kind)) => Kind::from_name(kind).map(Self::Kind).ok_or_else(unknown),
            Some(("gateway", id)) => id.parse().map(Self::Gateway).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

impl Serialize for PauseScope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PauseScope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A pause that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Pause {
    /// The jobs that are paused.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub scope: PauseScope,
    /// The time since which they are paused, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// The name of the author.
    pub by: String,
    /// The reason that the author gave; may be empty.
    pub reason: String,
}

impl Pause {
    /// Reads all pauses, oldest first, and leaves out those that this version does not understand.
    pub(crate) fn read_all(paused: &HashMap<String, String>) -> Vec<Self> {
        #[derive(Deserialize)]
        struct Stored {
            #[serde(deserialize_with = "whole")]
            at_ms: u64,
            by: String,
            reason: String,
        }
        let read = |(scope, json): (&String, &String)| {
            let Stored { at_ms, by, reason } = serde_json::from_str(json).ok()?;
            Some(Self { scope: scope.parse().ok()?, at_ms, by, reason })
        };
        let mut all: Vec<Self> = paused.iter().filter_map(read).collect();
        all.sort_by_key(|pause| pause.at_ms);
        all
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_scope() {
        for scope in [
            PauseScope::All,
            PauseScope::Kind(Kind::HeartbeatSync),
            PauseScope::Gateway(Uuid::from_u128(7)),
        ] {
            assert_eq!(scope.to_string().parse::<PauseScope>().unwrap(), scope);
        }
        for wrong in ["", "everything", "kind:nonsense", "gateway:acme"] {
            assert_eq!(
                wrong.parse::<PauseScope>().unwrap_err(),
                QueueError::Scope { scope: wrong.to_owned() }
            );
        }
    }
}
