//! The config stage: agents' entries, and what channels show of heartbeats.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use super::{MAX_WRITES, settling};
use crate::gateway::roster::{Change, Config, DesiredAgent, Shape, droppable, known_refusals, latest};
use crate::gateway::{Awaited, Call, GatewayError, Method, RpcError, Wish};
use crate::outcome::{self, Report};

/// How often the config is read before a write that was acknowledged counts as lost. Some gateways go on showing the
/// old config for seconds; the waits between add up to about eight.
const READINGS: u32 = 12;
/// How often a write may be refused because the config has changed. Some gateways go on giving an old hash for a while;
/// the waits between add up to about seven seconds.
const MAX_REFUSALS: u32 = 10;
/// Most keys remembered that a gateway does not know, before it is asked anew.
const MAX_REFUSED_KEYS: usize = 256;

/// Makes every agent's entry as desired, with as few writes as possible, and reads back. Runs that want something of the
/// same gateway's config at the same time share their writes; `coming` has announced this one. The shape of the config, and
/// whether one of the agents is new in it.
pub(super) async fn settle(
    call: &Call,
    desired: &[DesiredAgent],
    coming: Option<Awaited>,
    report: &mut Report,
) -> Result<(Shape, bool), GatewayError> {
    let desk = &call.client().desk;
    let desired: Arc<[DesiredAgent]> = desired.into();
    let mut granted = desk.put(Arc::clone(&desired));
    drop(coming);
    loop {
        tokio::select! {
            biased;
            answer = &mut granted => match answer {
                Ok(granted) => {
                    let granted = granted?;
                    granted.written.into_iter().for_each(|change| report.note(change));
                    report_refused(call, granted.shape, &desired, report);
                    return Ok((granted.shape, granted.is_new));
                }
                // The run that wrote for this one was stopped.
                Err(_) => granted = desk.put(Arc::clone(&desired)),
            },
            _pen = desk.pen.lock() => {
                desk.gather().await;
                grant_wishes(call).await;
            }
        }
    }
}

/// Writes what all wishes on the desk want, reads back, and answers them. A wish that comes after the first write waits
/// for the next one. Only who holds the pen does this.
async fn grant_wishes(call: &Call) {
    let desk = &call.client().desk;
    let mut batch = Vec::new();
    let (mut writes, mut refusals, mut unseen) = (0, 0, READINGS);
    loop {
        let config = read(call).await;
        if writes == 0 {
            desk.take_into(&mut batch);
        }
        let config = match config {
            Ok(config) => config,
            Err(error) => return fail(batch, &error),
        };
        let shape = shape_of(call, &config);
        let refused = refused_keys(call, shape);
        for wish in batch.extract_if(.., |wish: &mut Wish| config.is_as_desired(&wish.desired, &refused)) {
            wish.answer(Ok(shape));
        }
        let desired = latest(batch.iter().flat_map(|wish| wish.desired.iter().cloned()).collect());
        let change = config.change(shape, &desired, &refused, call.default_agent());
        let Some(change) = change.filter(|_| !batch.is_empty()) else { return };
        if unseen < READINGS {
            // Written, and not to be seen yet.
            unseen += 1;
            sleep(settling(unseen)).await;
            continue;
        }
        if writes == MAX_WRITES {
            return fail(batch, &GatewayError::NotKept { what: change.in_words(), rounds: writes });
        }
        match patch(call, &change.patch, config.hash.clone()).await {
            Ok(()) => {
                (writes, unseen) = (writes + 1, 0);
                note(&mut batch, &change);
            }
            Err(error) if refusals < MAX_REFUSALS && may_be_tried_again(call, &error) => {
                refusals += 1;
                if error.rpc().is_some_and(RpcError::is_config_stale) {
                    sleep(settling(refusals)).await;
                }
            }
            Err(error) => batch = spare_the_innocent(batch, &change, &error),
        }
    }
}

/// Ends all wishes with an error.
fn fail(batch: Vec<Wish>, error: &GatewayError) {
    for wish in batch {
        wish.answer(Err(error.clone()));
    }
}

/// Ends the wishes that the gateway finds fault with; all, if it does not say which. The others are left.
fn spare_the_innocent(batch: Vec<Wish>, change: &Change, error: &GatewayError) -> Vec<Wish> {
    let culprits = error.rpc().and_then(|rpc| change.culprits(rpc)).unwrap_or_default();
    let is_culprit = |wish: &Wish| wish.desired.iter().any(|agent| culprits.contains(&agent.id));
    let (guilty, innocent) = batch.into_iter().partition(|wish| culprits.is_empty() || is_culprit(wish));
    fail(guilty, error);
    innocent
}

/// Notes what was written, for the reports: of each agent in those that want it, the rest in the first.
fn note(batch: &mut [Wish], change: &Change) {
    for part in &change.parts {
        let wants = |wish: &Wish| wish.desired.iter().any(|agent| part.agent.as_ref() == Some(&agent.id));
        let wishes = batch.iter_mut().enumerate();
        for (_, wish) in wishes.filter(|(at, wish)| if part.agent.is_some() { wants(wish) } else { *at == 0 }) {
            wish.written.push(outcome::Change::of_config(part));
            wish.is_new |= part.agent.is_some() && part.before.is_empty();
        }
    }
}

/// Reads the config, together with others that do so now.
pub(super) async fn read(call: &Call) -> Result<Arc<Config>, GatewayError> {
    let read = async |_| take(call, &call.read(Method::ConfigGet, json!({})).await?);
    call.client().desk.config.read(read).await
}

/// The config in an answer; what it says of the gateway is remembered.
pub(super) fn take(call: &Call, answer: &Value) -> Result<Config, GatewayError> {
    let config = Config::read(answer)?;
    call.client().learn(|known| known.heartbeat_turns = config.heartbeat_turns_per_day());
    Ok(config)
}

/// The shape to write: the one shown; else the one that fits what the gateway says of itself.
pub(super) fn shape_of(call: &Call, config: &Config) -> Shape {
    let guess = if call.has_ownership() { Shape::Entries } else { Shape::List };
    config.shape.unwrap_or(guess)
}

/// Whether the config is as desired, as far as this gateway can keep it.
pub(super) fn is_settled(call: &Call, config: &Config, desired: &[DesiredAgent]) -> bool {
    let shape = shape_of(call, config);
    config.is_as_desired(desired, &refused_keys(call, shape))
}

pub(super) fn refused_keys(call: &Call, shape: Shape) -> BTreeSet<String> {
    let mut refused = known_refusals(shape);
    refused.extend(call.client().capabilities().refused_keys);
    refused
}

/// What [`settle`] would write now, and the config that it was compared with.
pub(super) async fn plan(
    call: &Call,
    desired: &[DesiredAgent],
    report: &mut Report,
) -> Result<(Arc<Config>, Option<Change>), GatewayError> {
    let config = read(call).await?;
    let shape = shape_of(call, &config);
    report_refused(call, shape, desired, report);
    let change = config.change(shape, desired, &refused_keys(call, shape), call.default_agent());
    Ok((config, change))
}

/// Reports what the gateway does not know of what is desired.
fn report_refused(call: &Call, shape: Shape, desired: &[DesiredAgent], report: &mut Report) {
    for key in refused_keys(call, shape) {
        let of_agents = key.strip_prefix("heartbeat.");
        if of_agents.is_none_or(|key| desired.iter().any(|agent| agent.heartbeat.contains_key(key))) {
            report.skip(format!("config {key}"), "this gateway does not know it");
        }
    }
}

/// Whether a refused write may be taken after reading again: the config had changed, or keys were refused that can be
/// left out, which is remembered.
fn may_be_tried_again(call: &Call, error: &GatewayError) -> bool {
    let Some(rpc) = error.rpc() else { return false };
    if let Some(keys) = droppable(&rpc.unrecognized_keys()) {
        call.client().learn(|known| {
            // To ask again costs a write; to remember all that a gateway makes up costs memory.
            if known.refused_keys.len() > MAX_REFUSED_KEYS {
                known.refused_keys.clear();
            }
            known.refused_keys.extend(keys);
        });
        return true;
    }
    rpc.is_config_stale()
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
            debug!(method = ?error.method(), "reading back after an unanswered config write");
            Ok(())
        }
        // Written, and the gateway restarts because it could not take it in while running.
        Err(error) if error.rpc().is_some_and(|rpc| rpc.is_form(&["config.patch persisted but was not applied*"])) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}
