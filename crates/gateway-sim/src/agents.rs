//! The methods `agents.list`, `agents.create`, `agents.update` and `agents.delete`.

use serde_json::{Map, Value, json};

use crate::{
    agents_config::Draft,
    answer::{Outcome, Refusal},
    disk::File,
    host::is_within,
    profile::Profile,
    world::{BASE, World, normalised_id},
};

pub(crate) fn text<'a>(params: &'a Value, name: &str) -> &'a str {
    params[name].as_str().unwrap_or_default()
}

pub(crate) fn not_found(id: &str) -> Refusal {
    Refusal::invalid(format!("agent \"{id}\" not found"))
}

impl World {
    pub(crate) fn list_agents(&self) -> Value {
        let default_id = self.default_id();
        let mut agents = self.roster();
        if self.profile.keeps_list()
            && self.running["agents"]["list"].as_array().is_none_or(Vec::is_empty)
        {
            // Without a configured list, the old gateway lists the agents it finds on the disk.
            agents.extend(
                self.known.iter().filter(|id| *id != "main").map(|id| (id.clone(), Map::new())),
            );
        }
        if self.profile.is_new() {
            agents.sort_by_key(|(id, _)| (*id != default_id, id.clone()));
        }
        let agents: Vec<Value> = agents.iter().map(|(id, entry)| self.listed(id, entry)).collect();
        let mut answer = json!({
            "defaultId": default_id, "mainKey": "main", "scope": "per-sender", "agents": agents,
        });
        if self.profile.is_new() {
            answer["ownership"] = self.ownership().into();
            answer["selectionRequired"] = false.into();
        }
        answer
    }

    /// Returns the `ownership` of the configuration, which is `sole` if absent.
    pub(crate) fn ownership(&self) -> &str {
        self.running["agents"]["ownership"].as_str().unwrap_or("sole")
    }

    fn listed(&self, id: &str, entry: &Map<String, Value>) -> Value {
        let mut agent = Map::from_iter([("id".to_owned(), id.into())]);
        agent.extend(entry.get("name").map(|name| ("name".to_owned(), name.clone())));
        if self.profile.is_new() {
            agent.extend(
                entry.get("identity").map(|identity| ("identity".to_owned(), identity.clone())),
            );
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
                    "Agent name \"{name}\" has no valid id characters. Use at least one letter \
                        a-z or digit."
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
        let is_written = self.profile.is_new() && self.file["agents"]["entries"].get(&id).is_some();
        if is_written || self.agent(&id).is_some() {
            return Err(Refusal::invalid(format!("agent \"{id}\" already exists")));
        }
        let workspace = match params["workspace"].as_str() {
            Some(path) => path.to_owned(),
            None => self.workspace(&id, &Map::new()),
        };
        self.refuse_impossible("agents.create", &id, &workspace)?;

        let mut draft = Draft::new(self.profile, self.base_of_calls());
        self.make_roster_explicit(&mut draft);
        let mut entry = json!({ "name": name, "workspace": workspace });
        if self.profile != Profile::Scenario {
            entry["agentDir"] = format!("{BASE}/state/agents/{id}/agent").into();
        }
        if self.profile >= Profile::V2026_5_7 {
            entry["identity"] = json!({ "name": name });
            if let Some(emoji) = params.get("emoji") {
                entry["identity"]["emoji"] = emoji.clone();
            }
        }
        let entry = entry.as_object().cloned().unwrap_or_default();
        self.deleted.forget(&id);
        self.put_agent("agents.create", draft, &id, entry.clone())?;
        self.known.insert(id.clone());
        self.effects.creates.push(id.clone());
        self.seed_files(&id, &entry);
        if self.profile.keeps_list() {
            self.name_identity(&id, &entry, name);
        }
        Ok(json!({ "ok": true, "agentId": id, "name": name, "workspace": workspace }))
    }

    /// Sets fields of an agent in the draft and writes the draft, or sets them in the registry if
    /// the agents are there.
    fn put_agent(
        &mut self,
        by: &str,
        mut draft: Draft,
        id: &str,
        fields: Map<String, Value>,
    ) -> Result<(), Refusal> {
        if let Some(registry) = &mut self.registry {
            let place = registry.entry(id).or_insert_with(|| json!({}));
            place.as_object_mut().expect("entries are objects").extend(fields);
            Ok(())
        } else {
            draft.put(id, fields);
            self.write(by, draft.config)
        }
    }

    /// Adds the implicit agent to the draft before a second agent is added.
    fn make_roster_explicit(&self, draft: &mut Draft) {
        if !self.roster_is_config() {
            return;
        }
        let agents = &draft.config["agents"];
        if self.profile.keeps_list() && agents["list"].as_array().is_none_or(Vec::is_empty) {
            draft.put("main", Map::new());
        } else if self.profile.is_new() && agents["ownership"] != "explicit" {
            let workspace = self.workspace("main", &Map::new());
            draft.put("main", Map::from_iter([("workspace".into(), workspace.into())]));
            let agents = &mut draft.config["agents"];
            agents["ownership"] = "explicit".into();
            agents["defaults"]["systemAgent"] = json!({ "agentId": "main" });
            agents["defaults"]["heartbeat"]["agentId"] = "main".into();
            draft.config["talk"]["agentId"] = "main".into();
        }
    }

    fn seed_files(&mut self, id: &str, entry: &Map<String, Value>) {
        let seeds =
            self.options.seed_files_on_create.clone().unwrap_or_else(|| self.profile.seeds());
        let folder = self.folder(id, entry);
        let files = self.disk.make(&folder, id);
        for (name, content) in seeds {
            // As on a real gateway, an existing file stays.
            files.entry(name).or_insert_with(|| File::new(&content));
        }
    }

    /// Writes the name into the seeded file that has a line for it.
    fn name_identity(&mut self, id: &str, entry: &Map<String, Value>, name: &str) {
        let folder = self.folder(id, entry);
        let Some(identity) = self.disk.file(&folder, "IDENTITY.md") else { return };
        let is_name = |line: &str| line.starts_with("- **Name:**") || line.starts_with("- Name: ");
        let lines = identity.content.split('\n');
        let named = lines
            .map(|line| if is_name(line) { format!("- Name: {name}") } else { line.to_owned() });
        let named = named.collect::<Vec<_>>().join("\n");
        if named != identity.content {
            self.disk.make(&folder, id).insert("IDENTITY.md".into(), File::new(&named));
        }
    }

    pub(crate) fn update_agent(&mut self, params: &Value) -> Outcome {
        let id = normalised_id(text(params, "agentId"));
        let entry = self.agent(&id).ok_or_else(|| not_found(&id))?;
        if let (Some(name), true) = (params["name"].as_str(), self.profile != Profile::Scenario) {
            self.name_identity(&id, &entry, name);
        }
        let mut fields = Map::new();
        for field in ["name", "workspace", "model"] {
            let given = params.get(field).filter(|value| *value != "");
            fields.extend(given.map(|value| (field.to_owned(), value.clone())));
        }
        if let Some(name) = params.get("name")
            && self.profile >= Profile::V2026_5_7
        {
            let mut identity =
                entry.get("identity").and_then(Value::as_object).cloned().unwrap_or_default();
            identity.insert("name".into(), name.clone());
            fields.insert("identity".into(), identity.into());
        }
        let draft = Draft::new(self.profile, self.base_of_calls());
        self.put_agent("agents.update", draft, &id, fields)?;
        Ok(json!({ "ok": true, "agentId": id }))
    }

    pub(crate) fn delete_agent(&mut self, params: &Value) -> Outcome {
        let id = normalised_id(text(params, "agentId"));
        self.refuse_deleting(&id)?;
        let entry = self.agent(&id).ok_or_else(|| not_found(&id))?;
        let with_files = params["deleteFiles"].as_bool().unwrap_or(true);
        let folder = self.folder(&id, &entry);
        let looks = !self.profile.keeps_list() || self.profile >= Profile::V2026_5_7;
        let trashes = with_files && !(looks && self.is_shared(&id, &folder));
        let mut draft = Draft::new(self.profile, self.base_of_calls());
        self.make_roster_explicit(&mut draft);
        let removed_bindings = draft.unbind(&id);
        let mut answer = json!({ "ok": true, "agentId": id, "removedBindings": removed_bindings });
        if self.profile.is_new() {
            let workspace = trashes.then(|| self.workspace(&id, &entry));
            answer["removed"] = if with_files { self.trashed(&id, workspace) } else { json!([]) };
            answer["failed"] = json!([]);
            if self.loses_sessions() {
                answer["purgeFailed"] = true.into();
            }
            if draft.config["agents"]["defaults"]["systemAgent"]["agentId"] == id.as_str() {
                let defaults =
                    draft.config.pointer_mut("/agents/defaults").and_then(Value::as_object_mut);
                defaults.and_then(|defaults| defaults.shift_remove("systemAgent"));
            }
        }
        if let Some(registry) = &mut self.registry {
            registry.shift_remove(&id);
        } else {
            let place = draft.remove(&id);
            if let Some(place) = place.filter(|_| self.profile != Profile::V2026_2_9) {
                draft.resolve_from(place, &self.host);
            }
            if self.profile == Profile::V2026_8_2 {
                draft.settle();
            }
            self.write("agents.delete", draft.config)?;
        }
        if self.profile.is_new() {
            let had_sessions = self.sessions.keys().any(|key| session_agent(key) == Some(&id));
            self.deleted.bury(&id, with_files, had_sessions && self.loses_sessions());
        }
        if trashes {
            let gone = self.disk.trash(&folder);
            self.effects.trashed.extend(gone);
        }
        if with_files && self.profile.is_new() {
            self.sessions.retain(|key, _| session_agent(key) != Some(&id));
        }
        self.effects.deletes.push(id);
        Ok(answer)
    }

    /// Returns the items that the new gateway reports as removed with an agent.
    fn trashed(&self, id: &str, workspace: Option<String>) -> Value {
        let state = format!("{BASE}/state/agents/{id}");
        let store = format!("{state}/agent/openclaw-agent.sqlite");
        let item = |path: String, method: &str| json!({ "path": path, "method": method });
        // These are the files of an open database, and a folder that only `agents.create` creates.
        let log = if self.profile == Profile::V2026_8_2 { "trash" } else { "missing" };
        let sessions =
            if self.effects.creates.iter().any(|own| own == id) { "trash" } else { "missing" };
        let mut items = vec![
            item(store.clone(), "trash"),
            item(format!("{store}-journal"), "missing"),
            item(format!("{store}-shm"), log),
            item(format!("{store}-wal"), log),
            item(format!("{state}/agent"), "trash"),
            item(format!("{state}/sessions"), sessions),
        ];
        items.extend(workspace.map(|path| item(path, "trash")));
        items.into()
    }

    /// Refuses to delete `main`: always on gateways that keep a list, and on later ones while it
    /// owns the logins of an older version.
    fn refuse_deleting(&self, id: &str) -> Result<(), Refusal> {
        if id != "main" || self.profile == Profile::Scenario {
            return Ok(());
        }
        if !self.profile.is_new() {
            return Err(Refusal::invalid("\"main\" cannot be deleted"));
        }
        if self.main_owns_logins {
            return Err(Refusal::invalid(
                "Agent \"main\" owns the legacy shared auth store and cannot be deleted. Run \
                    openclaw doctor --fix to migrate shared auth, then retry.",
            ));
        }
        Ok(())
    }

    /// Returns whether another agent has its files in this folder, above it or below it.
    fn is_shared(&self, id: &str, folder: &str) -> bool {
        let others = self.roster().into_iter().filter(|(other, _)| other != id);
        others
            .map(|(other, entry)| self.folder(&other, &entry))
            .any(|other| is_within(&other, folder) || is_within(folder, &other))
    }
}

/// Returns the agent that a session key belongs to: `agent:<id>:<rest>`.
pub(crate) fn session_agent(key: &str) -> Option<&str> {
    key.strip_prefix("agent:")?.split(':').next()
}
