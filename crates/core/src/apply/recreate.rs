//! Creates and deletes an agent by call, for cases in which its entry in the config is not enough.
//!
//! Both write the config, so the caller holds the write lock.

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{Desired, Flow, MAX_WRITES, config, settling};
use crate::gateway::agents_config::{Config, escaped};
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::journal::{CREATIONS, Refused, Step};
use crate::outcome::Change;

/// The most times that a prompt is halved; enough for one of 65,535 characters.
const MAX_HALVINGS: usize = 17;

/// Records a step in the job's journal before it is taken. `spent` is the error for a job that has
/// taken it as often as it may.
pub(super) async fn spend(
    call: &Call,
    step: Step,
    config: &Config,
    spent: GatewayError,
) -> Result<(), GatewayError> {
    let hash = config.hash.as_ref();
    call.journal().refund(hash);
    call.journal().spend(vec![step], hash).await.map_err(|refused| match refused {
        Refused::NotSaved(error) => GatewayError::NotSaved(error),
        Refused::Spent(_) => spent,
    })
}

/// Creates the agent by call, unless its job has already done so and has seen that it does not
/// help. The files may then be the gateway's own.
pub(super) async fn create(flow: &mut Flow<'_>, wanted: &Desired) -> Result<(), GatewayError> {
    let (call, entry) = (flow.call, wanted.entry(None, None));
    let spent = GatewayError::SessionsLost { agent: entry.id.clone() };
    spend(call, Step::Create, &*config::read(call).await?, spent).await?;
    let params = json!({ "name": entry.id, "workspace": escaped(&entry.workspace) });
    match call.write(Method::AgentsCreate, params).await {
        Ok(_) => {
            let is_there = settles(call, &entry.id, true).await?;
            call.journal().answered(is_there);
            if !is_there {
                let what = format!("creation of {}", entry.id);
                return Err(GatewayError::NotKept { what, rounds: 1 });
            }
            flow.note(Change::plain(format!("agent {}", entry.id)));
        }
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_known) => {
            call.journal().answered(false);
            return Ok(());
        }
        // The entry must not be written for an agent that was not created, so its existence must be
        // known.
        Err(error) if error.is_connection_lost() => {
            let config = config::read(call).await?;
            call.journal().refund(config.hash.as_ref());
            return if config.agent(&entry.id).is_some() { Ok(()) } else { Err(error) };
        }
        Err(error) => {
            call.journal().answered(error.rpc().is_none());
            return Err(error);
        }
    }
    // An agent is created with its id as its name; the name for people is set afterwards.
    let params = json!({
        "agentId": entry.id,
        "name": entry.name.as_deref().map(escaped),
        "workspace": escaped(&entry.workspace),
    });
    match call.write(Method::AgentsUpdate, params).await {
        // A gateway that has not yet loaded the agent takes its name from the config.
        Err(error) if is_agent_unknown(&error) || error.is_connection_lost() => Ok(()),
        answer => answer.map(drop),
    }
}

/// Deletes an agent and creates it again, with its files and with what people wrote into its entry.
/// A gateway that has a record of an agent's deletion keeps the record even if a person restores
/// the entry, and drops it only for this.
pub(super) async fn renew(flow: &mut Flow<'_>, wanted: &Desired) -> Result<(), GatewayError> {
    let (call, agent) = (flow.call, &wanted.keys.agent_id);
    if call.journal().effects().creations() >= CREATIONS {
        return Err(GatewayError::SessionsLost { agent: agent.clone() });
    }
    let entry = config::read(call).await?.as_written(agent).cloned().unwrap_or_default();
    match delete(flow, agent, false).await {
        Err(error) if is_agent_unknown(&error) => {}
        // The deletion may be carried out after the next request, and would then delete what that
        // has created.
        Ok(None) if !settles(call, agent, false).await? => {
            let what = format!("deletion of {agent}");
            return Err(GatewayError::NotKept { what, rounds: 1 });
        }
        answer => drop(answer?),
    }
    create(flow, wanted).await?;
    let (shown, hidden): (Map<_, _>, Map<_, _>) = entry
        .into_iter()
        .filter(|(key, _)| key != "agentDir")
        .partition(|(_, value)| !has_secret(value));
    for key in hidden.keys() {
        flow.skip(
            format!("config agents.entries.{agent}.{key}"),
            "it contains a secret that the gateway does not return",
        );
    }
    let patch = json!({ "agents": { "entries": { agent: shown } } });
    for _ in 0..MAX_WRITES {
        let hash = config::read(call).await?.hash.clone();
        match config::patch(call, &patch, hash).await {
            Err(error) if error.rpc().is_some_and(RpcError::is_config_stale) => {}
            answer => return answer.map(drop),
        }
    }
    Err(GatewayError::NotKept { what: format!("config of {agent}"), rounds: MAX_WRITES })
}

/// Reads the config until it has the agent or, unless `is_there`, no longer has it. Returns `false`
/// if that does not happen in time.
async fn settles(call: &Call, agent: &str, is_there: bool) -> Result<bool, GatewayError> {
    for reading in 0..=MAX_WRITES {
        if config::read(call).await?.agent(agent).is_some() == is_there {
            return Ok(true);
        }
        sleep(settling(reading)).await;
    }
    Ok(false)
}

/// Deletes an agent that this job has just created. A gateway with an agent whose sessions it
/// cannot open would not start again.
pub(super) async fn undo_creation(
    flow: &mut Flow<'_>,
    wanted: &Desired,
) -> Result<(), GatewayError> {
    match delete(flow, &wanted.keys.agent_id, true).await {
        Err(error) if is_agent_unknown(&error) => Ok(()),
        answer => answer.map(drop),
    }
}

pub(super) fn is_agent_unknown(error: &GatewayError) -> bool {
    error.rpc().is_some_and(RpcError::is_agent_unknown)
}

/// Returns whether a value contains a secret that the gateway does not return.
fn has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text == "__OPENCLAW_REDACTED__",
        Value::Array(values) => values.iter().any(has_secret),
        Value::Object(members) => members.values().any(has_secret),
        _ => false,
    }
}

/// Deletes an agent. Returns the gateway's answer; `None` if the answer was lost. Reports bindings
/// that were deleted with it.
///
/// A gateway refuses to shrink its config to less than half at once. The longest part of an entry
/// is its heartbeat prompt, so that is halved until the agent can be deleted.
pub(super) async fn delete(
    flow: &mut Flow<'_>,
    agent: &str,
    files: bool,
) -> Result<Option<Value>, GatewayError> {
    let call = flow.call;
    let params = json!({ "agentId": agent, "deleteFiles": files });
    let mut halvings = 0;
    loop {
        match call.write(Method::AgentsDelete, params.clone()).await {
            Ok(answer) => {
                report_bindings(flow, &answer, agent);
                return Ok(Some(answer));
            }
            Err(error) if error.is_connection_lost() => return Ok(None),
            Err(error)
                if halvings < MAX_HALVINGS && error.rpc().is_some_and(RpcError::is_size_drop) =>
            {
                halvings += 1;
                let config = config::read(call).await?;
                let Some(shorter) = half_the_prompt(&config, agent) else { return Err(error) };
                let entry = json!({ "heartbeat": { "prompt": shorter } });
                let patch = json!({ "agents": { "entries": { agent: entry } } });
                config::patch(call, &patch, config.hash.clone()).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Some gateways count the bindings, others list them.
fn report_bindings(flow: &mut Flow<'_>, answer: &Value, agent: &str) {
    let count = match answer.get("removedBindings") {
        Some(Value::Array(list)) => list.len() as u64,
        count => count.and_then(Value::as_u64).unwrap_or_default(),
    };
    if count > 0 {
        flow.skip(
            format!("{count} bindings of {agent}"),
            "the gateway removed them together with the agent",
        );
    }
}

/// Returns the first half of the agent's prompt; null after the last character, `None` if there is
/// no prompt.
fn half_the_prompt(config: &Config, agent: &str) -> Option<Value> {
    let prompt = config.agent(agent)?.get("heartbeat")?.get("prompt")?.as_str()?;
    let half: String = prompt.chars().take(prompt.chars().count() / 2).collect();
    Some(if half.is_empty() { Value::Null } else { Value::String(half) })
}
