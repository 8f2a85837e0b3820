//! Creates and deletes an agent by call, for cases in which its entry in the config is not enough.
//!
//! Both write the config, so the caller holds the write lock.

use serde_json::{Map, Value, json};

use tokio::time::sleep;

use super::{Desired, MAX_WRITES, config, settling};
use crate::gateway::agents_config::{Config, escaped};
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::journal::{CREATIONS, Refused, Step};
use crate::outcome::{Change, Report};

/// The most times that a prompt is halved; enough for one of 65,535 characters.
const MAX_HALVINGS: usize = 17;

/// Creates the agent by call, unless its job has already done so. The files may then be the
/// gateway's own.
pub(super) async fn create(
    call: &Call,
    wanted: &Desired,
    report: &mut Report,
) -> Result<(), GatewayError> {
    spend_creation(call, wanted).await?;
    let entry = wanted.entry(None, None);
    let params = json!({ "name": entry.id, "workspace": escaped(&entry.workspace) });
    match call.write(Method::AgentsCreate, params).await {
        Ok(_) => {
            if !is_there_soon(call, &entry.id).await? {
                call.journal().answered(false, &[Step::Create]);
                return Err(GatewayError::NotKept {
                    what: format!("creation of {}", entry.id),
                    rounds: 1,
                });
            }
            call.journal().answered(true, &[Step::Create]);
            report.note(Change::new(format!("agent {}", entry.id), ""));
        }
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_known) => {
            call.journal().answered(false, &[Step::Create]);
            return Ok(());
        }
        // The entry must not be written for an agent that was not created, so its existence must be
        // known.
        Err(error) if error.is_connection_lost() => {
            let config = config::read(call).await?;
            call.journal().refund(config.hash.as_ref());
            if config.agent(&entry.id).is_some() {
                return Ok(());
            }
            return Err(error);
        }
        Err(error) => {
            call.journal().answered(error.rpc().is_none(), &[Step::Create]);
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
        Err(error)
            if error.rpc().is_some_and(RpcError::is_agent_unknown)
                || error.is_connection_lost() =>
        {
            Ok(())
        }
        answer => answer.map(drop),
    }
}

/// Records that the agent is about to be created. A job that has already done so has seen that it
/// does not help.
async fn spend_creation(call: &Call, wanted: &Desired) -> Result<(), GatewayError> {
    let agent = &wanted.keys.agent_id;
    let config = config::read(call).await?;
    call.journal().refund(config.hash.as_ref());
    call.journal().spend(vec![Step::Create], config.hash.as_ref()).await.map_err(|refused| {
        match refused {
            Refused::NotSaved(error) => GatewayError::NotSaved(error),
            Refused::Spent(_) => GatewayError::SessionsLost { agent: agent.clone() },
        }
    })
}

/// Deletes an agent and creates it again, with its files and with what people wrote into its entry.
/// A gateway that has a record of an agent's deletion keeps the record even if a person restores
/// the entry, and drops it only for this.
pub(super) async fn renew(
    call: &Call,
    wanted: &Desired,
    report: &mut Report,
) -> Result<(), GatewayError> {
    let agent = &wanted.keys.agent_id;
    let effects = call.journal().effects();
    if effects.creations() >= CREATIONS {
        return Err(GatewayError::SessionsLost { agent: agent.clone() });
    }
    let entry = config::read(call).await?.as_written(agent).cloned().unwrap_or_default();
    match delete(call, agent, false, report).await {
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => {}
        // The deletion may be carried out after the next request, and would then delete what that
        // has created.
        Ok(None) => wait_until_gone(call, agent).await?,
        answer => drop(answer?),
    }
    create(call, wanted, report).await?;
    let (shown, hidden): (Map<_, _>, Map<_, _>) = entry
        .into_iter()
        .filter(|(key, _)| key != "agentDir")
        .partition(|(_, value)| !has_secret(value));
    for key in hidden.keys() {
        report.skip(
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

async fn is_there_soon(call: &Call, agent: &str) -> Result<bool, GatewayError> {
    for reading in 0..=MAX_WRITES {
        if config::read(call).await?.agent(agent).is_some() {
            return Ok(true);
        }
        sleep(settling(reading)).await;
    }
    Ok(false)
}

async fn wait_until_gone(call: &Call, agent: &str) -> Result<(), GatewayError> {
    for reading in 0..=MAX_WRITES {
        if config::read(call).await?.agent(agent).is_none() {
            return Ok(());
        }
        sleep(settling(reading)).await;
    }
    Err(GatewayError::NotKept { what: format!("deletion of {agent}"), rounds: 1 })
}

/// Deletes an agent that this job has just created. A gateway with an agent whose sessions it
/// cannot open would not start again.
pub(super) async fn undo_creation(
    call: &Call,
    wanted: &Desired,
    report: &mut Report,
) -> Result<(), GatewayError> {
    let agent = &wanted.keys.agent_id;
    match delete(call, agent, true, report).await {
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => {}
        answer => drop(answer?),
    }
    Ok(())
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
    call: &Call,
    agent: &str,
    files: bool,
    report: &mut Report,
) -> Result<Option<Value>, GatewayError> {
    let params = json!({ "agentId": agent, "deleteFiles": files });
    let mut halvings = 0;
    loop {
        let error = match call.write(Method::AgentsDelete, params.clone()).await {
            Ok(answer) => {
                report_bindings(&answer, agent, report);
                return Ok(Some(answer));
            }
            Err(error) if error.is_connection_lost() => return Ok(None),
            Err(error)
                if halvings < MAX_HALVINGS && error.rpc().is_some_and(RpcError::is_size_drop) =>
            {
                error
            }
            Err(error) => return Err(error),
        };
        halvings += 1;
        let config = config::read(call).await?;
        let Some(shorter) = half_the_prompt(&config, agent) else { return Err(error) };
        let patch =
            json!({ "agents": { "entries": { agent: { "heartbeat": { "prompt": shorter } } } } });
        config::patch(call, &patch, config.hash.clone()).await?;
    }
}

/// Some gateways count the bindings, others list them.
fn report_bindings(answer: &Value, agent: &str, report: &mut Report) {
    let removed = answer.get("removedBindings");
    let count = removed.and_then(Value::as_u64).unwrap_or_else(|| {
        removed
            .and_then(Value::as_array)
            .map_or(0, |list| u64::try_from(list.len()).unwrap_or(u64::MAX))
    });
    if count > 0 {
        report.skip(
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
