//! A write to a config: the merge patch, and the parts that it writes.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::diff::DesiredAgent;
use super::stored::same;
use super::{Config, Shape, key_of};
use crate::gateway::RpcError;

/// The smallest write that makes a config as desired.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The merge patch to send.
    pub patch: Value,
    /// The parts that the patch writes.
    pub parts: Vec<Part>,
}

/// One part that a [`Change`] writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The agent whose entry it is; `None` if it belongs to no agent.
    pub agent: Option<String>,
    /// The name of the part in the report.
    pub what: String,
    /// The present members; empty if the entry is new.
    pub before: Map<String, Value>,
    /// The members after the write.
    pub after: Map<String, Value>,
}

impl Change {
    /// Returns the change for a gateway that replaces lists, see [`Self::has_nulls_in_list`].
    #[must_use]
    pub fn without_nulls_in_list(mut self) -> Self {
        if let Some(list) = self.patch.pointer_mut("/agents/list") {
            drop_nulls(list);
        }
        self
    }

    /// Returns whether the change has a null in a list of agents. Gateways that merge list entries
    /// by id remove that member; those that replace the list refuse the null and are sent the list
    /// without the member.
    #[must_use]
    pub fn has_nulls_in_list(&self) -> bool {
        self.patch.pointer("/agents/list").is_some_and(has_null)
    }

    /// Returns the names in `refused` of heartbeat members that this change writes and that a later
    /// config lacks, in entries that are otherwise as written. An agent can do without any of them
    /// except `every`.
    #[must_use]
    pub fn dropped_keys(&self, later: &Config) -> BTreeSet<String> {
        let dropped = self.parts.iter().filter_map(|part| {
            let present = later.agent(part.agent.as_deref()?)?.get("heartbeat")?.as_object()?;
            let written = part.after.get("heartbeat")?.as_object()?.iter();
            let (there, missing): (Vec<_>, Vec<_>) = written
                .filter(|(_, value)| !value.is_null())
                .partition(|(key, _)| present.contains_key(*key));
            let is_kept = there.iter().all(|(key, value)| same(&present[*key], value));
            is_kept.then_some(missing)
        });
        let keys = dropped.flatten().map(|(key, _)| key).filter(|key| *key != "every");
        keys.map(|key| format!("heartbeat.{key}")).collect()
    }

    /// Returns the agents whose entries an error answer to the patch complains about; `None` if it
    /// complains about anything else.
    #[must_use]
    pub fn culprits(&self, error: &RpcError) -> Option<BTreeSet<String>> {
        let list = self.patch.pointer("/agents/list").and_then(Value::as_array);
        let culprit = |path: &str| {
            let mut steps = path.strip_prefix("agents.")?.split('.');
            let (shape, agent) = (steps.next()?, steps.next()?);
            let id = match shape {
                "list" => list?.get(agent.parse::<usize>().ok()?)?.get("id")?.as_str()?,
                "entries" => agent,
                _ => return None,
            };
            let mut ours = self.parts.iter().filter_map(|part| part.agent.as_ref());
            ours.find(|agent| key_of(agent) == key_of(id)).cloned()
        };
        let paths = error.issue_paths();
        if paths.is_empty() { None } else { paths.into_iter().map(culprit).collect() }
    }
}

impl Part {
    /// Returns the part that is written for an agent.
    pub(super) fn of(
        agent: &DesiredAgent,
        shape: Shape,
        present: Option<&Map<String, Value>>,
        after: Map<String, Value>,
    ) -> Self {
        let id = &agent.id;
        let names = after.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let what = match shape {
            Shape::List => format!("config agents.list {id}: {names}"),
            Shape::Entries => format!("config agents.entries.{id}: {names}"),
        };
        let present = present.into_iter().flatten().filter(|(key, _)| after.contains_key(*key));
        let before = present.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { agent: Some(id.clone()), what, before, after }
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}
