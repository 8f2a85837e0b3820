//! Gateway configs of any shape, and their differences from the desired agents. Once a difference
//! has been written, reading the config again shows no difference.

use std::collections::BTreeSet;

use mission_core::gateway::RpcError;
use mission_core::gateway::agents_config::{
    Config, DesiredAgent, Shape, droppable, known_refusals, latest,
};
use mission_core::keys::normalise_agent_id;
use mission_core::model::Agent;
use mission_core::{heartbeat, keys};
use serde_json::{Map, Value, json};

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    let Ok(Value::Object(input)) = serde_json::from_slice(input) else { return };
    let get = |name: &str| input.get(name).unwrap_or(&Value::Null);
    let error = serde_json::from_value::<RpcError>(get("error").clone()).ok();
    if let Some(error) = &error {
        let _ = (error.quote(), error.label_limit(), droppable(&error.unrecognized_keys()));
    }
    let Ok(config) = Config::read(get("answer").clone()) else { return };
    let _ = (config.agents().count(), config.heartbeat_turns_per_day());
    let agents = get("agents").as_array().into_iter().flatten();
    let desired = latest(agents.filter_map(desired).collect());
    let default = get("default").as_str().map(normalise_agent_id).filter(|id| !id.is_empty());
    let default = default.unwrap_or_else(|| "main".to_owned());
    for shape in [Shape::List, Shape::Entries] {
        let refused = known_refusals(shape);
        let Some(change) = config.change(shape, &desired, &refused, &default) else { continue };
        let _ = (change.has_nulls_in_list(), error.as_ref().map(|error| change.culprits(error)));
        if config.shape.is_none_or(|shown| shown == shape) && has_one_shape(&config.data) {
            check_applied(
                &config,
                shape,
                &change.without_nulls_in_list().patch,
                &desired,
                &refused,
            );
        }
    }
}

fn desired(agent: &Value) -> Option<DesiredAgent> {
    let agent: Agent = serde_json::from_value(agent.clone()).ok()?;
    let heartbeat = heartbeat::config(&agent);
    let (id, workspace) = (keys::openclaw_agent_id(&agent), keys::workspace_path(&agent, "/srv"));
    let set_before = Map::new();
    let name = Some(agent.name);
    Some(DesiredAgent { id, name, workspace, heartbeat, set_before, takes_over: None })
}

/// Rejects configs that hold both lists of agents: how a gateway applies a patch does not show
/// which of the two it uses.
fn has_one_shape(config: &Value) -> bool {
    let has = |key: &str| config.pointer(key).is_some();
    !(has("/agents/list") && has("/agents/entries"))
}

fn check_applied(
    config: &Config,
    shape: Shape,
    patch: &Value,
    desired: &[DesiredAgent],
    refused: &BTreeSet<String>,
) {
    let mut data = config.data.clone();
    merge(&mut data, patch);
    let again = Config::read(json!({ "config": data })).expect("a patched config can be read");
    assert!(again.is_as_desired(shape, desired, refused), "{patch}\nresults in {data}");
}

/// Applies a merge patch as gateways do: lists are replaced.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let members = target.as_object_mut().expect("it was just made an object");
    for (key, value) in patch {
        if value.is_null() {
            members.shift_remove(key);
        } else {
            merge(members.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
