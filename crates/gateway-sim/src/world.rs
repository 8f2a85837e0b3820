//! The state of a gateway: the roster of agents, their files, the sessions and the configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    agents::session_agent,
    answer::{Outcome, Refusal},
    config::config_path,
    deleted::Deleted,
    disk::{Disk, File, Files},
    effects::Effects,
    host::Host,
    options::Options,
    profile::Profile,
    setup::Setup,
};

/// The folder of the gateway's files in its answers; nothing is ever written there.
pub(crate) const BASE: &str = "/srv/openclaw";

/// The state that a call can read or change.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) profile: Profile,
    pub(crate) options: Options,
    pub(crate) default_id: String,
    pub(crate) accepted: Vec<String>,
    pub(crate) listed: Vec<String>,
    pub(crate) host: Host,
    /// The configuration file as it is written.
    pub(crate) file: Value,
    /// The file as of its last reload.
    pub(crate) taken: Value,
    /// The configuration as of its last reload, with all references resolved.
    pub(crate) running: Value,
    /// The file as of the process start.
    pub(crate) started_with: Value,
    /// `true` if a write requires an immediate restart.
    pub(crate) must_restart: bool,
    /// The separate registry by agent id, if the agents are not in the configuration.
    pub(crate) registry: Option<Map<String, Value>>,
    pub(crate) disk: Disk,
    /// The files of agents that do not exist yet.
    waiting: BTreeMap<String, Files>,
    /// The agents that no patch may change.
    pub(crate) refused_agents: BTreeMap<String, Refusal>,
    /// The agents whose workspaces have old setup state.
    pub(crate) unmigrated: BTreeSet<String>,
    pub(crate) sessions: BTreeMap<String, Session>,
    /// The agents with a folder among the gateway's state.
    pub(crate) known: BTreeSet<String>,
    pub(crate) deleted: Deleted,
    /// `true` until a repair, so that `main` cannot be deleted; from 2026.8.
    pub(crate) main_owns_logins: bool,
    /// The idempotency keys of the chat runs that were started.
    pub(crate) runs: BTreeSet<String>,
    /// The time of the latest session update, in ms; no two updates have the same.
    latest_ms: u64,
    pub(crate) effects: Effects,
}

/// The state of a session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) label: Option<String>,
    pub(crate) resets: u64,
    pub(crate) created_at_ms: u64,
    pub(crate) updated_at_ms: u64,
    pub(crate) revision: String,
}

impl Session {
    pub(crate) fn new(label: Option<String>) -> Self {
        let now = now_ms();
        Self {
            id: random_id(),
            label,
            resets: 0,
            created_at_ms: now,
            updated_at_ms: now,
            revision: random_id(),
        }
    }
}

/// Returns the current time in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Returns a new unique id.
pub(crate) fn random_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Returns the id that a gateway derives from a name: lower case, runs of other characters become
/// `-`, at most 64 characters. The id is empty if nothing is left.
pub(crate) fn normalised_id(name: &str) -> String {
    let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let lower = name.to_lowercase();
    let runs: Vec<&str> = lower.split(|c| !is_valid(c)).filter(|run| !run.is_empty()).collect();
    runs.join("-").trim_matches('-').chars().take(64).collect()
}

impl World {
    pub(crate) fn new(setup: &Setup, port: u16) -> Self {
        let profile = setup.profile;
        let file = if setup.config.is_null() {
            smallest_config(profile, port)
        } else {
            setup.config.clone()
        };
        let names = |own: String| -> Vec<String> {
            let own = || own.split_whitespace().map(str::to_owned).collect();
            setup.supported_files.clone().unwrap_or_else(own)
        };
        let registry = setup.agents.iter().map(|(id, agent)| {
            let fields = [("name", &agent.name), ("workspace", &agent.workspace)];
            let given = fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
            (id.clone(), given.collect())
        });
        let files = setup.files.iter().map(|(id, files)| {
            (id.clone(), files.iter().map(|(name, text)| (name.clone(), File::new(text))).collect())
        });
        let sessions = setup.sessions.iter().map(|(key, session)| {
            (key.clone(), Session { resets: session.resets, ..Session::new(session.label.clone()) })
        });
        let keys = setup.sessions.keys();
        let host = Host::new(setup, config_path());
        let mut world = Self {
            profile,
            default_id: setup.default_id.clone().unwrap_or_else(|| "main".into()),
            accepted: names(profile.accepted_files()),
            listed: names(profile.listed_files()),
            running: host.resolved(&file),
            file,
            host,
            registry: (!setup.options.link_agents_config).then(|| registry.collect()),
            waiting: files.collect(),
            refused_agents: setup.refused_agents.clone(),
            unmigrated: setup.unmigrated.iter().cloned().collect(),
            known: keys.filter_map(|key| session_agent(key)).map(str::to_owned).collect(),
            sessions: sessions.collect(),
            main_owns_logins: true,
            options: setup.options.clone(),
            ..Self::default()
        };
        world.taken = world.known_part(&world.file);
        world.started_with = world.taken.clone();
        world.house_files();
        world
    }

    /// Moves the files that wait for an agent into its folder once it exists.
    pub(crate) fn house_files(&mut self) {
        for (owner, files) in std::mem::take(&mut self.waiting) {
            let folder = if owner.starts_with(['/', '~']) {
                Some(self.host.folder(&owner))
            } else if self.profile == Profile::Scenario {
                Some(owner.clone())
            } else {
                self.agent(&owner).map(|entry| self.folder(&owner, &entry))
            };
            match folder {
                Some(folder) => self.disk.make(&folder, &owner).extend(files),
                None => drop(self.waiting.insert(owner, files)),
            }
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
            "sessions.reset" => self.reset_session(params),
            "sessions.delete" => self.delete_session(params),
            "chat.send" => self.send_chat(params),
            _ => Err(Refusal::invalid(format!("unknown method: {method}"))),
        }
    }

    /// Returns the time of a session update: now, but later than the previous one, so that sessions
    /// are ordered.
    pub(crate) fn update_ms(&mut self) -> u64 {
        self.latest_ms = now_ms().max(self.latest_ms + 1);
        self.latest_ms
    }

    /// Returns the agents, the configuration, the files and the sessions in a readable form.
    pub(crate) fn snapshot(&self) -> Value {
        let agents = self.roster().into_iter().map(|(id, entry)| {
            let (name, workspace) = (entry.get("name"), entry.get("workspace"));
            (id.clone(), json!({ "id": id, "name": name, "workspace": workspace }))
        });
        let sessions = self.sessions.iter().map(|(key, session)| {
            (key, json!({ "label": session.label, "resets": session.resets }))
        });
        json!({
            "agents": agents.collect::<Value>(),
            "config": self.file,
            "files": self.files_by_agent(),
            "sessions": sessions.collect::<Value>(),
        })
    }

    /// Returns the content of each folder and of the trash.
    pub(crate) fn disk_snapshot(&self) -> Value {
        let folders = self.disk.folders().map(|(path, _, files)| (path, shown(files)));
        let trash = self.disk.trashed().iter().map(|(path, files)| (path, shown(files)));
        json!({ "folders": folders.collect::<Value>(), "trash": trash.collect::<Value>() })
    }

    /// Performs the repairs of `openclaw doctor --fix`.
    pub(crate) fn repair(&mut self) {
        self.unmigrated.clear();
        self.deleted.clear();
        self.main_owns_logins = false;
    }

    /// Returns the files of each agent that has some. A folder without an agent counts as that of
    /// the agent for which it was last written.
    fn files_by_agent(&self) -> Map<String, Value> {
        let mut by_agent = Map::new();
        let roster = self.roster();
        let homes: BTreeSet<String> =
            roster.iter().map(|(id, entry)| self.folder(id, entry)).collect();
        for (id, entry) in &roster {
            let files = self.disk.files(&self.folder(id, entry));
            by_agent.extend(files.map(|files| (id.clone(), shown(files))));
        }
        for (folder, owner, files) in
            self.disk.folders().filter(|(folder, _, _)| !homes.contains(*folder))
        {
            let owner = if owner.is_empty() { folder } else { owner };
            by_agent.entry(owner.to_owned()).or_insert_with(|| shown(files));
        }
        by_agent
    }
}

/// Returns the contents of files, by name.
fn shown(files: &Files) -> Value {
    files.iter().map(|(name, file)| (name, file.content.as_str())).collect()
}

/// Returns the smallest configuration file of a fresh gateway with this version.
fn smallest_config(profile: Profile, port: u16) -> Value {
    if profile == Profile::Scenario {
        return json!({});
    }
    json!({
        "gateway": {
            "mode": "local", "bind": "loopback", "port": port,
            "auth": { "mode": "token", "token": "…" },
        },
        "agents": { "defaults": { "workspace": format!("{BASE}/workspace") } },
        "discovery": { "mdns": { "mode": "off" } },
        "logging": { "file": format!("{BASE}/openclaw.log") },
        "update": { "checkOnStart": false },
    })
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
