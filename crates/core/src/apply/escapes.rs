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
use crate::gateway::agents_config::{Config, Shape};
use crate::gateway::{Call, GatewayError};

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
    let (raised, others) = (config.list_escaped_again(first), config.list_without(agent));
    if raised == config.list_as_written() {
        return Ok(None);
    }
    config::patch(call, &json!({ "agents": { "list": raised } }), config.hash.clone()).await?;
    Ok(Some(others))
}

/// Writes the preserved list if the gateway has left another one.
pub(super) async fn put_back(
    call: &Call,
    config: &Config,
    guarded: Option<Vec<Value>>,
) -> Result<(), GatewayError> {
    match guarded {
        Some(list) if config.list_as_written() != list => {
            config::patch(call, &json!({ "agents": { "list": list } }), config.hash.clone())
                .await
                .map(drop)
        }
        _ => Ok(()),
    }
}
