//! The records that the new gateways keep of deleted agents, and their side effects.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::Refusal;

/// The agents that were deleted.
#[derive(Clone, Default)]
pub(crate) struct Deleted {
    /// The agents that no call has recreated since, and whether their files were deleted with them.
    records: BTreeMap<String, bool>,
    /// The agents whose sessions this process has lost, even if they were recreated.
    lost: BTreeSet<String>,
}

impl Deleted {
    /// Records a deletion: with or without the agent's files, on a gateway that loses sessions or
    /// not.
    pub(crate) fn bury(&mut self, id: &str, with_files: bool, loses_sessions: bool) {
        self.records.insert(id.to_owned(), with_files);
        if with_files && loses_sessions {
            self.lost.insert(id.to_owned());
        }
    }

    /// Removes the record of an agent, because a call recreated it.
    pub(crate) fn forget(&mut self, id: &str) {
        self.records.remove(id);
    }

    /// Returns whether the agent is recorded as deleted.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.records.contains_key(id)
    }

    /// Removes all records, as a repair does.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Refuses a call that needs the sessions of a deleted agent.
    pub(crate) fn refuse_patch(&self, id: &str) -> Result<(), Refusal> {
        if !self.contains(id) && !self.lost.contains(id) {
            return Ok(());
        }
        let message = "Session patch failed unexpectedly. Retry the request.";
        Err(Refusal { retryable: true, ..Refusal::unavailable(message) })
    }

    pub(crate) fn refuse_reset(&self, id: &str) -> Result<(), Refusal> {
        let message = if self.contains(id) {
            format!("Error: OpenClaw agent database is unavailable while agent {id} is deleted.")
        } else if self.lost.contains(id) {
            "Error: no such table: session_key_contract: code=ERR_SQLITE_ERROR".into()
        } else {
            return Ok(());
        };
        Err(Refusal::unavailable(message))
    }

    /// Starts a new process with this roster. The error is the reason why it does not start.
    pub(crate) fn start(&mut self, roster: &[String]) -> Result<(), String> {
        for id in roster {
            if self.lost.contains(id) && !self.contains(id) {
                return Err("OpenClaw startup migrations did not complete cleanly; refusing to \
                    report the gateway ready. Run \"openclaw doctor --fix\" against the same \
                    state/config, then restart the gateway."
                    .into());
            }
            if self.records.get(id) == Some(&false) {
                return Err(format!(
                    "OpenClaw agent database is unavailable while agent {id} is deleted."
                ));
            }
        }
        self.lost.clear();
        Ok(())
    }
}
