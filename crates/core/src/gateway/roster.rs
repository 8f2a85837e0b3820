//! The part of a gateway's config that the worker looks after: agents, and what channels show of heartbeats.
//!
//! Gateways keep agents in one of two shapes: `agents.list`, an array, up to 2026.7; `agents.entries`, an object by id,
//! from 2026.8. The shape that a config shows is the shape that is written. Old gateways replace arrays and newer ones
//! merge them by id, so a list is always written whole.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::error::GatewayError;
use super::protocol::Method;
use crate::heartbeat;
use crate::keys;
use crate::python::is_truthy;

/// The name in [refused keys](Change) of what channels show of heartbeats.
const VISIBILITY: &str = "channels.defaults.heartbeat";

/// How a config keeps its agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `agents.list`.
    List,
    /// `agents.entries`.
    Entries,
}

impl Shape {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Entries => "entries",
        }
    }
}

/// What the config must say of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredAgent {
    /// Id on the gateway, already as the gateway writes ids.
    pub id: String,
    /// Name for people; none leaves the present one.
    pub name: Option<String>,
    /// Folder on the gateway's machine.
    pub workspace: String,
    /// Heartbeat settings.
    pub heartbeat: Map<String, Value>,
}

/// The fewest writes that make a config as desired.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The merge patch.
    pub patch: Value,
    /// What it writes, for the report.
    pub written: Vec<String>,
}

/// A config as it was read.
#[derive(Debug, Clone)]
pub struct Config {
    /// What a write has to name to be refused when somebody else was faster; some gateways give none.
    pub hash: Option<Value>,
    /// The config with the gateway's defaults.
    pub data: Value,
    /// The file as it stands, where the gateway shows it.
    source: Option<Map<String, Value>>,
    /// How agents are kept; none when there are none and nothing shows.
    pub shape: Option<Shape>,
    list: Vec<Value>,
}

impl Config {
    /// Reads the answer of `config.get`.
    pub fn read(answer: &Value) -> Result<Self, GatewayError> {
        let garbage = |reason: &str| GatewayError::Garbage { method: Method::ConfigGet, reason: reason.to_owned() };
        let answer = answer.as_object().ok_or_else(|| garbage("not an object"))?;
        if answer.get("valid") == Some(&Value::Bool(false)) {
            let issues =
                answer.get("issues").filter(|issues| is_truthy(issues)).map_or_else(String::new, Value::to_string);
            let reason = if issues.is_empty() { "the gateway says so".to_owned() } else { issues };
            return Err(GatewayError::ConfigInvalid { reason: reason.chars().take(400).collect() });
        }
        let data = [answer.get("config"), answer.get("parsed")].into_iter().flatten().find(|data| is_truthy(data));
        let data = match data {
            Some(data @ Value::Object(_)) => data.clone(),
            Some(_) => return Err(garbage("config is not an object")),
            None => json!({}),
        };
        let agents = section(&data, "agents")?;
        let list = match agents.and_then(|agents| agents.get("list")).filter(|list| is_truthy(list)) {
            None => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(_) => return Err(GatewayError::ConfigInvalid { reason: "agents.list is not a list".into() }),
        };
        let has = |key| agents.is_some_and(|agents| agents.contains_key(key));
        let shape = match (has("entries"), has("list")) {
            (true, _) => Some(Shape::Entries),
            (_, true) => Some(Shape::List),
            _ => None,
        };
        let hash = answer.get("hash").filter(|hash| is_truthy(hash)).cloned();
        let source = answer.get("parsed").and_then(Value::as_object).cloned();
        Ok(Self { hash, data, source, shape, list })
    }

    /// The list of agents; empty in the other shape.
    #[must_use]
    pub fn list(&self) -> &[Value] {
        &self.list
    }

    /// The entry of an agent, in either shape.
    #[must_use]
    pub fn agent(&self, id: &str) -> Option<&Map<String, Value>> {
        self.agents().find(|(key, _)| same_agent(key, id)).map(|(_, entry)| entry)
    }

    /// All agents with their ids, in either shape.
    pub fn agents(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        let listed = self.list.iter().filter_map(|entry| {
            let entry = entry.as_object()?;
            Some((entry.get("id")?.as_str()?, entry))
        });
        let entries = self.data.get("agents").and_then(|agents| agents.get("entries")).and_then(Value::as_object);
        let keyed = entries.into_iter().flatten().filter_map(|(id, entry)| Some((id.as_str(), entry.as_object()?)));
        listed.chain(keyed)
    }

    /// The fewest writes that make every agent as desired; none when it is. `refused` names keys that this gateway
    /// does not know, `default_agent` the agent that must stay its default.
    #[must_use]
    pub fn change(
        &self,
        shape: Shape,
        desired: &[DesiredAgent],
        refused: &BTreeSet<String>,
        default_agent: &str,
    ) -> Option<Change> {
        let desired: Vec<DesiredAgent> = desired.iter().map(|agent| without(agent, refused)).collect();
        let mut written = Vec::new();
        let mut patch = Map::new();
        let agents = match shape {
            Shape::List => self.change_list(&desired, default_agent, &mut written),
            Shape::Entries => self.change_entries(&desired, default_agent, &mut written),
        };
        if let Some(agents) = agents {
            patch.insert("agents".into(), agents);
        }
        if !refused.contains(VISIBILITY)
            && let Some(channels) = heartbeat::visibility_patch(&self.data)
        {
            patch.insert("channels".into(), channels);
            written.push(format!("config {VISIBILITY}"));
        }
        (!patch.is_empty()).then(|| Change { patch: Value::Object(patch), written })
    }

    fn change_list(&self, desired: &[DesiredAgent], default: &str, written: &mut Vec<String>) -> Option<Value> {
        let before = written.len();
        for agent in desired {
            let fields = differing(self.agent(&agent.id), agent);
            if !fields.is_empty() {
                written.push(format!("config agents.list {}: {}", agent.id, names(&fields)));
            }
        }
        if written.len() == before {
            return None;
        }
        // What the file says is written back, not what it resolves to: environment variables stay variables.
        let source = self.source.as_ref().and_then(|source| source.get("agents")?.get("list")?.as_array());
        let present = source.map_or(&self.list[..], Vec::as_slice);
        let mut list = updated_list(present, desired);
        if present.is_empty() && !desired.iter().any(|agent| same_agent(&agent.id, default)) {
            // In an empty list the first entry would become the default agent.
            list.insert(0, json!({ "id": default, "default": true }));
        }
        Some(json!({ "list": list }))
    }

    fn change_entries(&self, desired: &[DesiredAgent], default: &str, written: &mut Vec<String>) -> Option<Value> {
        let mut entries = Map::new();
        let mut grows = false;
        for agent in desired {
            let present = self.agents().find(|(key, _)| same_agent(key, &agent.id));
            let fields = differing(present.map(|(_, entry)| entry), agent);
            if !fields.is_empty() {
                written.push(format!("config agents.entries.{}: {}", agent.id, names(&fields)));
                grows |= present.is_none();
                let key = present.map_or(agent.id.as_str(), |(key, _)| key);
                entries.insert(key.to_owned(), Value::Object(fields));
            }
        }
        if entries.is_empty() {
            return None;
        }
        let mut agents = Map::new();
        let present = self.data.get("agents");
        let explicit = present.and_then(|agents| agents.get("ownership")).and_then(Value::as_str) == Some("explicit");
        if grows && !explicit {
            // A config for one agent only has to say so before it takes a second.
            agents.insert("ownership".into(), json!("explicit"));
            entries.entry(default).or_insert_with(|| json!({}));
            if present.and_then(|agents| agents.pointer("/defaults/systemAgent")).is_none() {
                agents.insert("defaults".into(), json!({ "systemAgent": { "agentId": default } }));
            }
        }
        agents.insert("entries".into(), Value::Object(entries));
        Some(Value::Object(agents))
    }
}

/// One desired entry per agent, in order of first mention; the last mention counts.
#[must_use]
pub fn latest(desired: Vec<DesiredAgent>) -> Vec<DesiredAgent> {
    let mut places = HashMap::with_capacity(desired.len());
    let mut agents: Vec<DesiredAgent> = Vec::with_capacity(desired.len());
    for agent in desired {
        match places.entry(agent.id.clone()) {
            Entry::Occupied(place) => agents[*place.get()] = agent,
            Entry::Vacant(place) => {
                place.insert(agents.len());
                agents.push(agent);
            }
        }
    }
    agents
}

/// The list with the desired agents in it: entries keep their order and their other members, entries that are not
/// objects stay as they are, missing agents are appended.
#[must_use]
pub fn updated_list(present: &[Value], desired: &[DesiredAgent]) -> Vec<Value> {
    let mut list = present.to_vec();
    for agent in desired {
        let mut found = false;
        for entry in list.iter_mut().filter_map(Value::as_object_mut) {
            if entry.get("id").and_then(Value::as_str).is_some_and(|id| same_agent(id, &agent.id)) {
                found = true;
                write_into(entry, agent);
            }
        }
        if !found {
            let mut entry = Map::new();
            entry.insert("id".into(), json!(agent.id));
            write_into(&mut entry, agent);
            list.push(Value::Object(entry));
        }
    }
    list
}

/// The names in `refused` for config paths that a gateway did not recognise; none if one of them is not ours to drop.
#[must_use]
pub fn droppable(paths: &[String]) -> Option<BTreeSet<String>> {
    let name = |path: &String| {
        if path.starts_with("channels") {
            return Some(VISIBILITY.to_owned());
        }
        let (_, key) = path.strip_prefix("agents.")?.split_once(".heartbeat.")?;
        let key = key.split('.').next()?;
        (key != "every").then(|| format!("heartbeat.{key}"))
    };
    if paths.is_empty() { None } else { paths.iter().map(name).collect() }
}

/// Keys that a shape is known to come without; saves a write that would be refused.
#[must_use]
pub fn known_refusals(shape: Shape) -> BTreeSet<String> {
    match shape {
        Shape::List => BTreeSet::new(),
        Shape::Entries => [VISIBILITY, "heartbeat.includeReasoning"].map(str::to_owned).into(),
    }
}

/// Whether two values mean the same: numbers by value, so that 1 is 1.0, as JavaScript has it.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && contains(a, b),
        _ => a == b,
    }
}

/// Whether every member of `part` is in `whole` with the same meaning.
fn contains(whole: &Map<String, Value>, part: &Map<String, Value>) -> bool {
    part.iter().all(|(key, value)| whole.get(key).is_some_and(|present| same(present, value)))
}

/// The members of an entry that have to be written. Keys that people added to a heartbeat do not count as a difference.
fn differing(present: Option<&Map<String, Value>>, agent: &DesiredAgent) -> Map<String, Value> {
    let mut fields = Map::new();
    write_into(&mut fields, agent);
    if let Some(present) = present {
        fields.retain(|key, value| match (present.get(key), &*value) {
            (Some(Value::Object(whole)), Value::Object(part)) => !contains(whole, part),
            (Some(there), value) => !same(there, value),
            (None, _) => true,
        });
    }
    fields
}

fn write_into(entry: &mut Map<String, Value>, agent: &DesiredAgent) {
    if let Some(name) = &agent.name {
        entry.insert("name".into(), json!(name));
    }
    entry.insert("workspace".into(), json!(agent.workspace));
    entry.insert("heartbeat".into(), Value::Object(agent.heartbeat.clone()));
}

fn without(agent: &DesiredAgent, refused: &BTreeSet<String>) -> DesiredAgent {
    let mut agent = agent.clone();
    agent.heartbeat.retain(|key, _| !refused.contains(&format!("heartbeat.{key}")));
    agent
}

fn names(fields: &Map<String, Value>) -> String {
    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Gateways normalise ids, so entries that differ only in that are one agent.
fn same_agent(a: &str, b: &str) -> bool {
    a == b || keys::normalise_agent_id(a) == keys::normalise_agent_id(b)
}

fn section<'a>(data: &'a Value, key: &str) -> Result<Option<&'a Map<String, Value>>, GatewayError> {
    match data.get(key).filter(|value| is_truthy(value)) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(GatewayError::ConfigInvalid { reason: format!("{key} is not an object") }),
    }
}
