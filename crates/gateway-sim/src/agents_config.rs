//! The roster of agents, wherever the profile keeps it.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    host::Host,
    profile::Profile,
    world::{BASE, World, normalised_id},
};

impl World {
    /// Returns the entries of the registered agents in the gateway's order. Of two entries for one
    /// agent, the first counts.
    fn entries(&self) -> impl Iterator<Item = (Cow<'_, str>, &Map<String, Value>)> {
        let agents = &self.running["agents"];
        let (named, list) = match &self.registry {
            Some(registry) => (Some(registry), None),
            None if self.profile.is_new() => (agents["entries"].as_object(), None),
            None => (None, agents["list"].as_array()),
        };
        let named = named.into_iter().flatten().map(|(id, entry)| (id.into(), entry));
        let listed = list
            .into_iter()
            .flatten()
            .filter_map(|entry| Some((normalised_id(entry["id"].as_str()?).into(), entry)));
        named.chain(listed).filter_map(|(id, entry)| Some((id, entry.as_object()?)))
    }

    /// Returns the registered agents in the gateway's order, with their entries.
    pub(crate) fn roster(&self) -> Vec<(String, Map<String, Value>)> {
        let mut seen = BTreeSet::new();
        let own = self.entries().filter(|(id, _)| seen.insert(id.clone()));
        let roster: Vec<_> = own.map(|(id, entry)| (id.into_owned(), entry.clone())).collect();
        if roster.is_empty() && self.profile != Profile::Scenario {
            // A gateway without configured agents still has one.
            return vec![("main".into(), Map::new())];
        }
        roster
    }

    /// Returns the entry of an agent. Tests with many agents call this for each file, so only the
    /// requested entry is copied.
    pub(crate) fn agent(&self, id: &str) -> Option<Map<String, Value>> {
        let mut entries = self.entries().peekable();
        if entries.peek().is_none() && self.profile != Profile::Scenario {
            return (id == "main").then(Map::new);
        }
        entries.find_map(|(own, entry)| (own == id).then(|| entry.clone()))
    }

    /// Returns whether the roster is part of the configuration, so that changing one changes the
    /// other.
    pub(crate) fn roster_is_config(&self) -> bool {
        self.registry.is_none()
    }

    /// Returns the agent that answers when no agent is named.
    pub(crate) fn default_id(&self) -> String {
        if self.profile == Profile::Scenario {
            return self.default_id.clone();
        }
        let roster = self.roster();
        let is_marked = |entry: &Map<String, Value>| entry.get("default") == Some(&true.into());
        let marked = roster.iter().find(|(_, entry)| is_marked(entry));
        let main = || roster.iter().find(|(id, _)| id == "main" && self.profile.is_new());
        marked.or_else(main).or(roster.first()).map(|(id, _)| id.clone()).unwrap_or_default()
    }

    /// Returns the directory of an agent's files.
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

    /// Returns the folder of an agent's files in its canonical spelling. The gateway of the
    /// scenarios keeps files by agent, regardless of the workspace.
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

    /// Sets fields of an agent, and adds the agent if it is new.
    pub(crate) fn put(&mut self, id: &str, fields: Map<String, Value>) {
        let place = if self.has_entries {
            &mut self.config["agents"]["entries"][id]
        } else {
            let list = &mut self.config["agents"]["list"];
            if !list.is_array() {
                *list = json!([]);
            }
            let list = list.as_array_mut().expect("made an array above");
            let at = list.iter().position(|value| names(&value["id"], id)).unwrap_or_else(|| {
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

    /// Removes an agent from the configuration. Returns its place in the list.
    pub(crate) fn remove(&mut self, id: &str) -> Option<usize> {
        if self.has_entries {
            let entries = self.config.pointer_mut("/agents/entries").and_then(Value::as_object_mut);
            entries.and_then(|entries| entries.shift_remove(id));
            return None;
        }
        let list = self.config.pointer_mut("/agents/list").and_then(Value::as_array_mut)?;
        let place = list.iter().position(|value| names(&value["id"], id));
        list.retain(|value| !names(&value["id"], id));
        place
    }

    /// Writes what the references of the agents from a place on stand for. A gateway gives texts
    /// back as they were by comparing them with those at the same place, and these have moved up.
    pub(crate) fn resolve_from(&mut self, place: usize, host: &Host) {
        for entry in entries_mut(&mut self.config).into_iter().skip(place) {
            *entry = host.source(entry);
        }
    }

    /// Removes `ownership` when only one agent is left, because it is implicit then.
    pub(crate) fn settle(&mut self) {
        if let Some(agents) = self.config.get_mut("agents").and_then(Value::as_object_mut)
            && agents.get("entries").and_then(Value::as_object).is_some_and(|all| all.len() == 1)
        {
            agents.shift_remove("ownership");
        }
    }

    /// Removes an agent's bindings and returns their number.
    pub(crate) fn unbind(&mut self, id: &str) -> usize {
        let Some(bindings) = self.config.get_mut("bindings").and_then(Value::as_array_mut) else {
            return 0;
        };
        let before = bindings.len();
        bindings.retain(|binding| !names(&binding["agentId"], id));
        before - bindings.len()
    }
}

/// Returns the entries of the agents in a configuration, listed or by id.
pub(crate) fn entries_mut(config: &mut Value) -> Vec<&mut Value> {
    let mut found = Vec::new();
    let agents = config.get_mut("agents").and_then(Value::as_object_mut);
    for (name, place) in agents.into_iter().flatten() {
        match (name.as_str(), place) {
            ("list", Value::Array(items)) => found.extend(items),
            ("entries", Value::Object(fields)) => found.extend(fields.values_mut()),
            _ => {}
        }
    }
    found
}

/// Returns whether the value is a spelling of the agent's id.
fn names(value: &Value, id: &str) -> bool {
    value.as_str().is_some_and(|own| normalised_id(own) == id)
}
