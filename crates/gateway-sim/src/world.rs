//! The state of a gateway: the roster of agents, their files, the sessions and the configuration document.
//!
//! The roster is read from wherever the profile keeps it: `agents.list`, `agents.entries`, or a registry of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    answer::{Outcome, Refusal},
    profile::Profile,
    setup::{Options, Setup},
};

/// Where the gateway's files are, as its answers name them; nothing is ever written there.
pub(crate) const BASE: &str = "/srv/openclaw";

/// Everything a call can read or change.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) profile: Profile,
    pub(crate) options: Options,
    default_id: String,
    pub(crate) accepted: Vec<String>,
    pub(crate) listed: Vec<String>,
    pub(crate) config: Value,
    /// The separate registry by agent id, if the agents are not the configuration's.
    registry: Option<Map<String, Value>>,
    pub(crate) files: BTreeMap<String, BTreeMap<String, File>>,
    pub(crate) sessions: BTreeMap<String, Session>,
    /// Agents that the new gateway keeps a record of as deleted; it refuses them their sessions until they are created
    /// by call.
    pub(crate) deleted: BTreeSet<String>,
    /// Idempotency keys of started chat runs.
    pub(crate) runs: BTreeSet<String>,
    /// Time of the latest session update, in ms; no two have the same.
    latest_ms: u64,
    /// How often a call wrote the configuration, whether or not that changed it.
    pub(crate) config_writes: u64,
}

/// A file in an agent's workspace.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) content: String,
    pub(crate) updated_at_ms: u64,
}

/// A session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) label: Option<String>,
    pub(crate) resets: u64,
    pub(crate) created_at_ms: u64,
    pub(crate) updated_at_ms: u64,
    pub(crate) revision: String,
}

impl File {
    pub(crate) fn new(content: &str) -> Self {
        Self { content: content.to_owned(), updated_at_ms: now_ms() }
    }
}

impl Session {
    pub(crate) fn new(label: Option<String>) -> Self {
        let now = now_ms();
        Self { id: random_id(), label, resets: 0, created_at_ms: now, updated_at_ms: now, revision: random_id() }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// An id nobody has seen before.
pub(crate) fn random_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The id a gateway makes of a name: lower case, runs of other characters become `-`, at most 64 characters.
/// Empty if nothing is left.
pub(crate) fn normalised_id(name: &str) -> String {
    let mut id = String::new();
    let mut in_run = false;
    for c in name.to_lowercase().chars() {
        let valid = c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if valid {
            id.push(c);
        } else if !in_run {
            id.push('-');
        }
        in_run = !valid;
    }
    id.trim_matches('-').chars().take(64).collect()
}

impl World {
    pub(crate) fn new(setup: &Setup, port: u16) -> Self {
        let profile = setup.profile;
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let registry = setup.agents.iter().map(|(id, agent)| {
            let mut entry = Map::new();
            entry.extend(agent.name.clone().map(|name| ("name".to_owned(), name.into())));
            entry.extend(agent.workspace.clone().map(|path| ("workspace".to_owned(), path.into())));
            (id.clone(), entry.into())
        });
        let files = setup.files.iter().map(|(id, files)| {
            (id.clone(), files.iter().map(|(name, text)| (name.clone(), File::new(text))).collect())
        });
        let sessions = setup.sessions.iter().map(|(key, session)| {
            (key.clone(), Session { resets: session.resets, ..Session::new(session.label.clone()) })
        });
        Self {
            profile,
            default_id: setup.default_id.clone().unwrap_or_else(|| "main".into()),
            accepted: setup.supported_files.clone().unwrap_or_else(|| named(profile.accepted_files())),
            listed: setup.supported_files.clone().unwrap_or_else(|| named(profile.listed_files())),
            config: if setup.config.is_null() { smallest_config(profile, port) } else { setup.config.clone() },
            registry: (!setup.options.link_agents_config).then(|| registry.collect()),
            files: files.collect(),
            sessions: sessions.collect(),
            deleted: BTreeSet::new(),
            runs: BTreeSet::new(),
            latest_ms: 0,
            config_writes: 0,
            options: setup.options.clone(),
        }
    }

    /// Executes a call whose method and parameters have been checked.
    pub(crate) fn execute(&mut self, method: &str, params: &Value) -> Outcome {
        match method {
            "health" => Ok(self.health()),
            "status" => Ok(self.status()),
            "agents.list" => Ok(self.list_agents()),
            "agents.create" => self.create_agent(params),
            "agents.update" => self.update_agent(params),
            "agents.delete" => self.delete_agent(params),
            "agents.files.list" => self.list_files(params),
            "agents.files.get" => self.get_file(params),
            "agents.files.set" => self.set_file(params),
            "config.get" => Ok(self.get_config()),
            "config.patch" => self.patch_config(params),
            "sessions.list" => Ok(self.list_sessions(params)),
            "sessions.resolve" => self.resolve_session(params),
            "sessions.patch" => self.patch_session(params),
            "sessions.reset" => Ok(self.reset_session(params)),
            "sessions.delete" => self.delete_session(params),
            "chat.send" => self.send_chat(params),
            _ => Err(Refusal::invalid(format!("unknown method: {method}"))),
        }
    }

    /// The agents that are registered, in the gateway's order, with what is known of them.
    pub(crate) fn roster(&self) -> Vec<(String, Map<String, Value>)> {
        let entry = |value: &Value| value.as_object().cloned();
        let agents = &self.config["agents"];
        let roster: Vec<_> = if let Some(registry) = &self.registry {
            registry.iter().filter_map(|(id, value)| Some((id.clone(), entry(value)?))).collect()
        } else if self.profile.is_new() {
            let entries = agents["entries"].as_object();
            entries.into_iter().flatten().filter_map(|(id, value)| Some((id.clone(), entry(value)?))).collect()
        } else {
            let list = agents["list"].as_array();
            let id = |value: &Value| value["id"].as_str().map(normalised_id);
            // Of two entries for one agent the first counts.
            let mut seen = BTreeSet::new();
            let entries = list.into_iter().flatten().filter_map(|value| Some((id(value)?, entry(value)?)));
            entries.filter(|(id, _)| seen.insert(id.clone())).collect()
        };
        // A gateway that has no agents configured has one all the same.
        if roster.is_empty() && self.profile != Profile::Scenario { vec![("main".into(), Map::new())] } else { roster }
    }

    /// The time of a session update: now, but later than the one before, so that sessions have an order.
    pub(crate) fn update_ms(&mut self) -> u64 {
        self.latest_ms = now_ms().max(self.latest_ms + 1);
        self.latest_ms
    }

    /// What is registered about an agent.
    pub(crate) fn agent(&self, id: &str) -> Option<Map<String, Value>> {
        let agents = &self.config["agents"];
        // Fleets ask this for each file: only the one that is wanted is copied.
        let entry = if let Some(registry) = &self.registry {
            registry.get(id)
        } else if self.profile.is_new() {
            agents["entries"].get(id)
        } else {
            let same = |value: &&Value| value["id"].as_str().is_some_and(|own| normalised_id(own) == id);
            agents["list"].as_array().and_then(|list| list.iter().find(same))
        };
        match entry.and_then(Value::as_object) {
            Some(entry) => Some(entry.clone()),
            None if id == "main" => self.roster().into_iter().find_map(|(own, entry)| (own == id).then_some(entry)),
            None => None,
        }
    }

    /// Sets fields of an agent, registering it if it is new.
    pub(crate) fn put_agent(&mut self, id: &str, fields: Map<String, Value>) {
        let place = if let Some(registry) = &mut self.registry {
            registry.entry(id).or_insert_with(|| json!({}))
        } else if self.profile.is_new() {
            &mut self.config["agents"]["entries"][id]
        } else {
            let list = &mut self.config["agents"]["list"];
            if !list.is_array() {
                *list = json!([]);
            }
            let list = list.as_array_mut().expect("made an array above");
            let same = |value: &Value| value["id"].as_str().is_some_and(|own| normalised_id(own) == id);
            let at = list.iter().position(same).unwrap_or_else(|| {
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

    /// Takes an agent out of the roster.
    pub(crate) fn remove_agent(&mut self, id: &str) {
        if let Some(registry) = &mut self.registry {
            registry.shift_remove(id);
        } else if self.profile.is_new() {
            let entries = self.config.pointer_mut("/agents/entries").and_then(Value::as_object_mut);
            entries.and_then(|entries| entries.shift_remove(id));
        } else if let Some(list) = self.config.pointer_mut("/agents/list").and_then(Value::as_array_mut) {
            list.retain(|value| value["id"].as_str().is_none_or(|own| normalised_id(own) != id));
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
        let marked = roster.iter().find(|(_, entry)| entry.get("default") == Some(&Value::Bool(true)));
        let main = || roster.iter().find(|(id, _)| id == "main");
        marked
            .or_else(|| if self.profile.is_new() { main() } else { None })
            .or(roster.first())
            .map_or_else(String::new, |(id, _)| id.clone())
    }

    /// The directory of an agent's files.
    pub(crate) fn workspace(&self, id: &str, entry: &Map<String, Value>) -> String {
        let shared = self.config["agents"]["defaults"]["workspace"].as_str();
        let shared = shared.map_or_else(|| format!("{BASE}/workspace"), str::to_owned);
        match entry.get("workspace").and_then(Value::as_str) {
            Some(own) => own.to_owned(),
            None if id == self.default_id() => shared,
            None if self.profile.is_new() => format!("{shared}/{id}"),
            None => format!("{BASE}/state/workspace-{id}"),
        }
    }

    /// Agents, configuration, files and sessions, as a person would describe them.
    pub(crate) fn snapshot(&self) -> Value {
        let agents = self.roster().into_iter().map(|(id, entry)| {
            let field = |name: &str| entry.get(name).cloned().unwrap_or_default();
            let agent = json!({ "id": id, "name": field("name"), "workspace": field("workspace") });
            (id, agent)
        });
        let files = self.files.iter().map(|(id, files)| {
            let files = files.iter().map(|(name, file)| (name.clone(), file.content.clone().into()));
            (id.clone(), files.collect::<Map<_, _>>().into())
        });
        let sessions = self
            .sessions
            .iter()
            .map(|(key, session)| (key.clone(), json!({ "label": session.label, "resets": session.resets })));
        json!({
            "agents": agents.collect::<Map<_, _>>(),
            "config": self.config,
            "files": files.collect::<Map<_, _>>(),
            "sessions": sessions.collect::<Map<_, _>>(),
        })
    }
}

/// What a fresh gateway of that version has in its configuration file.
fn smallest_config(profile: Profile, port: u16) -> Value {
    match profile {
        Profile::Scenario => json!({}),
        Profile::V2026_2_9 | Profile::V2026_3_13 | Profile::V2026_6_11 | Profile::V2026_9_6 => json!({
            "gateway": { "mode": "local", "bind": "loopback", "port": port, "auth": { "mode": "token", "token": "…" } },
            "agents": { "defaults": { "workspace": format!("{BASE}/workspace") } },
            "discovery": { "mdns": { "mode": "off" } },
            "logging": { "file": format!("{BASE}/openclaw.log") },
            "update": { "checkOnStart": false },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::normalised_id;

    #[test]
    fn ids_are_slugs() {
        assert_eq!(normalised_id("Bob Ünï Smith!"), "bob-n-smith");
        assert_eq!(normalised_id("!!!"), "");
        assert_eq!(normalised_id(&format!("mc-{}", "x".repeat(100))).len(), 64);
        assert_eq!(normalised_id("a-!?b_C"), "a--b_c");
    }
}
