//! How often an agent wakes up by itself, and which of its heartbeats channels show.

use serde_json::{Map, Value, json};

use crate::model::Agent;

/// The heartbeat of an agent: the defaults, overlaid with the members of its own object, one level deep.
#[must_use]
pub fn config(agent: &Agent) -> Map<String, Value> {
    let mut heartbeat = Map::new();
    heartbeat.insert("every".to_owned(), json!("10m"));
    heartbeat.insert("target".to_owned(), json!("none"));
    heartbeat.insert("includeReasoning".to_owned(), json!(false));
    if let Value::Object(own) = &agent.heartbeat_config {
        heartbeat.extend(own.clone());
    }
    heartbeat
}

/// What to write under `channels` so that routine heartbeats stay silent; none where the gateway's config already says
/// something about each.
///
/// The patch repeats what `channels.defaults.heartbeat` has and adds only what it lacks.
#[must_use]
pub fn visibility_patch(config: &Value) -> Option<Value> {
    let present = config.pointer("/channels/defaults/heartbeat").and_then(Value::as_object);
    let mut heartbeat = present.cloned().unwrap_or_default();
    let before = heartbeat.len();
    for (key, value) in [("showOk", false), ("showAlerts", true), ("useIndicator", true)] {
        heartbeat.entry(key).or_insert(Value::Bool(value));
    }
    (heartbeat.len() > before).then(|| json!({"defaults": {"heartbeat": heartbeat}}))
}
