//! The part of a gateway's config that the worker manages: the agents, and the visibility of
//! heartbeats in channels.
//!
//! Gateways keep agents in one of two shapes: `agents.list`, an array, up to 2026.7;
//! `agents.entries`, an object by id, from 2026.8. A write uses the shape that the config has. Old
//! gateways replace arrays and newer ones merge them by id, so a list is always written as a whole.

mod change;
mod config_text;
mod diff;
mod folder;
mod owned;
mod stored;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Reserved};
use super::error::GatewayError;
use super::protocol::Method;
use crate::heartbeat;
use crate::keys;
use crate::python_format::is_truthy;
use crate::sanitize::one_line;

pub use change::{Change, Part};
pub use config_text::{escaped, escaped_value, unescaped_value};
pub use diff::{DesiredAgent, VISIBILITY, droppable, known_refusals, latest, updated_list};
pub use folder::{may_overlap, same_folder};
pub use owned::members_of;
pub use stored::same;

/// The shape in which a config keeps its agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An array named `agents.list`.
    List,
    /// An object named `agents.entries`, by id.
    Entries,
}

impl Shape {
    /// Returns the key under `channels.defaults` that holds the visibility of heartbeats.
    #[must_use]
    pub const fn visibility_key(self) -> &'static str {
        match self {
            Self::List => "heartbeat",
            Self::Entries => "heartbeatVisibility",
        }
    }

    /// Returns the name of the shape in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Entries => "entries",
        }
    }
}

/// A config as the gateway returned it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The hash that a write must name, so that the gateway refuses it if the config has changed
    /// since; some gateways return none.
    pub hash: Option<Value>,
    /// The config as the gateway uses it: `~` and environment variables replaced, included files
    /// inserted, and the gateway's defaults added.
    pub data: Value,
    /// The agents' part of the file as written, where the gateway returns it (`parsed`; in
    /// `resolved` and `sourceConfig` of newer gateways, variables are already replaced).
    written: Value,
    /// The files that the config includes, where the gateway lists them.
    includes: Vec<String>,
    /// The shape of the agents; `None` if the config has no agents and nothing indicates a shape.
    pub shape: Option<Shape>,
    /// The position of each agent, by its normalised id.
    places: HashMap<String, Place>,
    /// The memory reserved for this config.
    _reserved: Reserved,
}

/// The position of an agent in a config.
#[derive(Debug, Clone)]
enum Place {
    Listed(usize),
    Keyed(String),
}

impl Config {
    /// Parses the answer to `config.get`.
    pub fn read(answer: impl Into<Answer>) -> Result<Self, GatewayError> {
        let garbage = |reason: &str| Err(GatewayError::garbage(Method::ConfigGet, reason));
        let invalid = |reason: &str| {
            Err(GatewayError::ConfigInvalid { reason: reason.chars().take(MAX_ISSUES).collect() })
        };
        let mut answer = answer.into();
        if !answer.is_object() {
            return garbage("not an object");
        }
        if answer.get("valid") == Some(&Value::Bool(false)) {
            let issues = answer.get("issues").filter(|issues| is_truthy(issues));
            let issues = issues.map(Value::to_string);
            return invalid(issues.as_deref().unwrap_or("the gateway names no issues"));
        }
        // A config may be large, so its parts are moved out and only a fallback is copied.
        let mut take = |key| answer.get_mut(key).map(Value::take);
        let (hash, data, mut source) =
            (take("hash").filter(is_truthy), take("config"), take("parsed"));
        let data = data.filter(is_truthy).or_else(|| source.clone().filter(is_truthy));
        let data = data.unwrap_or_else(|| json!({}));
        if !data.is_object() {
            return garbage("config is not an object");
        }
        let part = |pointer| data.pointer(pointer).filter(|part| is_truthy(part));
        if part("/agents").is_some_and(|agents| !agents.is_object()) {
            return invalid("agents is not an object");
        }
        if part("/agents/list").is_some_and(|list| !list.is_array()) {
            return invalid("agents.list is not a list");
        }
        let has = |pointer| data.pointer(pointer).is_some();
        let shape = match (has("/agents/entries"), has("/agents/list")) {
            (true, _) => Some(Shape::Entries),
            (_, true) => Some(Shape::List),
            _ => None,
        };
        let written = source.as_mut().and_then(|source| source.get_mut("agents")).map(Value::take);
        let includes = answer.get("includedPaths").and_then(Value::as_array).into_iter().flatten();
        let includes = includes.filter_map(|path| path.as_str().map(str::to_owned));
        let mut config = Self {
            hash,
            data,
            written: written.unwrap_or_default(),
            includes: includes.take(MAX_FILES).collect(),
            shape,
            places: HashMap::new(),
            _reserved: answer.reserved(),
        };
        let mut places = HashMap::new();
        for (id, place, _) in config.placed_agents() {
            places.entry(key_of(id)).or_insert(place);
        }
        config.places = places;
        Ok(config)
    }

    /// Returns the list of agents; empty in the other shape.
    #[must_use]
    pub fn list(&self) -> &[Value] {
        self.data.pointer("/agents/list").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Returns the entry of an agent, in either shape.
    #[must_use]
    pub fn agent(&self, id: &str) -> Option<&Map<String, Value>> {
        self.find(id).map(|(_, entry)| entry)
    }

    /// Returns an agent's id as the config spells it, and its entry.
    fn find(&self, id: &str) -> Option<(&str, &Map<String, Value>)> {
        match self.places.get(&key_of(id))? {
            Place::Listed(at) => {
                let entry = self.list().get(*at)?.as_object()?;
                Some((entry.get("id")?.as_str()?, entry))
            }
            Place::Keyed(key) => Some((key, entries(&self.data)?.get(key)?.as_object()?)),
        }
    }

    /// Returns the entry of an agent as the file spells it; `None` if the gateway does not return
    /// the file, or if the entry is in an included file.
    #[must_use]
    pub fn as_written(&self, id: &str) -> Option<&Map<String, Value>> {
        match self.places.get(&key_of(id))? {
            Place::Listed(at) => self.listed_as_written(*at)?.as_object(),
            Place::Keyed(key) => self.written.get("entries")?.get(key)?.as_object(),
        }
        .filter(|entry| !entry.contains_key(INCLUDE))
    }

    /// Returns the list entry at an index as the file spells it; `None` if the entry is in an
    /// included file.
    fn listed_as_written<'a>(&'a self, at: usize) -> Option<&'a Value> {
        let written = self.written.get("list")?.as_array()?;
        let id_of = |entry: &'a Value| entry.get("id").and_then(Value::as_str);
        let entry = if written.len() == self.list().len() {
            written.get(at)
        } else {
            let id = id_of(&self.list()[at]);
            written.iter().find(|entry| id.is_some() && id_of(entry) == id)
        };
        // An included entry has its id in the other file.
        entry.filter(|entry| !entry.is_object() || entry.get("id").is_some())
    }

    /// Returns the list to send so that the file stays unchanged. Entries from an included file are
    /// taken from the config: writing the list copies them into the main file.
    #[must_use]
    pub fn list_as_written(&self) -> Vec<Value> {
        let entry = |at: usize| self.listed_as_written(at).unwrap_or(&self.list()[at]).clone();
        (0..self.list().len()).map(entry).collect()
    }

    /// Returns the list as written, with a change to each entry from the position `first` on.
    #[must_use]
    pub fn list_with(&self, first: usize, change: fn(&Value) -> Value) -> Vec<Value> {
        let list = self.list_as_written().into_iter().enumerate();
        list.map(|(at, entry)| if at < first { entry } else { change(&entry) }).collect()
    }

    /// Returns the position of an agent in the list; the length of the list if it is not there.
    #[must_use]
    pub fn position_of(&self, id: &str) -> usize {
        match self.places.get(&key_of(id)) {
            Some(Place::Listed(at)) => *at,
            _ => self.list().len(),
        }
    }

    /// Returns the files from which the config includes agents, as the config names them, in one
    /// line for people.
    #[must_use]
    pub fn included_files(&self) -> String {
        let entries = self.written.get("entries").and_then(Value::as_object).into_iter().flatten();
        let list = self.written.get("list").and_then(Value::as_array).into_iter().flatten();
        let places = [Some(&self.written), self.written.get("entries"), self.written.get("list")];
        let places =
            places.into_iter().flatten().chain(entries.map(|(_, entry)| entry)).chain(list);
        let files = places.filter_map(|place| Some(place.get(INCLUDE)?.to_string()));
        let files: Vec<_> = files.chain(self.includes.iter().cloned()).take(MAX_FILES).collect();
        if files.is_empty() {
            "other files".to_owned()
        } else {
            one_line(&files.join(", "), MAX_FILES * 100)
        }
    }

    /// Returns the number of characters of a file that the gateway shows its agents; `None` if the
    /// config does not set a limit.
    #[must_use]
    pub fn shown_chars(&self) -> Option<usize> {
        let chars = self.data.pointer("/agents/defaults/bootstrapMaxChars").and_then(Value::as_u64);
        chars.and_then(|chars| usize::try_from(chars).ok()).filter(|chars| *chars > 0)
    }

    /// Returns the number of turns a day that the heartbeats of all agents cause; `None` if no
    /// agent has a heartbeat. As soon as one agent has one, the gateway wakes only agents that have
    /// one. Settings that an agent omits come from the defaults.
    #[must_use]
    pub fn heartbeat_turns_per_day(&self) -> Option<u64> {
        let usual = self.data.pointer("/agents/defaults/heartbeat/every").and_then(Value::as_str);
        let heartbeats = self.agents().filter_map(|(_, entry)| entry.get("heartbeat")?.as_object());
        let thousandths = heartbeats.map(|heartbeat| {
            let every = heartbeat.get("every").and_then(Value::as_str).or(usual);
            every.map_or(Some(heartbeat::UNTOLD), heartbeat::interval).map_or(0, |every| {
                const DAY_MS: u128 = 24 * 60 * 60 * 1000;
                u64::try_from(DAY_MS * 1000 / every.as_millis().max(1)).unwrap_or(u64::MAX)
            })
        });
        thousandths.reduce(u64::saturating_add).map(|thousandths| (thousandths + 500) / 1000)
    }

    /// Returns all agents with their ids, in either shape.
    pub fn agents(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        self.placed_agents().map(|(id, _, entry)| (id, entry))
    }

    /// Returns all agents with their ids and their positions.
    fn placed_agents(&self) -> impl Iterator<Item = (&str, Place, &Map<String, Value>)> {
        let listed = self.list().iter().enumerate().filter_map(|(at, entry)| {
            let entry = entry.as_object()?;
            Some((entry.get("id")?.as_str()?, Place::Listed(at), entry))
        });
        let keyed = entries(&self.data).into_iter().flatten().filter_map(|(id, entry)| {
            Some((id.as_str(), Place::Keyed(id.clone()), entry.as_object()?))
        });
        listed.chain(keyed)
    }
}

/// The most characters of a config's issues that are quoted.
const MAX_ISSUES: usize = 400;
/// The most included files that are named.
const MAX_FILES: usize = 5;
/// The key that includes another file.
const INCLUDE: &str = "$include";

/// Returns the normalised form of an id. Gateways normalise ids, so entries whose ids differ only
/// in spelling are one agent.
fn key_of(id: &str) -> String {
    let normalised = keys::normalise_agent_id(id);
    if normalised.is_empty() { id.to_owned() } else { normalised }
}

fn entries(data: &Value) -> Option<&Map<String, Value>> {
    data.pointer("/agents/entries")?.as_object()
}
