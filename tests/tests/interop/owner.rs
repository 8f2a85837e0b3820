//! A gateway whose owner has a config with comments, references to the environment, an included
//! file, agents with tools and a sandbox, bindings, channels and hooks. The worker adds agents and
//! removes them. Nothing of the owner's may change, except what any write changes on this version,
//! including the owner's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::version::{Roster, Version};

/// The environment of the gateway, from the file `.env` in its state folder.
const VARIABLES: [(&str, &str); 4] = [
    ("OWNER_TELEGRAM_TOKEN", "123456:telegram-secret"),
    ("OWNER_MODEL_KEY", "model-secret"),
    ("OWNER_HOOK_TOKEN", "hook-secret-1234567890"),
    ("OWNER_TEAM", "Operations"),
];
/// The text of the included file.
const INCLUDED: &str = "// Included.\n{ ackReaction: \"👀\" }\n";

/// A change that a version's own writes make in a config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Loss {
    /// All comments are removed.
    Comments,
    /// A path that began with `~` is expanded.
    Home,
    /// The text of an included file replaces its `$include`.
    Include,
    /// A value replaces the `${NAME}` that named it.
    Variable,
}

impl Loss {
    /// Describes what the version does.
    pub fn description(self) -> &'static str {
        match self {
            Self::Comments => "drops comments",
            Self::Home => "writes `~` out in full",
            Self::Include => "puts included files in place of their `$include`",
            Self::Variable => "puts values in place of `${NAME}`, also secrets",
        }
    }
}

/// The owner's config before anybody else wrote it.
pub struct Owner {
    folder: PathBuf,
    config: Value,
}

impl Owner {
    /// Writes the config of a gateway that will be started in the folder.
    pub fn of(version: &Version, folder: &Path) -> Self {
        fs::create_dir_all(folder.join("state")).unwrap();
        let token = uuid::Uuid::new_v4().simple().to_string();
        fs::write(folder.join("token"), &token).unwrap();
        let variables = VARIABLES.map(|(name, value)| format!("{name}={value}\n")).concat();
        fs::write(folder.join("state/.env"), format!("{variables}OWNER_GATEWAY_TOKEN={token}\n"))
            .unwrap();
        fs::write(folder.join("messages.json5"), INCLUDED).unwrap();
        let owner = Self { folder: folder.to_owned(), config: config(version, folder) };
        // Gateways read JSON with comments.
        let text = serde_json::to_string_pretty(&owner.config).unwrap();
        let text = text.replace(
            "  \"agents\": {",
            "  // My agents; do not lose this comment.\n  \"agents\": {",
        );
        fs::write(owner.file(), format!("// My gateway.\n{text}\n")).unwrap();
        owner
    }

    /// Returns how the config has changed so far. Fails if it changed in other ways than versions
    /// change it by themselves.
    pub fn losses(&self, case: &str) -> BTreeSet<Loss> {
        let text = fs::read_to_string(self.file()).unwrap();
        let mut compared = Comparison { owner: self, case, losses: BTreeSet::new() };
        if !text.contains("// My gateway.") {
            compared.losses.insert(Loss::Comments);
        }
        let without_comments: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        let now: Value = serde_json::from_str(&without_comments).unwrap();
        compared.object("", &self.config, &now);
        compared.losses
    }

    /// Replaces the `$include` by the text of the included file, as the owner does when asked to.
    pub fn inline_includes(&mut self) {
        self.config["messages"] = included();
        let text = fs::read_to_string(self.file()).unwrap();
        let include = "{\n    \"$include\": \"./messages.json5\"\n  }";
        assert!(text.contains(include), "{text}");
        fs::write(self.file(), text.replace(include, &included().to_string())).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.join("openclaw.json")
    }

    fn home(&self) -> String {
        self.folder.join("home").to_str().unwrap().to_owned()
    }
}

/// A comparison of what the owner wrote with the current config.
struct Comparison<'a> {
    owner: &'a Owner,
    case: &'a str,
    losses: BTreeSet<Loss>,
}

impl Comparison<'_> {
    /// Compares two objects. Gateways add keys of their own, so `now` may have more keys than
    /// `then`, except in an agent's entry.
    fn object(&mut self, path: &str, then: &Value, now: &Value) {
        let then = then.as_object().unwrap();
        let is_of_agent = path.starts_with(".agents.list.") || path.starts_with(".agents.entries.");
        if is_of_agent {
            assert_eq!(
                now.as_object().map(serde_json::Map::len),
                Some(then.len()),
                "{}: {path}: {now}",
                self.case
            );
        }
        for (key, then) in then {
            self.value(&format!("{path}.{key}"), then, &now[key]);
        }
    }

    fn value(&mut self, path: &str, then: &Value, now: &Value) {
        match then {
            _ if then == now => {}
            Value::Object(_) if then.get("$include").is_some() => {
                self.object(path, &included(), now);
                self.losses.insert(Loss::Include);
            }
            Value::Object(_) => self.object(path, then, now),
            Value::Array(then) if path == ".agents.list" => self.roster(path, then, now),
            Value::Array(then) => {
                assert_eq!(
                    now.as_array().map(Vec::len),
                    Some(then.len()),
                    "{}: {path}: {now}",
                    self.case
                );
                for (number, then) in then.iter().enumerate() {
                    self.value(&format!("{path}[{number}]"), then, &now[number]);
                }
            }
            Value::String(then) => {
                let loss = self.written_out(then, now);
                self.losses.insert(
                    loss.unwrap_or_else(|| panic!("{}: {path}: {then:?} is {now}", self.case)),
                );
            }
            _ => panic!("{}: {path}: {then} is {now}", self.case),
        }
    }

    /// Finds the owner's agents among others.
    fn roster(&mut self, path: &str, then: &[Value], now: &Value) {
        for then in then {
            let is_same = |now: &&Value| now["id"] == then["id"];
            let now = now.as_array().and_then(|now| now.iter().find(is_same));
            self.value(&format!("{path}.{}", then["id"]), then, now.unwrap_or(&Value::Null));
        }
    }

    fn written_out(&self, then: &str, now: &Value) -> Option<Loss> {
        let expanded = VARIABLES.iter().fold(then.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value)
        });
        let token = fs::read_to_string(self.owner.folder.join("token")).unwrap();
        if expanded.replace("${OWNER_GATEWAY_TOKEN}", &token) == *now {
            return Some(Loss::Variable);
        }
        (then.replacen('~', &self.owner.home(), 1) == *now).then_some(Loss::Home)
    }
}

fn included() -> Value {
    json!({ "ackReaction": "👀" })
}

/// Returns a config with the features that people use.
fn config(version: &Version, folder: &Path) -> Value {
    let main = json!({
        "workspace": folder.join("owner/main"), "identity": { "name": "Clawd", "emoji": "🦞" }
    });
    let ops = json!({
        "name": "${OWNER_TEAM}", "workspace": "~/owner/ops",
        "model": { "primary": "anthropic/claude-sonnet-4-5", "fallbacks": ["openrouter/auto"] },
        "identity": { "name": "Ops", "emoji": "🛠", "theme": "calm" },
        "tools": { "profile": "coding", "deny": ["browser"], "exec": { "host": "gateway" } },
        "sandbox": { "mode": "off", "scope": "agent", "docker": { "env": {
            "MODEL_KEY": "${OWNER_MODEL_KEY}", "PLAIN_KEY": "plain-secret",
        } } },
        "subagents": { "allowAgents": ["main"] },
        "groupChat": { "mentionPatterns": ["@ops"] },
        "heartbeat": { "every": "45m", "target": "last", "prompt": "Look after ${OWNER_TEAM}." },
    });
    let mut agents = json!({ "defaults": {
        "workspace": folder.join("workspace"), "heartbeat": { "every": "1h" },
        "model": { "primary": "anthropic/claude-opus-4-5", "fallbacks": ["openrouter/auto"] },
    } });
    match version.roster {
        Roster::List => {
            agents["list"] = json!([
                with(json!({ "id": "main", "default": true }), main),
                with(json!({ "id": "ops" }), ops)
            ]);
        }
        Roster::Entries => {
            agents["ownership"] = json!("explicit");
            agents["entries"] = json!({ "main": main, "ops": ops });
            agents["defaults"]["systemAgent"] = json!({ "agentId": "main" });
        }
    }
    let mut config = json!({
        "gateway": {
            "mode": "local", "bind": "loopback", "trustedProxies": ["127.0.0.2"],
            "auth": { "mode": "token", "token": "${OWNER_GATEWAY_TOKEN}" },
        },
        "agents": agents,
        "channels": {
            "telegram": {
                "enabled": false, "botToken": "${OWNER_TELEGRAM_TOKEN}", "dmPolicy": "pairing",
                "groups": { "*": { "requireMention": true } },
            },
            "discord": { "enabled": false, "token": "discord-secret" },
        },
        "bindings": [
            { "agentId": "ops", "match": { "channel": "telegram" } },
            { "agentId": "main", "match": { "channel": "discord" } },
        ],
        "hooks": { "enabled": true, "token": "${OWNER_HOOK_TOKEN}", "path": "/hooks" },
        "cron": { "enabled": true },
        "env": { "vars": { "OWNER_COLOUR": "blue" } },
        "messages": { "$include": "./messages.json5" },
        "discovery": { "mdns": { "mode": "off" } },
        "logging": { "file": folder.join("openclaw.log") },
        "update": { "checkOnStart": false },
    });
    if let Some(key) = version.visibility() {
        config["channels"]["defaults"] = json!({ key: { "showOk": true } });
    }
    config
}

fn with(mut one: Value, other: Value) -> Value {
    let Value::Object(other) = other else { panic!("not an object: {other}") };
    one.as_object_mut().unwrap().extend(other);
    one
}
