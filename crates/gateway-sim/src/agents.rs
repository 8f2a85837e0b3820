//! `agents.list`, `agents.create`, `agents.update`, `agents.delete`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    answer::{Outcome, Refusal},
    profile::Profile,
    world::{BASE, File, World, normalised_id},
};

pub(crate) fn text<'a>(params: &'a Value, name: &str) -> &'a str {
    params[name].as_str().unwrap_or_default()
}

fn not_found(id: &str) -> Refusal {
    Refusal::invalid(format!("agent \"{id}\" not found"))
}

impl World {
    pub(crate) fn list_agents(&self) -> Value {
        let default_id = self.default_id();
        let mut agents = self.roster();
        if self.profile.keeps_list() && self.config["agents"]["list"].as_array().is_none_or(Vec::is_empty) {
            // With no list configured the old gateway looks at the disk, and finds everyone who has a session.
            let known: BTreeSet<&str> = self.sessions.keys().filter_map(|key| session_agent(key)).collect();
            agents.extend(known.into_iter().filter(|id| *id != "main").map(|id| (id.to_owned(), Map::new())));
        }
        if self.profile.is_new() {
            agents.sort_by_key(|(id, _)| (*id != default_id, id.clone()));
        }
        let agents: Vec<Value> = agents.iter().map(|(id, entry)| self.listed(id, entry)).collect();
        let mut answer = json!({ "defaultId": default_id, "mainKey": "main", "scope": "per-sender", "agents": agents });
        if self.profile.is_new() {
            answer["ownership"] = self.ownership().into();
            answer["selectionRequired"] = false.into();
        }
        answer
    }

    /// Does the one agent there is go without saying, or are all configured?
    pub(crate) fn ownership(&self) -> &str {
        self.config["agents"]["ownership"].as_str().unwrap_or("sole")
    }

    fn listed(&self, id: &str, entry: &Map<String, Value>) -> Value {
        let mut agent = Map::from_iter([("id".to_owned(), id.into())]);
        agent.extend(entry.get("name").map(|name| ("name".to_owned(), name.clone())));
        if self.profile.is_new() {
            agent.extend(entry.get("identity").map(|identity| ("identity".to_owned(), identity.clone())));
            agent.insert("workspace".into(), self.workspace(id, entry).into());
        }
        agent.into()
    }

    pub(crate) fn create_agent(&mut self, params: &Value) -> Outcome {
        let name = text(params, "name");
        let mut id = normalised_id(name);
        if self.profile.is_new() {
            if id.is_empty() {
                return Err(Refusal::invalid(format!(
                    "Agent name \"{name}\" has no valid id characters. Use at least one letter a-z or digit."
                )));
            }
        } else {
            if id.is_empty() {
                id = "main".into();
            }
            if id == "main" && self.profile.keeps_list() {
                return Err(Refusal::invalid("\"main\" is reserved"));
            }
        }
        if self.agent(&id).is_some() {
            return Err(Refusal::invalid(format!("agent \"{id}\" already exists")));
        }
        let workspace = match params["workspace"].as_str() {
            Some(path) => path.to_owned(),
            None => self.workspace(&id, &Map::new()),
        };
        self.refuse_unwritable(&workspace)?;

        self.deleted.remove(&id);
        self.make_roster_explicit();
        let mut entry = json!({ "name": name, "workspace": workspace });
        if self.profile != Profile::Scenario {
            entry["agentDir"] = format!("{BASE}/state/agents/{id}/agent").into();
        }
        if self.profile.names_identities() {
            entry["identity"] = json!({ "name": name });
            if let Some(emoji) = params.get("emoji") {
                entry["identity"]["emoji"] = emoji.clone();
            }
        }
        self.put_agent(&id, entry.as_object().cloned().unwrap_or_default());
        self.seed_files(&id);
        self.roster_changed();
        Ok(json!({ "ok": true, "agentId": id, "name": name, "workspace": workspace }))
    }

    /// A workspace below the configuration file cannot be made: the one failure of that kind there is on every host.
    fn refuse_unwritable(&self, workspace: &str) -> Result<(), Refusal> {
        let impossible = workspace.starts_with(&format!("{BASE}/openclaw.json/")) && self.profile != Profile::Scenario;
        let message = match (impossible, self.profile.is_new()) {
            (false, _) => return Ok(()),
            (true, false) => format!("Error: ENOTDIR: not a directory, mkdir '{workspace}': code=ENOTDIR"),
            (true, true) => format!(
                "StartupMaintenanceRequiredError: Legacy workspace setup state requires migration for {workspace}; \
                 run openclaw doctor --fix.: code=gateway.maintenance_required"
            ),
        };
        Err(Refusal::new("UNAVAILABLE", message))
    }

    /// Before a second agent is added, the one that existed without being configured is written down.
    fn make_roster_explicit(&mut self) {
        if !self.roster_is_config() {
            return;
        }
        let agents = &self.config["agents"];
        if self.profile.keeps_list() && agents["list"].as_array().is_none_or(Vec::is_empty) {
            self.put_agent("main", Map::new());
        } else if self.profile.is_new() && agents["ownership"] != "explicit" {
            let workspace = self.workspace("main", &Map::new());
            self.put_agent("main", Map::from_iter([("workspace".into(), workspace.into())]));
            let agents = &mut self.config["agents"];
            agents["ownership"] = "explicit".into();
            agents["defaults"]["systemAgent"] = json!({ "agentId": "main" });
            agents["defaults"]["heartbeat"]["agentId"] = "main".into();
            self.config["talk"]["agentId"] = "main".into();
        }
    }

    fn seed_files(&mut self, id: &str) {
        let seeds = self.options.seed_files_on_create.clone().unwrap_or_else(|| {
            let seed = |name: &&str| ((*name).to_owned(), format!("# {name}\n\nSeeded by the gateway.\n"));
            self.profile.seeded_files().iter().map(seed).collect()
        });
        for (name, content) in seeds {
            // As on a real gateway, what is in the directory already stays.
            self.files.entry(id.to_owned()).or_default().entry(name).or_insert_with(|| File::new(&content));
        }
    }

    pub(crate) fn update_agent(&mut self, params: &Value) -> Outcome {
        let id = normalised_id(text(params, "agentId"));
        let entry = self.agent(&id).ok_or_else(|| not_found(&id))?;
        let mut fields = Map::new();
        for field in ["name", "workspace", "model"] {
            let given = params.get(field).filter(|value| *value != "");
            fields.extend(given.map(|value| (field.to_owned(), value.clone())));
        }
        if let (true, Some(name)) = (self.profile.names_identities(), params.get("name")) {
            let mut identity = entry.get("identity").and_then(Value::as_object).cloned().unwrap_or_default();
            identity.insert("name".into(), name.clone());
            fields.insert("identity".into(), identity.into());
        }
        self.put_agent(&id, fields);
        self.roster_changed();
        Ok(json!({ "ok": true, "agentId": id }))
    }

    pub(crate) fn delete_agent(&mut self, params: &Value) -> Outcome {
        let id = normalised_id(text(params, "agentId"));
        if id == "main" && self.profile != Profile::Scenario {
            let message = if self.profile.is_new() {
                "Agent \"main\" owns the legacy shared auth store and cannot be deleted. Run openclaw doctor --fix to \
                 migrate shared auth, then retry."
            } else {
                "\"main\" cannot be deleted"
            };
            return Err(Refusal::invalid(message));
        }
        let entry = self.agent(&id).ok_or_else(|| not_found(&id))?;
        let with_files = params["deleteFiles"].as_bool().unwrap_or(true);
        let mut answer = json!({ "ok": true, "agentId": id, "removedBindings": 0 });
        if self.profile.is_new() {
            answer["removed"] = if with_files { trashed(&id, &self.workspace(&id, &entry)) } else { json!([]) };
            answer["failed"] = json!([]);
        }
        self.remove_agent(&id);
        if self.profile.is_new() {
            self.deleted.insert(id.clone());
        }
        if with_files {
            self.files.remove(&id);
        }
        if with_files && self.profile.is_new() {
            self.sessions.retain(|key, _| session_agent(key) != Some(&id));
        }
        self.roster_changed();
        Ok(answer)
    }

    fn roster_changed(&mut self) {
        if self.roster_is_config() {
            self.wrote_config();
        }
    }
}

/// What the new gateway reports as removed with an agent.
fn trashed(id: &str, workspace: &str) -> Value {
    let state = format!("{BASE}/state/agents/{id}");
    let store = format!("{state}/agent/openclaw-agent.sqlite");
    let item = |path: String, method: &str| json!({ "path": path, "method": method });
    json!([
        item(store.clone(), "trash"),
        item(format!("{store}-journal"), "missing"),
        item(format!("{store}-shm"), "missing"),
        item(format!("{store}-wal"), "missing"),
        item(format!("{state}/agent"), "trash"),
        item(format!("{state}/sessions"), "trash"),
        item(workspace.to_owned(), "trash"),
    ])
}

/// The agent a session key belongs to: `agent:<id>:<rest>`.
pub(crate) fn session_agent(key: &str) -> Option<&str> {
    key.strip_prefix("agent:")?.split(':').next()
}
