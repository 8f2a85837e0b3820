//! The difference between a config and its desired state, and the smallest write that removes it.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::change::{Change, Part};
use super::config_text::{escaped, escaped_value};
use super::owned::remove_unwanted;
use super::stored::Stored;
use super::{Config, Shape, key_of};
use crate::heartbeat;

/// The name in [refused keys](Change) of the visibility of heartbeats in channels, whichever key it
/// has.
pub const VISIBILITY: &str = "channels.defaults.heartbeat";

/// The desired entry of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredAgent {
    /// The id on the gateway, already normalised.
    pub id: String,
    /// The name for people; `None` leaves the present one.
    pub name: Option<String>,
    /// The folder on the gateway's machine.
    pub workspace: String,
    /// The heartbeat settings. A member that is null is removed.
    pub heartbeat: Map<String, Value>,
    /// The [members](super::members_of) that an earlier run has set in the heartbeat, empty if
    /// unknown. Those that are not wanted any more are removed.
    pub set_before: Map<String, Value>,
    /// The folder of an entry that may be written although it differs from `workspace`; an empty
    /// one allows any entry. With `None`, only an entry with this workspace may be written.
    pub takes_over: Option<String>,
}

impl Config {
    /// Returns whether every agent is as desired, except for keys that the gateway refuses. See
    /// [`Self::change`].
    #[must_use]
    pub fn is_as_desired(
        &self,
        shape: Shape,
        desired: &[DesiredAgent],
        refused: &BTreeSet<String>,
    ) -> bool {
        self.visibility_patch(shape, refused).is_none()
            && desired.iter().all(|agent| self.has_agent_as_desired(agent, refused))
    }

    /// Returns the patch of `channels` that shows heartbeats; `None` if nothing differs.
    fn visibility_patch(&self, shape: Shape, refused: &BTreeSet<String>) -> Option<Value> {
        let is_refused = refused.contains(VISIBILITY);
        heartbeat::visibility_patch(&self.data, shape.visibility_key()).filter(|_| !is_refused)
    }

    /// Returns whether one agent is as desired, except for keys that the gateway refuses.
    #[must_use]
    pub fn has_agent_as_desired(&self, agent: &DesiredAgent, refused: &BTreeSet<String>) -> bool {
        self.differing(&self.merged(agent, refused)).is_empty()
    }

    /// Returns the smallest write that makes every agent as desired; `None` if nothing differs.
    /// `refused` names keys that this gateway does not know; `default_agent` is the agent that must
    /// stay the default.
    #[must_use]
    pub fn change(
        &self,
        shape: Shape,
        desired: &[DesiredAgent],
        refused: &BTreeSet<String>,
        default_agent: &str,
    ) -> Option<Change> {
        let desired: Vec<DesiredAgent> =
            desired.iter().map(|agent| self.merged(agent, refused)).collect();
        let differing = desired.iter().map(|agent| (agent, self.differing(agent)));
        let differing: Vec<_> = differing.filter(|(_, fields)| !fields.is_empty()).collect();
        let part = |(agent, fields): &(&DesiredAgent, Map<String, Value>)| {
            Part::of(agent, shape, self.agent(&agent.id), fields.clone())
        };
        let mut parts: Vec<Part> = differing.iter().map(part).collect();
        let mut patch = Map::new();
        if !parts.is_empty() {
            let agents = match shape {
                Shape::List => self.changed_list(&desired, default_agent),
                Shape::Entries => self.changed_entries(differing, default_agent),
            };
            patch.insert("agents".into(), agents);
        }
        if let Some(channels) = self.visibility_patch(shape, refused) {
            let key = shape.visibility_key();
            let shown = |data: &Value| {
                data.pointer(&format!("/channels/defaults/{key}"))
                    .and_then(Value::as_object)
                    .cloned()
            };
            parts.push(Part {
                agent: None,
                what: format!("config channels.defaults.{key}"),
                before: shown(&self.data).unwrap_or_default(),
                after: shown(&json!({ "channels": &channels })).unwrap_or_default(),
            });
            patch.insert("channels".into(), channels);
        }
        (!patch.is_empty()).then(|| Change { patch: Value::Object(patch), parts })
    }

    /// Returns the agent without keys that the gateway refuses, and with a null for each heartbeat
    /// member that an earlier run has set and that is not wanted any more. Only what the file has is
    /// removed, because the gateway's defaults come back.
    fn merged(&self, agent: &DesiredAgent, refused: &BTreeSet<String>) -> DesiredAgent {
        let mut agent = agent.clone();
        let present = self.as_written(&agent.id).or_else(|| self.agent(&agent.id));
        if let Some(present) = present.and_then(|entry| entry.get("heartbeat")?.as_object()) {
            remove_unwanted(&mut agent.heartbeat, &agent.set_before, present);
        }
        agent.heartbeat.retain(|key, _| !refused.contains(&format!("heartbeat.{key}")));
        agent
    }

    /// Returns the members of an agent's entry that must be written, unescaped. Keys that people
    /// added to a heartbeat do not count as a difference.
    fn differing(&self, agent: &DesiredAgent) -> Map<String, Value> {
        let mut fields = Map::new();
        write_into(&mut fields, agent);
        let Some(present) = self.agent(&agent.id) else { return fields };
        // A member that the merge patch removes is a difference.
        fields.insert("heartbeat".into(), Value::Object(agent.heartbeat.clone()));
        let written = self.as_written(&agent.id);
        if let Some(name) = agent.name.as_ref().filter(|_| is_called_by_its_id(present, agent)) {
            fields.insert("identity".into(), json!({ "name": name }));
        }
        fields.retain(|key, value| {
            let written = written.map(|written| written.get(key).unwrap_or(&Value::Null));
            let stored = Stored { present: present.get(key), written };
            !if key == "workspace" { stored.is_folder(&agent.workspace) } else { stored.is(value) }
        });
        fields
    }

    /// Returns the agent in the spelling of the file. A folder that is already right keeps its
    /// spelling.
    fn to_be_written(&self, agent: &DesiredAgent) -> DesiredAgent {
        let as_before = self.as_written(&agent.id).or_else(|| self.agent(&agent.id));
        let as_before = as_before.and_then(|entry| entry.get("workspace")?.as_str());
        let is_right = !self.differing(agent).contains_key("workspace");
        let heartbeat = agent.heartbeat.iter();
        DesiredAgent {
            name: agent.name.as_deref().map(escaped),
            workspace: as_before
                .filter(|_| is_right)
                .map_or_else(|| escaped(&agent.workspace), str::to_owned),
            heartbeat: heartbeat.map(|(key, value)| (key.clone(), escaped_value(value))).collect(),
            ..agent.clone()
        }
    }

    /// Returns the new `agents` of a config with a list. The list is written as the file spells it,
    /// not as the gateway resolves it, so that environment variables stay variables.
    fn changed_list(&self, desired: &[DesiredAgent], default: &str) -> Value {
        let present = self.list_as_written();
        let written: Vec<_> = desired.iter().map(|agent| self.to_be_written(agent)).collect();
        let mut list = updated_list(&present, &written);
        if present.is_empty() && !desired.iter().any(|agent| key_of(&agent.id) == key_of(default)) {
            // In an empty list, the first entry would become the default agent.
            list.insert(0, json!({ "id": default, "default": true }));
        }
        json!({ "list": list })
    }

    /// Returns the patch of `agents` in a config with entries.
    fn changed_entries(
        &self,
        differing: Vec<(&DesiredAgent, Map<String, Value>)>,
        default: &str,
    ) -> Value {
        let mut entries = Map::new();
        let mut grows = false;
        for (agent, fields) in differing {
            let present = self.find(&agent.id);
            grows |= present.is_none();
            let key = present.map_or(agent.id.as_str(), |(key, _)| key);
            entries.insert(key.to_owned(), escaped_value(&Value::Object(fields)));
        }
        let mut agents = Map::new();
        let present = self.data.get("agents");
        let explicit = present.and_then(|agents| agents.get("ownership")).and_then(Value::as_str)
            == Some("explicit");
        if grows && !explicit {
            // A config with a single agent must declare this before it accepts a second one.
            agents.insert("ownership".into(), json!("explicit"));
            entries.entry(default).or_insert_with(|| json!({}));
            if present.and_then(|agents| agents.pointer("/defaults/systemAgent")).is_none() {
                agents.insert("defaults".into(), json!({ "systemAgent": { "agentId": default } }));
            }
        }
        agents.insert("entries".into(), Value::Object(entries));
        Value::Object(agents)
    }
}

/// Returns one desired entry per agent, in order of first mention; the last mention wins.
#[must_use]
pub fn latest(desired: Vec<DesiredAgent>) -> Vec<DesiredAgent> {
    let mut places = HashMap::with_capacity(desired.len());
    let mut agents: Vec<DesiredAgent> = Vec::with_capacity(desired.len());
    for agent in desired {
        let at = *places.entry(agent.id.clone()).or_insert(agents.len());
        if at < agents.len() {
            agents[at] = agent;
        } else {
            agents.push(agent);
        }
    }
    agents
}

/// Returns the list with the desired agents in it: entries keep their order and their other
/// members, entries that are not objects stay unchanged, and missing agents are appended.
#[must_use]
pub fn updated_list(present: &[Value], desired: &[DesiredAgent]) -> Vec<Value> {
    let mut list = present.to_vec();
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, entry) in list.iter().enumerate() {
        if let Some(id) = entry.get("id").and_then(Value::as_str) {
            places.entry(key_of(id)).or_default().push(at);
        }
    }
    for agent in desired {
        let places = places.entry(key_of(&agent.id)).or_default();
        if places.is_empty() {
            places.push(list.len());
            list.push(json!({ "id": agent.id }));
        }
        for at in places.iter() {
            if let Some(entry) = list[*at].as_object_mut() {
                write_into(entry, agent);
            }
        }
    }
    list
}

/// The most unknown keys that a gateway may report at once, and the most bytes of one.
const MAX_DROPPED: usize = 64;
const MAX_KEY_BYTES: usize = 100;

/// Returns the names in `refused` for config paths that a gateway did not recognise; `None` if one
/// of them may not be dropped.
#[must_use]
pub fn droppable(paths: &[String]) -> Option<BTreeSet<String>> {
    let name = |path: &String| {
        if path.starts_with("channels") {
            return Some(VISIBILITY.to_owned());
        }
        let (_, key) = path.strip_prefix("agents.")?.split_once(".heartbeat.")?;
        let key = key.split('.').next()?;
        (key != "every" && key.len() <= MAX_KEY_BYTES).then(|| format!("heartbeat.{key}"))
    };
    let names: Option<BTreeSet<String>> = paths.iter().map(name).collect();
    names.filter(|names| (1..=MAX_DROPPED).contains(&names.len()))
}

/// Returns the keys that gateways with this shape are known to refuse, which saves a refused write.
#[must_use]
pub fn known_refusals(shape: Shape) -> BTreeSet<String> {
    match shape {
        Shape::List => BTreeSet::new(),
        Shape::Entries => ["heartbeat.includeReasoning".to_owned()].into(),
    }
}

/// Returns whether the gateway shows the agent's id as its name, as it does for an agent created by
/// call until it is given a name.
fn is_called_by_its_id(entry: &Map<String, Value>, agent: &DesiredAgent) -> bool {
    entry.get("identity").and_then(|identity| identity.get("name")?.as_str())
        == Some(agent.id.as_str())
}

fn write_into(entry: &mut Map<String, Value>, agent: &DesiredAgent) {
    if let Some(name) = &agent.name {
        if is_called_by_its_id(entry, agent) {
            entry["identity"]["name"] = json!(name);
        }
        entry.insert("name".into(), json!(name));
    }
    entry.insert("workspace".into(), json!(agent.workspace));
    let heartbeat = entry.entry("heartbeat").or_insert_with(|| json!({}));
    if !heartbeat.is_object() {
        *heartbeat = json!({});
    }
    merge(heartbeat.as_object_mut().expect("it was made an object"), &agent.heartbeat);
}

/// Merges a patch into an object, but keeps removed members as null: gateways that merge list
/// entries by id remove them, see [`DesiredAgent`].
fn merge(present: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (present.get_mut(key), value) {
            (Some(Value::Object(present)), Value::Object(patch)) => merge(present, patch),
            (None, Value::Null) => {}
            // A gateway that replaces lists has stored the null.
            (Some(Value::Null), Value::Null) => drop(present.shift_remove(key)),
            (None, Value::Object(patch)) => {
                let mut member = Map::new();
                merge(&mut member, patch);
                present.insert(key.clone(), Value::Object(member));
            }
            (_, value) => drop(present.insert(key.clone(), value.clone())),
        }
    }
}
