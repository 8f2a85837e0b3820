//! Refusals caused by a gateway's disk: workspaces that cannot be created, or need a migration
//! first.

use serde_json::Value;

use crate::{
    answer::Refusal,
    profile::Profile,
    world::{World, normalised_id},
};

impl World {
    /// Refuses a configuration with an agent whose workspace the new gateway cannot create or must
    /// migrate first.
    pub(crate) fn refuse_unready(&self, config: &Value) -> Result<(), Refusal> {
        if self.profile < Profile::V2026_9_6 {
            return Ok(());
        }
        let resolved = self.host.resolved(config);
        let mut entries = resolved["agents"]["entries"].as_object().into_iter().flatten();
        entries.try_for_each(|(id, entry)| {
            self.refuse_impossible("config.patch", id, entry["workspace"].as_str().unwrap_or("/"))
        })
    }

    /// Refuses a change of an agent that no patch may change.
    pub(crate) fn refuse_agents(&self, config: &Value) -> Result<(), Refusal> {
        let refused =
            self.refused_agents.iter().find(|(id, _)| entry(&self.file, id) != entry(config, id));
        refused.map_or(Ok(()), |(_, error)| Err(error.clone()))
    }

    /// Refuses an agent whose workspace cannot be created or must be migrated first. `by` is the
    /// method that needs it.
    pub(crate) fn refuse_impossible(
        &self,
        by: &str,
        id: &str,
        workspace: &str,
    ) -> Result<(), Refusal> {
        let obstacle = self.host.obstacle(workspace).filter(|_| self.profile != Profile::Scenario);
        let waits = self.profile.is_new() && self.unmigrated.contains(&normalised_id(id));
        let legacy = format!(
            "Legacy workspace setup state requires migration for {workspace}; run openclaw doctor \
                --fix."
        );
        let message = match obstacle {
            None if !waits => return Ok(()),
            _ if self.profile >= Profile::V2026_9_6 => {
                format!(
                    "StartupMaintenanceRequiredError: {legacy}: code=gateway.maintenance_required"
                )
            }
            _ if self.profile.is_new() && by == "agents.create" => format!("Error: {legacy}"),
            None => return Ok(()),
            Some((code, words)) => {
                format!("Error: {code}: {words}, mkdir '{workspace}': code={code}")
            }
        };
        Err(Refusal::unavailable(cut(message)))
    }
}

/// Cuts a long message, so that its end is lost.
fn cut(message: String) -> String {
    const LONGEST: usize = 254;
    if message.chars().count() <= LONGEST {
        return message;
    }
    message.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

/// Returns an agent's entry in a configuration.
fn entry<'a>(config: &'a Value, id: &str) -> Option<&'a Value> {
    let agents = &config["agents"];
    let in_list = || agents["list"].as_array()?.iter().find(|entry| entry["id"] == id);
    agents["entries"].get(id).or_else(in_list)
}
