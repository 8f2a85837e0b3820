//! Creating and deleting an agent by call, where its entry in the config is not enough.

use serde_json::{Value, json};

use super::{Wanted, config};
use crate::gateway::roster::{Config, Shape};
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::outcome::Report;

/// Creates the agent by call. That it exists already is no news: then it only has not been loaded yet.
pub(super) async fn create(call: &Call, wanted: &Wanted, report: &mut Report) -> Result<(), GatewayError> {
    let entry = wanted.entry(None);
    let params = json!({ "name": entry.id, "workspace": entry.workspace });
    match call.write(Method::AgentsCreate, params).await {
        Ok(_) => report.written.push(format!("agent {}", entry.id)),
        Err(error) if error.rpc().is_some_and(|error| error.says("already exists")) => return Ok(()),
        Err(error) if error.is_connection_lost() => return Ok(()),
        Err(error) => return Err(error),
    }
    // An agent is created under its id; its name for people comes after.
    let params = json!({ "agentId": entry.id, "name": entry.name, "workspace": entry.workspace });
    match call.write(Method::AgentsUpdate, params).await {
        // A gateway that has not yet loaded the agent takes its name from the config.
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => Ok(()),
        Err(error) if !error.is_connection_lost() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes an agent. What the gateway answered; none if the answer was lost. The caller holds the config's writer.
///
/// A gateway refuses to write a config of less than half the size at once. The longest part of an entry is the prompt
/// of its heartbeat; it is halved until the agent can go.
pub(super) async fn delete(call: &Call, agent: &str, files: bool) -> Result<Option<Value>, GatewayError> {
    let params = json!({ "agentId": agent, "deleteFiles": files });
    loop {
        match call.write(Method::AgentsDelete, params.clone()).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if error.is_connection_lost() => return Ok(None),
            Err(error) if error.rpc().is_some_and(|rpc| rpc.says("size-drop:")) => {
                let config = config::read(call).await?;
                let Some(shorter) = half_the_prompt(&config, agent) else { return Err(error) };
                let patch = json!({ "agents": { "entries": { agent: { "heartbeat": { "prompt": shorter } } } } });
                config::patch(call, &patch, config.hash).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The first half of the agent's prompt; null after the last character, none if there is no prompt.
fn half_the_prompt(config: &Config, agent: &str) -> Option<Value> {
    let prompt = config.agent(agent)?.get("heartbeat")?.get("prompt")?.as_str()?;
    let half: String = prompt.chars().take(prompt.chars().count() / 2).collect();
    Some(if half.is_empty() { Value::Null } else { Value::String(half) })
}

/// Deletes the agent, but not its files, and creates it by call. True if so.
///
/// The newest gateways keep a record of deleted agents and refuse them their sessions until an agent of that id is
/// created by call; an entry in the config does not count. Done only where the entry has nothing but what the worker
/// writes, so that nothing of anybody else's is lost.
pub(super) async fn create_anew(call: &Call, wanted: &Wanted, report: &mut Report) -> Result<bool, GatewayError> {
    let _writer = call.client().config_writer.lock().await;
    let agent = &wanted.keys.agent_id;
    let config = config::read(call).await?;
    let ours = |key: &String| matches!(key.as_str(), "name" | "workspace" | "heartbeat");
    let is_ours = config.agent(agent).is_some_and(|entry| entry.keys().all(ours));
    if config::shape_of(call, &config) != Shape::Entries || !is_ours {
        return Ok(false);
    }
    delete(call, agent, false).await?;
    create(call, wanted, report).await?;
    Ok(true)
}
