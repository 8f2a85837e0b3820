//! Who may do what: three roles, all actions, and the one table that joins them.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What somebody may do. Each one may do all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Acts on jobs.
    Operator,
    /// Acts on workers, and takes the audit away.
    Admin,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == name);
        role.ok_or_else(|| format!("`{name}` is no role; use viewer, operator or admin"))
    }
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Look at jobs, gateways, workers, the audit.
    Read,
    /// Put jobs on the queue.
    Enqueue,
    /// Run a job again now; also one that is blocked.
    Retry,
    /// Let a job wait until a time.
    Snooze,
    /// End a job that is not wanted any more.
    Cancel,
    /// Take a dead job off the list.
    Discard,
    /// Do one of these to all jobs that a search finds.
    Bulk,
    /// Stop all workers from taking some jobs, and let them again.
    Pause,
    /// Stop one worker from taking jobs, and let it again.
    Drain,
    /// Take the whole audit away.
    ExportAudit,
}

impl Action {
    /// The least role that may do it.
    pub const fn needs(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Enqueue
            | Self::Retry
            | Self::Snooze
            | Self::Cancel
            | Self::Discard
            | Self::Bulk
            | Self::Pause => Role::Operator,
            Self::Drain | Self::ExportAudit => Role::Admin,
        }
    }

    /// What it is, as in “viewers cannot …”.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Read => "look at this",
            Self::Enqueue => "put jobs on the queue",
            Self::Retry => "retry jobs",
            Self::Snooze => "snooze jobs",
            Self::Cancel => "cancel jobs",
            Self::Discard => "discard jobs",
            Self::Bulk => "act on many jobs at once",
            Self::Pause => "pause or resume jobs",
            Self::Drain => "drain workers",
            Self::ExportAudit => "export the audit",
        }
    }
}
