//! Keeps the texts of other agents whole when an agent is deleted on a gateway that forgets how
//! they are spelt.
//!
//! Gateways of early 2026 write the config that they work with over the file when they delete an
//! agent: a text that the file spells `$${NAME}` becomes `${NAME}`, a reference, and a reference
//! becomes the value of its variable. If a variable is not set, the gateway does not start again.
//! Later gateways with a list compare each text with the one that stood at the same place before,
//! so they do this to the agents that come after the deleted one. Such texts are therefore spelt
//! once more before the deletion, and put back where the gateway has left them so.

use serde_json::{Value, json};

use super::config;
use crate::gateway::agents_config::{Config, Shape};
use crate::gateway::{Call, GatewayError};

/// The version that gateways give which do not tell theirs: those of early 2026.
const UNTOLD: &str = "dev";

/// The list of agents as the file has to have it when the agent is gone; none if nothing has to be
/// guarded.
pub(super) async fn guard(
    call: &Call,
    config: &Config,
    agent: &str,
) -> Result<Option<Vec<Value>>, GatewayError> {
    if config.shape != Some(Shape::List) {
        return Ok(None);
    }
    let is_old = call.met().is_none_or(|met| met.version == UNTOLD);
    let first = if is_old { 0 } else { config.place_of(agent) };
    let (raised, others) = (config.list_spelt_once_more(first), config.list_without(agent));
    if raised == config.list_as_written() {
        return Ok(None);
    }
    config::patch(call, &json!({ "agents": { "list": raised } }), config.hash.clone()).await?;
    Ok(Some(others))
}

/// Writes the guarded list if the gateway has left it otherwise.
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
