//! Creating and deleting an agent by call, where its entry in the config is not enough.
//!
//! Both write the config, so the caller holds its writer.

use serde_json::{Map, Value, json};

use super::{MAX_WRITES, Wanted, config};
use crate::gateway::roster::Config;
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::outcome::{Change, Report};

/// Most times that a prompt is halved; enough for one of 65,535 characters.
const MAX_HALVINGS: usize = 17;

/// Creates the agent by call. If it was created, when at the earliest, by the gateway's clock in ms: texts that appear
/// in its workspace from then on are the gateway's own. None if that cannot be told, or if the agent exists already and
/// only has not been loaded yet.
pub(super) async fn create(call: &Call, wanted: &Wanted, report: &mut Report) -> Result<Option<u64>, GatewayError> {
    let entry = wanted.entry(None);
    let clock = call.read(Method::SessionsList, json!({ "limit": 1 })).await?;
    let params = json!({ "name": entry.id, "workspace": entry.workspace });
    for round in 0.. {
        match call.write(Method::AgentsCreate, params.clone()).await {
            Ok(_) => {
                report.note(Change::new(format!("agent {}", entry.id), ""));
                break;
            }
            Err(error) if error.rpc().is_some_and(|error| error.is_agent_known()) => return Ok(None),
            // Its entry must not be written without it, so whether it is there has to be known.
            Err(error) if error.is_connection_lost() && round < MAX_WRITES => {
                if config::read(call).await?.agent(&entry.id).is_some() {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
    // An agent is created under its id; its name for people comes after.
    let params = json!({ "agentId": entry.id, "name": entry.name, "workspace": entry.workspace });
    match call.write(Method::AgentsUpdate, params).await {
        // A gateway that has not yet loaded the agent takes its name from the config.
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) || error.is_connection_lost() => {}
        answer => drop(answer?),
    }
    Ok(clock.get("ts").and_then(Value::as_u64))
}

/// Deletes an agent and creates it anew, with its files and what people wrote into its entry; when at the earliest it was
/// created, see [`create`]. A gateway that keeps a record of an agent's deletion keeps it also when a person puts the
/// entry back, and drops it only for this.
pub(super) async fn renew(call: &Call, wanted: &Wanted, report: &mut Report) -> Result<Option<u64>, GatewayError> {
    let agent = &wanted.keys.agent_id;
    let entry = config::read(call).await?.agent(agent).cloned().unwrap_or_default();
    match delete(call, agent, false).await {
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => {}
        answer => {
            let removed = answer?.and_then(|answer| answer.get("removedBindings")?.as_u64()).unwrap_or_default();
            if removed > 0 {
                report.skip(
                    format!("{removed} bindings of {agent}"),
                    "the gateway dropped them with a record of its deletion",
                );
            }
        }
    }
    let created = create(call, wanted, report).await?;
    let (shown, hidden): (Map<_, _>, Map<_, _>) =
        entry.into_iter().filter(|(key, _)| key != "agentDir").partition(|(_, value)| !has_secret(value));
    for key in hidden.keys() {
        report.skip(format!("config agents.entries.{agent}.{key}"), "it has a secret, which the gateway does not show");
    }
    let patch = json!({ "agents": { "entries": { agent: shown } } });
    for _ in 0..MAX_WRITES {
        let hash = config::read(call).await?.hash.clone();
        match config::patch(call, &patch, hash).await {
            Err(error) if error.rpc().is_some_and(RpcError::is_config_stale) => {}
            answer => return answer.map(|()| created),
        }
    }
    Err(GatewayError::NotKept { what: format!("config of {agent}"), rounds: MAX_WRITES })
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

/// Deletes an agent. What the gateway answered; none if the answer was lost.
///
/// A gateway refuses to write a config of less than half the size at once. The longest part of an entry is the prompt
/// of its heartbeat; it is halved until the agent can go.
pub(super) async fn delete(call: &Call, agent: &str, files: bool) -> Result<Option<Value>, GatewayError> {
    let params = json!({ "agentId": agent, "deleteFiles": files });
    let mut halvings = 0;
    loop {
        let error = match call.write(Method::AgentsDelete, params.clone()).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if error.is_connection_lost() => return Ok(None),
            Err(error) if halvings < MAX_HALVINGS && error.rpc().is_some_and(|rpc| rpc.is_size_drop()) => error,
            Err(error) => return Err(error),
        };
        halvings += 1;
        let config = config::read(call).await?;
        let Some(shorter) = half_the_prompt(&config, agent) else { return Err(error) };
        let patch = json!({ "agents": { "entries": { agent: { "heartbeat": { "prompt": shorter } } } } });
        config::patch(call, &patch, config.hash.clone()).await?;
    }
}

/// The first half of the agent's prompt; null after the last character, none if there is no prompt.
fn half_the_prompt(config: &Config, agent: &str) -> Option<Value> {
    let prompt = config.agent(agent)?.get("heartbeat")?.get("prompt")?.as_str()?;
    let half: String = prompt.chars().take(prompt.chars().count() / 2).collect();
    Some(if half.is_empty() { Value::Null } else { Value::String(half) })
}
