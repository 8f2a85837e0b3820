//! The config stage: writes the agents' entries and the visibility of heartbeats in channels.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::debug;

use super::Flow;
use super::config_writer::Writer;
use crate::gateway::agents_config::{
    self, Config, DesiredAgent, Shape, VISIBILITY, known_refusals,
};
use crate::gateway::{Announcement, Answer, Call, Defect, GatewayError, Method};
use crate::heartbeat;
use crate::outcome;

/// Makes every agent's entry as desired with as few writes as possible, and reads back. Runs that
/// change the config of one gateway at the same time share their writes; `announcement` has
/// announced this run. Returns whether one of the agents is new in the config.
///
/// Nothing is read if `known`, a config that this run has just read, is already as desired.
pub(super) async fn converge(
    flow: &mut Flow<'_>,
    desired: &[DesiredAgent],
    known: Option<&Config>,
    announcement: Option<Announcement>,
) -> Result<bool, GatewayError> {
    let call = flow.call;
    if let Some(config) = known.filter(|config| is_settled(call, config, desired)) {
        report_refused(flow, shape_of(call, config), desired);
        return Ok(false);
    }
    let group_commit = &call.client().group_commit;
    let shared: Arc<[DesiredAgent]> = desired.into();
    let begun = flow.begun;
    let submit = || group_commit.submit(Arc::clone(&shared), Arc::clone(call.journal()), begun);
    let mut commit = submit();
    drop(announcement);
    let committed = loop {
        tokio::select! {
            biased;
            answer = &mut commit => match answer {
                Ok(result) => break result?,
                // The run that was writing this change was stopped.
                Err(_) => commit = submit(),
            },
            _writing = group_commit.write_lock.lock() => {
                group_commit.gather().await;
                Writer::new(call).run().await;
            }
        }
    };
    for part in &committed.written {
        flow.note(outcome::Change::of_config(part));
    }
    report_refused(flow, committed.shape, desired);
    Ok(committed.is_new)
}

/// Reads the config; concurrent callers share one reading.
pub(super) async fn read(call: &Call) -> Result<Arc<Config>, GatewayError> {
    let read = async |_| take(call, call.read(Method::ConfigGet, json!({})).await?);
    call.client().group_commit.config.read(read).await
}

/// Parses the config in an answer, and remembers what it shows about the gateway.
pub(super) fn take(call: &Call, answer: Answer) -> Result<Config, GatewayError> {
    let config = Config::read(answer)?;
    call.client().learn(|known| {
        known.heartbeat_turns = config.heartbeat_turns_per_day();
        known.shown_chars = config.shown_chars();
    });
    Ok(config)
}

/// Returns the shape to write: the one that the config has, otherwise the one that fits what the
/// gateway announced.
pub(super) fn shape_of(call: &Call, config: &Config) -> Shape {
    let guess = if call.has_ownership() { Shape::Entries } else { Shape::List };
    config.shape.unwrap_or(guess)
}

/// Returns whether the config is as desired, except for keys that the gateway refuses.
pub(super) fn is_settled(call: &Call, config: &Config, desired: &[DesiredAgent]) -> bool {
    let shape = shape_of(call, config);
    config.is_as_desired(shape, desired, &refused_keys(call, shape))
}

pub(super) fn refused_keys(call: &Call, shape: Shape) -> BTreeSet<String> {
    let mut refused = known_refusals(shape);
    refused.extend(call.client().capabilities().refused_keys);
    if channels_restart(call).is_some() {
        refused.insert(VISIBILITY.to_owned());
    }
    refused
}

/// Returns the names of the members of an agent's entry that the gateway has now, as wanted.
pub(super) fn members_of(flow: &Flow<'_>, agent: &DesiredAgent) -> Map<String, Value> {
    let refused = flow.shape.map(|shape| refused_keys(flow.call, shape)).unwrap_or_default();
    let mut heartbeat = agents_config::members_of(&agent.heartbeat);
    heartbeat.retain(|key, _| !refused.contains(&format!("heartbeat.{key}")));
    let mut members: Map<_, _> = [("workspace".to_owned(), json!(true))].into_iter().collect();
    members.extend(agent.name.as_ref().map(|_| ("name".to_owned(), json!(true))));
    members.insert("heartbeat".to_owned(), Value::Object(heartbeat));
    members
}

/// Returns what [`converge`] would write now, and whether the config has all these agents.
pub(super) async fn plan(
    flow: &mut Flow<'_>,
    desired: &[DesiredAgent],
) -> Result<(Vec<outcome::Change>, bool), GatewayError> {
    let call = flow.call;
    let config = read(call).await?;
    let shape = shape_of(call, &config);
    report_refused(flow, shape, desired);
    let change = config.change(shape, desired, &refused_keys(call, shape), call.default_agent());
    let parts = change.into_iter().flat_map(|change| change.parts);
    let are_known = desired.iter().all(|agent| config.agent(&agent.id).is_some());
    Ok((parts.map(|part| outcome::Change::of_config(&part)).collect(), are_known))
}

/// Notes the shape of the config, and reports the desired keys that the gateway does not know.
fn report_refused(flow: &mut Flow<'_>, shape: Shape, desired: &[DesiredAgent]) {
    flow.shape = Some(shape);
    for key in refused_keys(flow.call, shape) {
        if key == VISIBILITY {
            let why = channels_restart(flow.call).unwrap_or(UNKNOWN_KEY);
            flow.skip(format!("config channels.defaults.{}", shape.visibility_key()), why);
            continue;
        }
        let is_reported = match key.strip_prefix("heartbeat.") {
            Some(key) => {
                heartbeat::meant(key).is_none()
                    && desired.iter().any(|agent| agent.heartbeat.contains_key(key))
            }
            None => true,
        };
        if is_reported {
            flow.skip(format!("config {key}"), UNKNOWN_KEY);
        }
    }
    // These keys are reported before a gateway refuses or silently drops them.
    for (key, meant) in desired.iter().flat_map(|agent| heartbeat::misspelt(&agent.heartbeat)) {
        flow.skip(
            format!("config heartbeat.{key}"),
            format!("no gateway is known to have it; is `{meant}` meant?"),
        );
    }
}

const UNKNOWN_KEY: &str = "this gateway does not know it";

/// Returns the reason why the visibility of heartbeats in channels is left alone; `None` if it may
/// be written. Some versions restart because of it and do harm.
fn channels_restart(call: &Call) -> Option<&'static str> {
    if call.has_defect(Defect::StaleRestart) {
        return Some(Defect::StaleRestart.sentence());
    }
    call.has_defect(Defect::SessionsLost)
        .then_some("this version restarts when `channels` changes for the first time")
}

/// Sends a merge patch. Success means that it was, or may have been, carried out; the next reading
/// shows which.
///
/// Returns whether it was acknowledged.
pub(super) async fn patch(
    call: &Call,
    patch: &Value,
    hash: Option<Value>,
) -> Result<bool, GatewayError> {
    let mut params = json!({ "raw": patch.to_string() });
    if let Some(hash) = hash {
        params["baseHash"] = hash;
    }
    match call.write(Method::ConfigPatch, params).await {
        Ok(_) => Ok(true),
        Err(error) if error.may_have_been_carried_out() && error.is_connection_lost() => {
            debug!(method = ?error.method(), "reading back after an unanswered config write");
            // Only a request that was lost with its connection may not have been carried out.
            Ok(!matches!(error, GatewayError::Closed { .. }))
        }
        // The gateway has written the file, and restarts because it could not apply all of it while
        // running.
        Err(error)
            if error.rpc().is_some_and(|rpc| {
                rpc.is_form(&[
                    "config.patch persisted but was not applied*",
                    "config.patch persisted and updated the active gateway, but *",
                ])
            }) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
