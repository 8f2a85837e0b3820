//! The part of a gateway's config that the worker looks after: agents, and what channels show of
//! heartbeats.
//!
//! Gateways keep agents in one of two shapes: `agents.list`, an array, up to 2026.7;
//! `agents.entries`, an object by id, from 2026.8. The shape that a config shows is the shape that
//! is written. Old gateways replace arrays and newer ones merge them by id, so a list is always
//! written whole.

mod config_text;
mod diff;
mod folder;
mod kept;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Kept};
use super::error::GatewayError;
use super::protocol::Method;
use crate::heartbeat;
use crate::keys;
use crate::python_format::is_truthy;
use crate::sanitize::one_line;

pub use config_text::spelt;
pub use diff::{
    Change, DesiredAgent, Part, VISIBILITY, droppable, known_refusals, latest, updated_list,
};
pub use folder::{may_overlap, same_folder};
pub use kept::same;

/// How a config keeps its agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `agents.list`.
    List,
    /// `agents.entries`.
    Entries,
}

impl Shape {
    /// The key under `channels.defaults` of what channels show of heartbeats.
    #[must_use]
    pub const fn visibility_key(self) -> &'static str {
        match self {
            Self::List => "heartbeat",
            Self::Entries => "heartbeatVisibility",
        }
    }

    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Entries => "entries",
        }
    }
}

/// A config as it was read.
#[derive(Debug, Clone)]
pub struct Config {
    /// What a write has to name to be refused when somebody else was faster; some gateways give
    /// none.
    pub hash: Option<Value>,
    /// The config as the gateway takes it: `~` and environment variables replaced, included files
    /// put in, with the gateway's defaults.
    pub data: Value,
    /// The agents' part of the file as it stands, where the gateway shows it (`parsed`; what newer
    /// gateways call `resolved` and `sourceConfig` has the variables replaced already).
    written: Value,
    /// The files that the config includes, where the gateway lists them.
    includes: Vec<String>,
    /// How agents are kept; none when there are none and nothing shows.
    pub shape: Option<Shape>,
    /// Where each agent stands, by its id as gateways write ids.
    places: HashMap<String, Place>,
    /// The memory that it counts for.
    _kept: Kept,
}

/// Where an agent stands in a config.
#[derive(Debug, Clone)]
enum Place {
    Listed(usize),
    Keyed(String),
}

impl Config {
    /// Reads the answer of `config.get`.
    pub fn read(answer: impl Into<Answer>) -> Result<Self, GatewayError> {
        let garbage = |reason: &str| GatewayError::Garbage {
            method: Method::ConfigGet,
            reason: reason.to_owned(),
        };
        let answer = answer.into();
        let kept = answer.kept();
        let Value::Object(mut answer) = answer.into_value() else {
            return Err(garbage("not an object"));
        };
        if answer.get("valid") == Some(&Value::Bool(false)) {
            let issues = answer
                .get("issues")
                .filter(|issues| is_truthy(issues))
                .map_or_else(String::new, Value::to_string);
            let reason = if issues.is_empty() { "the gateway says so".to_owned() } else { issues };
            return Err(GatewayError::ConfigInvalid { reason: reason.chars().take(400).collect() });
        }
        // A config may be large, so nothing of it is copied but what stands in for it.
        let mut take = |key| answer.get_mut(key).map(Value::take);
        let (hash, data, mut source) =
            (take("hash").filter(is_truthy), take("config"), take("parsed"));
        let data = data.filter(is_truthy).or_else(|| source.clone().filter(is_truthy));
        let data = match data {
            Some(data @ Value::Object(_)) => data,
            Some(_) => return Err(garbage("config is not an object")),
            None => json!({}),
        };
        let agents = section(&data, "agents")?;
        let list = match agents.and_then(|agents| agents.get("list")).filter(|list| is_truthy(list))
        {
            None => &[],
            Some(Value::Array(list)) => list.as_slice(),
            Some(_) => {
                return Err(GatewayError::ConfigInvalid {
                    reason: "agents.list is not a list".into(),
                });
            }
        };
        let has = |key| agents.is_some_and(|agents| agents.contains_key(key));
        let shape = match (has("entries"), has("list")) {
            (true, _) => Some(Shape::Entries),
            (_, true) => Some(Shape::List),
            _ => None,
        };
        let written = source
            .as_mut()
            .and_then(|source| source.get_mut("agents"))
            .map(Value::take)
            .unwrap_or_default();
        let places = places(list, entries(&data));
        let includes = answer.get("includedPaths").and_then(Value::as_array).into_iter().flatten();
        let includes =
            includes.filter_map(|path| path.as_str().map(str::to_owned)).take(MAX_FILES).collect();
        Ok(Self { hash, data, written, includes, shape, places, _kept: kept })
    }

    /// The list of agents; empty in the other shape.
    #[must_use]
    pub fn list(&self) -> &[Value] {
        let list =
            self.data.get("agents").and_then(|agents| agents.get("list")).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }

    /// The entry of an agent, in either shape.
    #[must_use]
    pub fn agent(&self, id: &str) -> Option<&Map<String, Value>> {
        self.find(id).map(|(_, entry)| entry)
    }

    /// An agent as the config writes its id, and its entry.
    fn find(&self, id: &str) -> Option<(&str, &Map<String, Value>)> {
        match self.places.get(&key_of(id))? {
            Place::Listed(at) => {
                let entry = self.list().get(*at)?.as_object()?;
                Some((entry.get("id")?.as_str()?, entry))
            }
            Place::Keyed(key) => Some((key, entries(&self.data)?.get(key)?.as_object()?)),
        }
    }

    /// The entry of an agent as the file has it; none where the gateway does not show the file, or
    /// where the entry stands in a file that this one includes.
    #[must_use]
    pub fn as_written(&self, id: &str) -> Option<&Map<String, Value>> {
        match self.places.get(&key_of(id))? {
            Place::Listed(at) => self.listed_as_written(*at)?.as_object(),
            Place::Keyed(key) => self.written.get("entries")?.get(key)?.as_object(),
        }
        .filter(|entry| !entry.contains_key(INCLUDE))
    }

    /// The entry at that place of the list as the file has it; none where it stands elsewhere.
    fn listed_as_written(&self, at: usize) -> Option<&Value> {
        let written = self.written.get("list")?.as_array()?;
        let id = self.list()[at].get("id").and_then(Value::as_str);
        let entry = if written.len() == self.list().len() {
            written.get(at)
        } else {
            written
                .iter()
                .find(|entry| id.is_some() && entry.get("id").and_then(Value::as_str) == id)
        };
        // An entry that is included has its id in the other file.
        entry.filter(|entry| !entry.is_object() || entry.get("id").is_some())
    }

    /// The list as it has to be sent to leave the file as it is. What stands in an included file is
    /// taken from the config: a write of the list puts it into this one.
    #[must_use]
    pub fn list_as_written(&self) -> Vec<Value> {
        let entry = |at: usize| self.listed_as_written(at).unwrap_or(&self.list()[at]).clone();
        (0..self.list().len()).map(entry).collect()
    }

    /// The list with one more `$` before each text that has a reference or is spelt as a text, from
    /// the place `first` on, so that a gateway which resolves them leaves them as they are now.
    #[must_use]
    pub fn list_spelt_once_more(&self, first: usize) -> Vec<Value> {
        let mut list = self.list_as_written();
        for entry in list.iter_mut().skip(first) {
            *entry = config_text::spelt_value(entry);
        }
        list
    }

    /// The place of an agent in the list; the length of the list if it is not there.
    #[must_use]
    pub fn place_of(&self, id: &str) -> usize {
        let list = self.list();
        let is_it =
            |entry: &Value| entry.get("id").and_then(Value::as_str).map(key_of) == Some(key_of(id));
        list.iter().position(is_it).unwrap_or(list.len())
    }

    /// The list as it has to be sent, without an agent.
    #[must_use]
    pub fn list_without(&self, id: &str) -> Vec<Value> {
        let is_other =
            |entry: &Value| entry.get("id").and_then(Value::as_str).map(key_of) != Some(key_of(id));
        self.list_as_written().into_iter().filter(is_other).collect()
    }

    /// Names the files that the config takes agents from, for people; as the config names them.
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

    /// Returns how many characters of a file the gateway shows its agents; none where the config
    /// leaves that open.
    #[must_use]
    pub fn shown_chars(&self) -> Option<usize> {
        let chars = self.data.pointer("/agents/defaults/bootstrapMaxChars").and_then(Value::as_u64);
        chars.and_then(|chars| usize::try_from(chars).ok()).filter(|chars| *chars > 0)
    }

    /// How many turns a day the heartbeats of all agents make; none if no agent has one. As soon as
    /// one has, the gateway wakes those that have one and no others; what an agent leaves out is
    /// the default's.
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

    /// All agents with their ids, in either shape.
    pub fn agents(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        let listed = self.list().iter().filter_map(|entry| {
            let entry = entry.as_object()?;
            Some((entry.get("id")?.as_str()?, entry))
        });
        let keyed = entries(&self.data).into_iter().flatten();
        let keyed = keyed.filter_map(|(id, entry)| Some((id.as_str(), entry.as_object()?)));
        listed.chain(keyed)
    }
}

/// Most included files that are named.
const MAX_FILES: usize = 5;
/// The key that stands for the content of another file.
const INCLUDE: &str = "$include";

/// Gateways normalise ids, so entries that differ only in that are one agent: what they have in
/// common.
fn key_of(id: &str) -> String {
    let normalised = keys::normalise_agent_id(id);
    if normalised.is_empty() { id.to_owned() } else { normalised }
}

fn entries(data: &Value) -> Option<&Map<String, Value>> {
    data.get("agents")?.get("entries")?.as_object()
}

/// The first place of each agent.
fn places(list: &[Value], entries: Option<&Map<String, Value>>) -> HashMap<String, Place> {
    let listed = list.iter().enumerate().filter(|(_, entry)| entry.is_object());
    let listed =
        listed.filter_map(|(at, entry)| Some((entry.get("id")?.as_str()?, Place::Listed(at))));
    let keyed = entries.into_iter().flatten().filter(|(_, entry)| entry.is_object());
    let keyed = keyed.map(|(id, _)| (id.as_str(), Place::Keyed(id.clone())));
    let mut places = HashMap::new();
    for (id, place) in listed.chain(keyed) {
        places.entry(key_of(id)).or_insert(place);
    }
    places
}

fn section<'a>(data: &'a Value, key: &str) -> Result<Option<&'a Map<String, Value>>, GatewayError> {
    match data.get(key).filter(|value| is_truthy(value)) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(GatewayError::ConfigInvalid { reason: format!("{key} is not an object") }),
    }
}
