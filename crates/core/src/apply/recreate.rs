//! Creating and deleting an agent by call, where its entry in the config is not enough.
//!
//! Both write the config, so the caller holds its writer.

use serde_json::{Map, Value, json};

use tokio::time::sleep;

use super::{Desired, MAX_WRITES, config, settling};
use crate::gateway::agents_config::{Config, spelt};
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::journal::{CREATIONS, Refused, Step};
use crate::outcome::{Change, Report};

/// Most times that a prompt is halved; enough for one of 65,535 characters.
const MAX_HALVINGS: usize = 17;

/// Creates the agent by call, unless its job has done so before. Its files then may be the
/// gateway's own.
pub(super) async fn create(
    call: &Call,
    wanted: &Desired,
    report: &mut Report,
) -> Result<(), GatewayError> {
    spend_creation(call, wanted).await?;
    let entry = wanted.entry(None, None);
    let params = json!({ "name": entry.id, "workspace": spelt(&entry.workspace) });
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
        // Its entry must not be written without it, so whether it is there has to be known.
        Err(error) if error.is_connection_lost() => {
            let config = config::read(call).await?;
            call.journal().give_back(config.hash.as_ref());
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
    // An agent is created under its id; its name for people comes after.
    let params = json!({ "agentId": entry.id, "name": entry.name.as_deref().map(spelt), "workspace": spelt(&entry.workspace) });
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

/// Writes down that the agent is about to be created. A job that has done so before has seen that
/// it does not help.
async fn spend_creation(call: &Call, wanted: &Desired) -> Result<(), GatewayError> {
    let agent = &wanted.keys.agent_id;
    let config = config::read(call).await?;
    call.journal().give_back(config.hash.as_ref());
    call.journal().spend(vec![Step::Create], config.hash.as_ref()).await.map_err(|refused| {
        match refused {
            Refused::NotSaved(error) => GatewayError::NotSaved(error),
            Refused::Spent(_) => GatewayError::SessionsLost { agent: agent.clone() },
        }
    })
}

/// Deletes an agent and creates it anew, with its files and what people wrote into its entry. A
/// gateway that keeps a record of an agent's deletion keeps it also when a person puts the entry
/// back, and drops it only for this.
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
        // It may be carried out later than the next request, and then take along what that has
        // created.
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
            "it has a secret, which the gateway does not show",
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

/// Deletes an agent that this job has just created, so that the gateway can be started again: one
/// that has an agent whose sessions it cannot open does not start.
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

/// Whether something in it is a secret that is not shown.
fn has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text == "__OPENCLAW_REDACTED__",
        Value::Array(values) => values.iter().any(has_secret),
        Value::Object(members) => members.values().any(has_secret),
        _ => false,
    }
}

/// Deletes an agent. What the gateway answered; none if the answer was lost. Bindings that went
/// with it are reported.
///
/// A gateway refuses to write a config of less than half the size at once. The longest part of an
/// entry is the prompt of its heartbeat; it is halved until the agent can go.
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

/// The first half of the agent's prompt; null after the last character, none if there is no prompt.
fn half_the_prompt(config: &Config, agent: &str) -> Option<Value> {
    let prompt = config.agent(agent)?.get("heartbeat")?.get("prompt")?.as_str()?;
    let half: String = prompt.chars().take(prompt.chars().count() / 2).collect();
    Some(if half.is_empty() { Value::Null } else { Value::String(half) })
}
