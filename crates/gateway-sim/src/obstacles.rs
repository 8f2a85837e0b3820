//! What a gateway refuses to write because of its disk: workspaces that cannot be, and included parts of its
//! configuration.

use serde_json::Value;

use crate::{
    answer::Refusal,
    host::includes,
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
        let entries = resolved["agents"]["entries"].as_object().into_iter().flatten();
        entries.map(|(id, entry)| self.refuse_impossible(id, entry["workspace"].as_str().unwrap_or("/"))).collect()
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

    /// Refuses to change what is included from another file, as the version does.
    pub(crate) fn refuse_included(&self, patch: &Value) -> Result<(), Refusal> {
        if !self.profile.since(Profile::V2026_5_20) || !includes(&self.file) {
            return Ok(());
        }
        if self.profile < Profile::V2026_7_35 {
            let place = first_include(&self.file, "").unwrap_or_default();
            let message = format!("Config validation failed: {place}: Unrecognized key: \"$include\"");
            return Err(Refusal::new("UNAVAILABLE", message));
        }
        let Some(place) = touched_include(&self.file, patch, "") else { return Ok(()) };
        let message = format!(
            "Config write would flatten $include-owned config at {place}; edit that include file directly or remove the $include first."
        );
        Err(if self.profile.is_new() {
            Refusal::new("CONFIG_INCLUDE_OWNERSHIP", message)
        } else {
            Refusal::invalid(message)
        })
    }
}

/// The path of the first `$include`.
fn first_include(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) if fields.contains_key("$include") => Some(path.to_owned()),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| first_include(value, &join(path, name))),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| first_include(item, &join(path, &at.to_string())))
        }
        _ => None,
    }
}

/// The path of an included part that the patch changes.
fn touched_include(file: &Value, patch: &Value, path: &str) -> Option<String> {
    match (file, patch) {
        (Value::Object(fields), _) if fields.contains_key("$include") => Some(path.to_owned()),
        (Value::Object(fields), Value::Object(patch)) => {
            patch.iter().find_map(|(name, value)| touched_include(fields.get(name)?, value, &join(path, name)))
        }
        (Value::Array(_), _) if includes(file) => Some(path.to_owned()),
        _ => None,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
