//! The config stage: agents' entries, and what channels show of heartbeats.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use super::{MAX_WRITES, settling};
use crate::gateway::roster::{Change, Config, DesiredAgent, Shape, droppable, known_refusals};
use crate::gateway::{Call, GatewayError, Method};
use crate::outcome::Report;

/// How often the config is read before a write that was acknowledged counts as lost. Some gateways go on showing the
/// old config for seconds; the waits between add up to about eight.
const READINGS: u32 = 12;

/// Makes every agent's entry as desired, with as few writes as possible, and reads back. Only one run at a time does
/// this on a gateway: concurrent writes are lost silently on most versions.
pub(super) async fn settle(call: &Call, desired: &[DesiredAgent], report: &mut Report) -> Result<Shape, GatewayError> {
    let _writer = call.client().config_writer.lock().await;
    let mut writes = 0;
    loop {
        // The first reading decides; later ones look whether the last write has arrived.
        let mut pending = None;
        for reading in 0..if writes == 0 { 1 } else { READINGS } {
            if reading > 0 {
                sleep(settling(reading)).await;
            }
            let config = read(call).await?;
            let shape = shape_of(call, &config);
            pending = change(call, &config, shape, desired, report);
            if pending.is_none() {
                return Ok(shape);
            }
        }
        let (change, hash) = pending.expect("every reading above showed a difference");
        if writes == MAX_WRITES {
            return Err(GatewayError::NotKept { what: change.written.join("; "), rounds: writes });
        }
        writes += 1;
        if write(call, &change, hash).await? {
            for written in change.written {
                if !report.written.contains(&written) {
                    report.written.push(written);
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

fn change(
    call: &Call,
    config: &Config,
    shape: Shape,
    desired: &[DesiredAgent],
    report: &mut Report,
) -> Option<(Change, Option<Value>)> {
    let refused = refused_keys(call, shape);
    for key in &refused {
        let of_agents = key.strip_prefix("heartbeat.");
        if of_agents.is_none_or(|key| desired.iter().any(|agent| agent.heartbeat.contains_key(key))) {
            report.skip(format!("config {key}"), "this gateway does not know it");
        }
    }
    let change = config.change(shape, desired, &refused, call.default_agent())?;
    Some((change, config.hash.clone()))
}

/// Writes a change. True if it was, or may have been, carried out; false if the config has to be read again first.
async fn write(call: &Call, change: &Change, hash: Option<Value>) -> Result<bool, GatewayError> {
    let error = match patch(call, &change.patch, hash).await {
        Ok(()) => return Ok(true),
        Err(error) => error,
    };
    if let Some(rpc) = error.rpc() {
        if rpc.is_config_stale() {
            return Ok(false);
        }
        if let Some(keys) = droppable(&rpc.unrecognized_keys()) {
            call.client().learn(|known| known.refused_keys.extend(keys));
            return Ok(false);
        }
    }
    Err(error)
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
