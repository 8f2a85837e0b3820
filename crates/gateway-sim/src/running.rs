//! The configuration that the gateway runs with, which is its file when it was last taken over, and
//! how that happens.

use serde_json::Value;

use crate::{
    answer::Refusal,
    deeds::Write,
    merge::{differences, merge},
    profile::Profile,
    world::World,
};

/// The ways in which a gateway comes up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// By itself, in the same process, because its configuration was written.
    InPlace,
    /// As a new process: somebody has restarted it.
    Process,
}

impl World {
    /// The document that a patch changes: the file with its includes in their places, and on one
    /// version with everything that it refers to.
    pub(crate) fn base(&self) -> Value {
        if self.profile.flattens() {
            self.host.resolved(&self.file)
        } else {
            self.host.included(&self.file)
        }
    }

    /// The document that calls on agents change. One version takes what it runs with, and writes
    /// that over the file.
    pub(crate) fn base_of_calls(&self) -> Value {
        if self.profile.restarts_stale() { self.host.included(&self.taken) } else { self.base() }
    }

    /// A call changes the configuration, or writes it again as it was.
    pub(crate) fn write(&mut self, by: &str, next: Value) -> Result<(), Refusal> {
        let folded = self.folded(by, next)?;
        let mut next = folded.file;
        if self.profile.writes_expanded(by) {
            self.expand_workspaces(&mut next);
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
        self.deeds.writes.push(Write { by: by.to_owned(), paths });
        if self.adds_deleted() {
            // It stays as it was in what the gateway runs with.
            return Err(Refusal::new(
                "UNAVAILABLE",
                "config.patch persisted but was not applied to the active Gateway (failed); run \
                    config.get, then use \
                 config.apply to reapply the saved config or restart the Gateway",
            ));
        }
        self.file_changed(&before);
        Ok(())
    }

    /// Some versions put the home folder in the place of `~` in agents' workspaces.
    fn expand_workspaces(&self, next: &mut Value) {
        for entry in
            next.pointer_mut("/agents/list").and_then(Value::as_array_mut).into_iter().flatten()
        {
            if let Some(workspace) = entry.get_mut("workspace") {
                *workspace = self.host.expanded(workspace, "workspace");
            }
        }
    }

    /// Tells if there is an agent in the file that is recorded as deleted, and that it cannot run
    /// for that?
    fn adds_deleted(&self) -> bool {
        let resolved = self.host.resolved(&self.file);
        self.loses_sessions() && roster_ids(&resolved).iter().any(|id| self.deleted.contains(id))
    }

    /// A person merges a patch into the file.
    pub(crate) fn edit(&mut self, patch: &Value) {
        let before = self.file.clone();
        merge(&mut self.file, patch);
        if !self.reloads() {
            // Nobody looks at the file until somebody restarts the gateway, or a call writes.
            return;
        }
        if self.profile.restarts_stale() { self.file_changed(&before) } else { self.take_over() }
    }

    /// Takes the file over, or restarts for that if the section on channels differs from what the
    /// gateway runs with: one version always, others when there was none.
    fn file_changed(&mut self, before: &Value) {
        let known = if self.skips_channels() { before } else { &self.taken };
        let (old, new) = (known.get("channels"), self.file.get("channels"));
        let restarts = self.options.restarts
            && self.profile.sees_noops()
            && !self.profile.since(Profile::V2026_9_6);
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

    /// Tells if the gateway watches its file.
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

    /// The part of the file that the gateway takes note of.
    pub(crate) fn known_part(&self, file: &Value) -> Value {
        let mut known = file.clone();
        if let (true, Some(known)) = (self.skips_channels(), known.as_object_mut()) {
            known.shift_remove("channels");
        }
        known
    }

    /// The reason for which the gateway cannot start with the file as it is.
    pub(crate) fn fatal(&self) -> Option<String> {
        let missing =
            if self.profile.needs_variables() { self.host.missing(&self.file) } else { Vec::new() };
        let first = missing.first()?;
        Some(format!(
            "Missing env var \"{}\" referenced at config path: {}",
            first.name, first.path
        ))
    }

    /// Comes up again; the error is why it does not.
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

    /// Tells if the sessions of a deleted agent are lost until the gateway restarts.
    pub(crate) fn loses_sessions(&self) -> bool {
        self.options.loses_sessions.unwrap_or(self.profile.loses_sessions())
    }
}

/// The ids of the agents that have entries.
fn roster_ids(resolved: &Value) -> Vec<String> {
    let entries = resolved["agents"]["entries"].as_object();
    entries.into_iter().flatten().map(|(id, _)| id.clone()).collect()
}
