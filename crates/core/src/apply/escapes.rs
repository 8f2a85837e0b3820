//! Preserves the texts of other agents when an agent is deleted on a gateway that drops escapes.
//!
//! When it deletes an agent, 2026.2.9 writes the config that it uses over the file:
//! a text that the file spells `$${NAME}` becomes `${NAME}`, a reference, and a reference becomes
//! the value of its variable. If a variable is not set, the gateway no longer starts. Later
//! gateways with a list compare each text with the one that was at the same position before, so
//! they do this to the agents after the deleted one. Such texts are therefore escaped once more
//! before the deletion, and restored afterwards if the gateway has kept the extra escape.

use serde_json::{Value, json};

use super::config;
use crate::digest::sha256_hex;
use crate::gateway::agents_config::{Config, Shape, escaped_value, unescaped_value};
use crate::gateway::{Call, GatewayError};
use crate::keys;

/// Escapes texts once more where needed. Returns the list of agents that the file must have after
/// the deletion; `None` if nothing needs to be preserved.
pub(super) async fn guard(
    call: &Call,
    config: &Config,
    agent: &str,
) -> Result<Option<Vec<Value>>, GatewayError> {
    if config.shape != Some(Shape::List) {
        return Ok(None);
    }
    let writes_values = call.server_info().is_some_and(|server| server.writes_values);
    let first = if writes_values { 0 } else { config.position_of(agent) };
    let written = config.list_as_written();
    let is_other = |entry: &Value| {
        let id = entry.get("id").and_then(Value::as_str).map(keys::normalise_agent_id);
        id.as_deref() != Some(agent)
    };
    // An earlier attempt of this job may have escaped them and died before the deletion.
    if call.journal().escaped().is_some_and(|digest| digest == digest_of(&written)) {
        return Ok(Some(
            config.list_with(first, unescaped_value).into_iter().filter(is_other).collect(),
        ));
    }
    let escaped = config.list_with(first, escaped_value);
    if escaped == written {
        return Ok(None);
    }
    call.journal().note_escaped(digest_of(&escaped)).await.map_err(GatewayError::NotSaved)?;
    write(call, config, &escaped).await?;
    Ok(Some(written.into_iter().filter(is_other).collect()))
}

/// Returns a digest that tells lists of agents apart.
fn digest_of(list: &[Value]) -> String {
    sha256_hex(serde_json::to_string(list).expect("a list of JSON values is JSON"))
}

/// Writes the preserved list if the gateway has left another one.
pub(super) async fn put_back(
    call: &Call,
    config: &Config,
    guarded: Option<Vec<Value>>,
) -> Result<(), GatewayError> {
    if let Some(list) = guarded.filter(|list| config.list_as_written() != *list) {
        write(call, config, &list).await?;
    }
    Ok(())
}

async fn write(call: &Call, config: &Config, list: &[Value]) -> Result<bool, GatewayError> {
    config::patch(call, &json!({ "agents": { "list": list } }), config.hash.clone()).await
}
