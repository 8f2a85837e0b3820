//! The config stage: agents' entries, and what channels show of heartbeats.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use super::{MAX_WRITES, settling};
use crate::gateway::roster::{Change, Config, DesiredAgent, Shape, droppable, known_refusals};
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::outcome::Report;

/// How often the config is read before a write that was acknowledged counts as lost. Some gateways go on showing the
/// old config for seconds; the waits between add up to about eight.
const READINGS: u32 = 12;
/// How often a write may be refused because the config has changed. Some gateways go on giving an old hash for a while;
/// the waits between add up to about seven seconds.
const MAX_REFUSALS: u32 = 10;

/// What became of a write.
enum Written {
    /// It was, or may have been, carried out.
    Carried,
    /// Not written, and worth another try after the next reading.
    Refused(GatewayError),
}

/// Makes every agent's entry as desired, with as few writes as possible, and reads back. Only one run at a time does
/// this on a gateway: concurrent writes are lost silently on most versions.
pub(super) async fn settle(call: &Call, desired: &[DesiredAgent], report: &mut Report) -> Result<Shape, GatewayError> {
    let _writer = call.client().config_writer.lock().await;
    let (mut writes, mut refusals, mut unseen) = (0, 0, READINGS);
    loop {
        let config = read(call).await?;
        let shape = shape_of(call, &config);
        let Some(change) = change(call, &config, shape, desired, report) else { return Ok(shape) };
        if unseen < READINGS {
            // Written, and not to be seen yet.
            unseen += 1;
            sleep(settling(unseen)).await;
            continue;
        }
        if writes == MAX_WRITES {
            return Err(GatewayError::NotKept { what: change.written.join("; "), rounds: writes });
        }
        match write(call, &change, config.hash).await? {
            Written::Carried => {
                (writes, unseen) = (writes + 1, 0);
                report.note_all(change.written);
            }
            Written::Refused(error) if refusals == MAX_REFUSALS => return Err(error),
            Written::Refused(error) => {
                refusals += 1;
                if error.rpc().is_some_and(RpcError::is_config_stale) {
                    sleep(settling(refusals)).await;
                }
            }
        }
    }
}

/// Reads the config.
pub(super) async fn read(call: &Call) -> Result<Config, GatewayError> {
    Config::read(&call.read(Method::ConfigGet, json!({})).await?)
}

/// The shape to write: the one shown; else the one that fits what the gateway says of itself.
pub(super) fn shape_of(call: &Call, config: &Config) -> Shape {
    let guess = if call.has_ownership() { Shape::Entries } else { Shape::List };
    config.shape.unwrap_or(guess)
}

/// Whether the config is as desired, as far as this gateway can keep it.
pub(super) fn is_settled(call: &Call, config: &Config, desired: &[DesiredAgent]) -> bool {
    let shape = shape_of(call, config);
    config.change(shape, desired, &refused_keys(call, shape), call.default_agent()).is_none()
}

fn refused_keys(call: &Call, shape: Shape) -> BTreeSet<String> {
    let mut refused = known_refusals(shape);
    refused.extend(call.client().capabilities().refused_keys);
    refused
}

/// The fewest writes to make the config as desired; what the gateway does not know of it is reported as left out.
fn change(call: &Call, config: &Config, shape: Shape, desired: &[DesiredAgent], report: &mut Report) -> Option<Change> {
    let refused = refused_keys(call, shape);
    for key in &refused {
        let of_agents = key.strip_prefix("heartbeat.");
        if of_agents.is_none_or(|key| desired.iter().any(|agent| agent.heartbeat.contains_key(key))) {
            report.skip(format!("config {key}"), "this gateway does not know it");
        }
    }
    config.change(shape, desired, &refused, call.default_agent())
}

async fn write(call: &Call, change: &Change, hash: Option<Value>) -> Result<Written, GatewayError> {
    let error = match patch(call, &change.patch, hash).await {
        Ok(()) => return Ok(Written::Carried),
        Err(error) => error,
    };
    let Some(rpc) = error.rpc() else { return Err(error) };
    if let Some(keys) = droppable(&rpc.unrecognized_keys()) {
        call.client().learn(|known| known.refused_keys.extend(keys));
        return Ok(Written::Refused(error));
    }
    if rpc.is_config_stale() { Ok(Written::Refused(error)) } else { Err(error) }
}

/// Sends a merge patch. Success means that it was, or may have been, carried out; the next reading tells.
pub(super) async fn patch(call: &Call, patch: &Value, hash: Option<Value>) -> Result<(), GatewayError> {
    let mut params = json!({ "raw": patch.to_string() });
    if let Some(hash) = hash {
        params["baseHash"] = hash;
    }
    match call.write(Method::ConfigPatch, params).await {
        Ok(_) => Ok(()),
        Err(error) if error.may_have_been_carried_out() && error.is_connection_lost() => {
            debug!(%error, "reading back after an unanswered config write");
            Ok(())
        }
        // Written, and the gateway restarts because it could not take it in while running.
        Err(error) if error.rpc().is_some_and(|rpc| rpc.says("persisted")) => Ok(()),
        Err(error) => Err(error),
    }
}
