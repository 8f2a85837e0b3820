//! Roles, actions, and the one table that says which role an action needs.

use std::fmt;
use std::str::FromStr;

use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde::{Deserialize, Serialize};

/// The role of a caller. Each role may do everything that the roles before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read everything.
    Viewer,
    /// May also act on jobs, and store connections of gateways.
    Operator,
    /// May also act on workers, forget gateways and export the audit.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::deserialize(name.into_deserializer())
            .map_err(|_: Error| format!("`{name}` is not a role; use viewer, operator or admin"))
    }
}

/// An action of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read jobs, gateways, workers and the audit.
    Read,
    /// Enqueue jobs.
    Enqueue,
    /// Run a job again now, a blocked job included.
    Retry,
    /// Delay a job.
    Snooze,
    /// End a job.
    Cancel,
    /// Discard a dead job.
    Discard,
    /// Take one of these actions on all jobs that a search finds.
    Bulk,
    /// Stop all workers from claiming some jobs, and resume.
    Pause,
    /// Store the connection of a gateway.
    PutGateway,
    /// Forget a gateway and the agents that are recorded on it.
    ForgetGateway,
    /// Stop one worker from claiming jobs, and resume.
    Drain,
    /// Export the whole audit.
    ExportAudit,
}

impl Action {
    /// Returns the least role that may take the action.
    pub(crate) const fn needs(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Enqueue
            | Self::Retry
            | Self::Snooze
            | Self::Cancel
            | Self::Discard
            | Self::Bulk
            | Self::Pause
            | Self::PutGateway => Role::Operator,
            Self::ForgetGateway | Self::Drain | Self::ExportAudit => Role::Admin,
        }
    }

    /// Returns the action in words, as in “viewers cannot …”.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Read => "read this",
            Self::Enqueue => "enqueue jobs",
            Self::Retry => "retry jobs",
            Self::Snooze => "snooze jobs",
            Self::Cancel => "cancel jobs",
            Self::Discard => "discard jobs",
            Self::Bulk => "act on many jobs at once",
            Self::Pause => "pause or resume jobs",
            Self::PutGateway => "store connections of gateways",
            Self::ForgetGateway => "forget gateways",
            Self::Drain => "drain workers",
            Self::ExportAudit => "export the audit",
        }
    }
}
