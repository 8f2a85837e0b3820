//! Records the deeds that were done to a gateway since it was made, from its own point of view.

use serde::{Deserialize, Serialize};

/// Everything that was done, over all connections and restarts. Calls that were refused, and those
/// that changed nothing because of a fault, are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deeds {
    /// Writes of the configuration file by calls, in their order. Edits by hand are not among them.
    pub writes: Vec<Write>,
    /// Ids of agents that `agents.create` created.
    pub creates: Vec<String>,
    /// Ids of agents that `agents.delete` deleted.
    pub deletes: Vec<String>,
    /// Keys of sessions that were reset.
    pub resets: Vec<String>,
    /// Restarts that writes have caused, by the method that wrote; `by hand` for those of a person.
    pub restarts: Vec<String>,
    /// Folders that were moved to the trash with files in them, by path.
    pub trashed: Vec<String>,
}

/// One write of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The method that wrote.
    pub by: String,
    /// The shortest paths that name every difference, as `agents.entries.ada` or
    /// `agents.list.ada.heartbeat`. Things in lists are named by their ids; lists of others differ
    /// as wholes. Empty if the file was written again as it was.
    pub paths: Vec<String>,
}
