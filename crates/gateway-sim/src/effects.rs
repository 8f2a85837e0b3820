//! The record of what was done to a gateway since it was created, from the gateway's point of view.

use serde::{Deserialize, Serialize};

/// The record of what was done, over all connections and restarts. It excludes calls that were
/// refused, and calls that changed nothing because of a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// The writes of the configuration file by calls, in order. Edits by hand are not included.
    pub writes: Vec<Write>,
    /// The ids of the agents that `agents.create` created.
    pub creates: Vec<String>,
    /// The ids of the agents that `agents.delete` deleted.
    pub deletes: Vec<String>,
    /// The keys of the sessions that were reset.
    pub resets: Vec<String>,
    /// The restarts that writes caused, each with the method that wrote; `by hand` for a person's.
    pub restarts: Vec<String>,
    /// The paths of the non-empty folders that were moved to the trash.
    pub trashed: Vec<String>,
}

/// One write of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The method that wrote.
    pub by: String,
    /// The shortest paths that cover every difference, such as `agents.entries.ada` or
    /// `agents.list.ada.heartbeat`. Items of lists are named by their ids; lists of items without
    /// ids differ as a whole. Empty if the file was rewritten without a change.
    pub paths: Vec<String>,
}
