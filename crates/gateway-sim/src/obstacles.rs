//! What a gateway refuses because of its disk: workspaces that cannot be made, or that it has to migrate first.

use serde_json::Value;

use crate::{
    answer::Refusal,
    profile::Profile,
    world::{World, normalised_id},
};

impl World {
    /// Refuses a configuration with an agent whose workspace the new gateway cannot make or has to migrate first.
    pub(crate) fn refuse_unready(&self, config: &Value) -> Result<(), Refusal> {
        if !self.profile.since(Profile::V2026_9_6) {
            return Ok(());
        }
        let resolved = self.host.resolved(config);
        let mut entries = resolved["agents"]["entries"].as_object().into_iter().flatten();
        entries.try_for_each(|(id, entry)| self.refuse_impossible(id, entry["workspace"].as_str().unwrap_or("/")))
    }

    /// Refuses a change of an agent that no patch may change.
    pub(crate) fn refuse_agents(&self, config: &Value) -> Result<(), Refusal> {
        let refused = self.refused_agents.iter().find(|(id, _)| entry(&self.file, id) != entry(config, id));
        refused.map_or(Ok(()), |(_, error)| Err(error.refusal()))
    }

    /// Refuses an agent whose workspace cannot be made.
    pub(crate) fn refuse_impossible(&self, id: &str, workspace: &str) -> Result<(), Refusal> {
        let impossible = self.profile != Profile::Scenario && self.host.is_impossible(workspace);
        let needs_doctor = self.profile.since(Profile::V2026_9_6);
        let message = if needs_doctor && (impossible || self.unmigrated.contains(&normalised_id(id))) {
            format!(
                "StartupMaintenanceRequiredError: Legacy workspace setup state requires migration for {workspace}; \
                 run openclaw doctor --fix.: code=gateway.maintenance_required"
            )
        } else if impossible {
            format!("Error: ENOTDIR: not a directory, mkdir '{workspace}': code=ENOTDIR")
        } else {
            return Ok(());
        };
        Err(Refusal::new("UNAVAILABLE", message))
    }
}

/// An agent's entry in a configuration.
fn entry<'a>(config: &'a Value, id: &str) -> Option<&'a Value> {
    let agents = &config["agents"];
    let in_list = || agents["list"].as_array()?.iter().find(|entry| entry["id"] == id);
    agents["entries"].get(id).or_else(in_list)
}
