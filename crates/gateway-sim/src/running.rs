//! The configuration with which the gateway runs, which is the file as of its last reload, and the
//! reloads themselves.

use serde_json::Value;

use crate::{
    agents_config::entries_mut,
    answer::Refusal,
    effects::Write,
    host::Missing,
    merge::{differences, merge},
    profile::Profile,
    world::World,
};

/// The ways in which a gateway restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The gateway restarts in the same process, because its configuration was written.
    InPlace,
    /// A person restarts the gateway as a new process.
    Process,
}

impl World {
    /// Returns the document that a patch changes: the file with its includes in place, and on one
    /// version with all references resolved.
    pub(crate) fn base(&self) -> Value {
        if self.profile == Profile::V2026_2_9 {
            self.host.resolved(&self.file)
        } else {
            self.host.included(&self.file)
        }
    }

    /// Returns the document that calls on agents change. One version uses its running configuration
    /// and overwrites the file with it.
    pub(crate) fn base_of_calls(&self) -> Value {
        if self.profile.restarts_stale() { self.host.included(&self.taken) } else { self.base() }
    }

    /// Writes the configuration for a call, even if nothing changed.
    pub(crate) fn write(&mut self, by: &str, next: Value) -> Result<(), Refusal> {
        let folded = self.folded(by, next)?;
        let mut next = folded.file;
        match self.profile {
            Profile::V2026_3_13 if by == "config.patch" => {}
            Profile::V2026_3_13
            | Profile::V2026_5_7
            | Profile::V2026_5_20
            | Profile::V2026_6_11 => self.expand_workspaces(&mut next),
            _ => {}
        }
        let paths = differences(&self.file, &next);
        if self.profile != Profile::Scenario {
            next["meta"]["lastTouchedVersion"] = self.profile.name().into();
            if self.profile.keeps_list() {
                next["meta"]["lastTouchedAt"] = jiff::Timestamp::now().to_string().into();
            }
        }
        let before = std::mem::replace(&mut self.file, next);
        for (name, part) in folded.parts {
            self.host.write_part(name, part);
        }
        self.effects.writes.push(Write { by: by.to_owned(), paths });
        if self.adds_deleted() {
            // The running configuration is unchanged.
            return Err(Refusal::unavailable(
                "config.patch persisted but was not applied to the active Gateway (failed); run \
                    config.get, then use config.apply to reapply the saved config or restart the \
                    Gateway",
            ));
        }
        self.file_changed(&before);
        Ok(())
    }

    /// Replaces `~` by the home folder in agents' workspaces, as some versions do.
    fn expand_workspaces(&self, next: &mut Value) {
        for entry in entries_mut(next) {
            if let Some(workspace) = entry.get_mut("workspace") {
                *workspace = self.host.expanded(workspace, "workspace");
            }
        }
    }

    /// Returns whether the file contains an agent that is recorded as deleted, with which the
    /// gateway cannot run.
    fn adds_deleted(&self) -> bool {
        let resolved = self.host.resolved(&self.file);
        self.loses_sessions() && roster_ids(&resolved).iter().any(|id| self.deleted.contains(id))
    }

    /// Merges a patch into the file, as a person would.
    pub(crate) fn edit(&mut self, patch: &Value) {
        let before = self.file.clone();
        merge(&mut self.file, patch);
        if !self.reloads() {
            // The file is not read until a person restarts the gateway or a call writes.
            return;
        }
        if self.profile.restarts_stale() { self.file_changed(&before) } else { self.take_over() }
    }

    /// Reloads the file, or requests a restart if the section on channels differs from the running
    /// one. One version restarts for any difference, others only if there was no such section.
    fn file_changed(&mut self, before: &Value) {
        let known = if self.skips_channels() { before } else { &self.taken };
        let (old, new) = (known.get("channels"), self.file.get("channels"));
        let restarts =
            self.options.restarts && self.profile.sees_noops() && self.profile < Profile::V2026_9_6;
        let is_for_restart = old != new && (self.profile.restarts_stale() || old.is_none());
        if self.reloads() && restarts && is_for_restart {
            self.must_restart = true;
        } else {
            self.take_over();
        }
    }

    fn skips_channels(&self) -> bool {
        self.options.skips_channels && self.profile.restarts_stale()
    }

    /// Returns whether the gateway watches its file.
    pub(crate) fn reloads(&self) -> bool {
        self.running["gateway"]["reload"]["mode"] != "off"
    }

    fn take_over(&mut self) {
        if self.fatal().is_none() {
            self.taken = self.known_part(&self.file);
            self.running = self.host.resolved(&self.taken);
            self.house_files();
        }
    }

    /// Returns the part of the file that the gateway uses.
    pub(crate) fn known_part(&self, file: &Value) -> Value {
        let mut known = file.clone();
        if let (true, Some(known)) = (self.skips_channels(), known.as_object_mut()) {
            known.shift_remove("channels");
        }
        known
    }

    /// Returns the reason why the gateway cannot start with the current file.
    pub(crate) fn fatal(&self) -> Option<String> {
        if self.profile != Profile::V2026_2_9 {
            return None;
        }
        let Missing { name, path } = self.host.missing(&self.file).into_iter().next()?;
        Some(format!("Missing env var \"{name}\" referenced at config path: {path}"))
    }

    /// Starts the gateway again. The error is the reason why it does not start.
    pub(crate) fn start(&mut self, how: Start) -> Result<(), String> {
        self.must_restart = false;
        if how == Start::InPlace && self.profile.restarts_stale() {
            self.taken = self.started_with.clone();
            self.running = self.host.resolved(&self.taken);
            return Ok(());
        }
        if let Some(fatal) = self.fatal() {
            return Err(fatal);
        }
        self.take_over();
        self.started_with = self.taken.clone();
        if self.loses_sessions() { self.deleted.start(&roster_ids(&self.running)) } else { Ok(()) }
    }

    /// Returns whether the sessions of a deleted agent are lost until the gateway restarts.
    pub(crate) fn loses_sessions(&self) -> bool {
        self.options.loses_sessions.unwrap_or(self.profile == Profile::V2026_8_2)
    }
}

/// Returns the ids of the agents that have entries.
fn roster_ids(resolved: &Value) -> Vec<String> {
    let entries = resolved["agents"]["entries"].as_object();
    entries.into_iter().flatten().map(|(id, _)| id.clone()).collect()
}
