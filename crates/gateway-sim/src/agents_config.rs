//! The roster: who the agents are, wherever the profile keeps them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    host::Host,
    profile::Profile,
    world::{BASE, World, normalised_id},
};

impl World {
    /// The agents that are registered, in the gateway's order, with what is known of them.
    pub(crate) fn roster(&self) -> Vec<(String, Map<String, Value>)> {
        let entry = |value: &Value| value.as_object().cloned();
        let agents = &self.running["agents"];
        let roster: Vec<_> = if let Some(registry) = &self.registry {
            registry.iter().filter_map(|(id, value)| Some((id.clone(), entry(value)?))).collect()
        } else if self.profile.is_new() {
            let entries = agents["entries"].as_object();
            entries
                .into_iter()
                .flatten()
                .filter_map(|(id, value)| Some((id.clone(), entry(value)?)))
                .collect()
        } else {
            let list = agents["list"].as_array();
            let id = |value: &Value| value["id"].as_str().map(normalised_id);
            // Of two entries for one agent the first counts.
            let mut seen = BTreeSet::new();
            let entries =
                list.into_iter().flatten().filter_map(|value| Some((id(value)?, entry(value)?)));
            entries.filter(|(id, _)| seen.insert(id.clone())).collect()
        };
        // A gateway that has no agents configured has one all the same.
        if roster.is_empty() && self.profile != Profile::Scenario {
            vec![("main".into(), Map::new())]
        } else {
            roster
        }
    }

    /// What is registered about an agent.
    pub(crate) fn agent(&self, id: &str) -> Option<Map<String, Value>> {
        let agents = &self.running["agents"];
        // Fleets ask this for each file: only the one that is wanted is copied.
        let entry = if let Some(registry) = &self.registry {
            registry.get(id)
        } else if self.profile.is_new() {
            agents["entries"].get(id)
        } else {
            let same =
                |value: &&Value| value["id"].as_str().is_some_and(|own| normalised_id(own) == id);
            agents["list"].as_array().and_then(|list| list.iter().find(same))
        };
        match entry.and_then(Value::as_object) {
            Some(entry) => Some(entry.clone()),
            None if id == "main" => {
                self.roster().into_iter().find_map(|(own, entry)| (own == id).then_some(entry))
            }
            None => None,
        }
    }

    /// Is the roster part of the configuration, so that changing one writes the other?
    pub(crate) fn roster_is_config(&self) -> bool {
        self.registry.is_none()
    }

    /// The agent that answers when none is named.
    pub(crate) fn default_id(&self) -> String {
        if self.profile == Profile::Scenario {
            return self.default_id.clone();
        }
        let roster = self.roster();
        let marked =
            roster.iter().find(|(_, entry)| entry.get("default") == Some(&Value::Bool(true)));
        let main = || roster.iter().find(|(id, _)| id == "main");
        marked
            .or_else(|| if self.profile.is_new() { main() } else { None })
            .or(roster.first())
            .map_or_else(String::new, |(id, _)| id.clone())
    }

    /// The directory of an agent's files.
    pub(crate) fn workspace(&self, id: &str, entry: &Map<String, Value>) -> String {
        let shared = self.running["agents"]["defaults"]["workspace"].as_str();
        let shared = shared.map_or_else(|| format!("{BASE}/workspace"), str::to_owned);
        match entry.get("workspace").and_then(Value::as_str) {
            Some(own) => own.to_owned(),
            None if id == self.default_id() => shared,
            None if self.profile.is_new() => format!("{shared}/{id}"),
            None => format!("{BASE}/state/workspace-{id}"),
        }
    }

    /// The folder of an agent's files, in the one spelling that there is of it. The scenarios'
    /// gateway keeps files by agent, whatever workspace it has.
    pub(crate) fn folder(&self, id: &str, entry: &Map<String, Value>) -> String {
        if self.profile == Profile::Scenario {
            id.to_owned()
        } else {
            self.host.folder(&self.workspace(id, entry))
        }
    }
}

/// A configuration that is being changed, with its agents where the profile keeps them.
pub(crate) struct Draft {
    pub(crate) config: Value,
    has_entries: bool,
}

impl Draft {
    pub(crate) fn new(profile: Profile, config: Value) -> Self {
        Self { config, has_entries: profile.is_new() }
    }

    /// Sets fields of an agent, which is added if it is new.
    pub(crate) fn put(&mut self, id: &str, fields: Map<String, Value>) {
        let place = if self.has_entries {
            &mut self.config["agents"]["entries"][id]
        } else {
            let list = &mut self.config["agents"]["list"];
            if !list.is_array() {
                *list = json!([]);
            }
            let list = list.as_array_mut().expect("made an array above");
            let at = list.iter().position(|value| is(value, id)).unwrap_or_else(|| {
                list.push(json!({ "id": id }));
                list.len() - 1
            });
            &mut list[at]
        };
        if !place.is_object() {
            *place = json!({});
        }
        place.as_object_mut().expect("made an object above").extend(fields);
    }

    /// Takes an agent out. Returns its place in the list.
    pub(crate) fn remove(&mut self, id: &str) -> Option<usize> {
        if self.has_entries {
            let entries = self.config.pointer_mut("/agents/entries").and_then(Value::as_object_mut);
            entries.and_then(|entries| entries.shift_remove(id));
            return None;
        }
        let list = self.config.pointer_mut("/agents/list").and_then(Value::as_array_mut)?;
        let place = list.iter().position(|value| is(value, id));
        list.retain(|value| !is(value, id));
        place
    }

    /// Writes what the references of the agents from a place on stand for. A gateway gives texts
    /// back as they were by comparing them with those at the same place, and these have moved up.
    pub(crate) fn resolve_from(&mut self, place: usize, host: &Host) {
        let list = self.config.pointer_mut("/agents/list").and_then(Value::as_array_mut);
        for entry in list.into_iter().flatten().skip(place) {
            *entry = host.source(entry);
        }
    }

    /// When one agent is left, who owns what goes without saying again.
    pub(crate) fn settle(&mut self) {
        if let Some(agents) = self.config.get_mut("agents").and_then(Value::as_object_mut)
            && agents
                .get("entries")
                .and_then(Value::as_object)
                .is_some_and(|entries| entries.len() == 1)
        {
            agents.shift_remove("ownership");
        }
    }

    /// Takes an agent's bindings out; how many there were.
    pub(crate) fn unbind(&mut self, id: &str) -> usize {
        let Some(bindings) = self.config.get_mut("bindings").and_then(Value::as_array_mut) else {
            return 0;
        };
        let before = bindings.len();
        bindings.retain(|binding| {
            binding["agentId"].as_str().is_none_or(|own| normalised_id(own) != id)
        });
        before - bindings.len()
    }
}

/// Tells if that is the entry of the agent.
fn is(entry: &Value, id: &str) -> bool {
    entry["id"].as_str().is_some_and(|own| normalised_id(own) == id)
}
