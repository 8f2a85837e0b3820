//! Cleanup: the agent with its files, then its session. What is gone already is success.

use serde_json::Value;
use tokio::time::sleep;

use super::{FlowError, MAX_WRITES, by_call, config, session, settling, taken_in};
use crate::foreign::one_line;
use crate::gateway::roster::Config;
use crate::gateway::{Call, GatewayError, RpcError};
use crate::keys::{self, AgentKeys};
use crate::model::Cleanup;
use crate::outcome::{Change, Report};

/// Most paths reported that a gateway removed, and that it could not remove.
const MAX_PATHS: usize = 20;

/// What there is to clean up.
pub(super) struct Found {
    /// What the agent is called.
    pub(super) keys: AgentKeys,
    /// Whether the gateway knows the agent.
    pub(super) is_there: bool,
    /// The folder of its files, where its entry names one.
    pub(super) workspace: Option<String>,
    /// Whether another agent uses that folder.
    pub(super) shares_workspace: bool,
}

/// Looks what there is to clean up.
pub(super) async fn look(call: &Call, job: &Cleanup) -> Result<Found, GatewayError> {
    let keys = keys_of(job);
    let (config, agents) = taken_in::read(call).await?;
    Ok(Found {
        is_there: config.agent(&keys.agent_id).is_some() || is_listed(&agents, &keys.agent_id),
        workspace: workspace_of(&config, &keys.agent_id).map(str::to_owned),
        shares_workspace: is_workspace_shared(&config, &keys.agent_id),
        keys,
    })
}

/// Removes an agent and verifies that it is gone.
pub(super) async fn run(call: &Call, job: &Cleanup, report: &mut Report) -> Result<Option<&'static str>, FlowError> {
    let keys = keys_of(job);
    let agent = &keys.agent_id;
    // Deleting writes the config.
    let writer = call.client().desk.pen.lock().await;
    let (mut config, agents) = taken_in::read(call).await?;
    let shape = config::shape_of(call, &config);
    let mut listed = is_listed(&agents, agent);
    for round in 0..=MAX_WRITES {
        if config.agent(agent).is_none() && !listed {
            break;
        }
        if round == MAX_WRITES {
            return Err(GatewayError::NotKept { what: format!("deletion of {agent}"), rounds: round }.into());
        }
        let known = delete(call, agent, &config, report).await?;
        if round > 0 {
            sleep(settling(round)).await;
        }
        let agents;
        (config, agents) = taken_in::read(call).await?;
        listed = is_listed(&agents, agent);
        if !known || !listed {
            // It has no agent of that id any more; what is left of it in a list is not the gateway's agent.
            if config.agent(agent).is_some() && !listed {
                report.skip(format!("config entry of {agent}"), "the gateway deleted the agent and kept the entry");
            }
            break;
        }
    }
    drop(writer);
    session::delete(call, &keys.session_key, report).await?;
    report.summary = if report.written.is_empty() {
        format!("agent {agent} was gone already; nothing was written")
    } else {
        format!("agent {agent} is gone")
    };
    Ok(Some(shape.as_str()))
}

/// A cleanup does not say whether its agent is a main agent; the session key that only main agents have does.
fn keys_of(job: &Cleanup) -> AgentKeys {
    let main = keys::main_session_key(job.gateway.id);
    if job.agent.openclaw_session_id.as_deref() == Some(main.as_str()) {
        AgentKeys::of_main_agent(&job.agent, &job.gateway, None)
    } else {
        AgentKeys::of_board_agent(&job.agent, &job.gateway)
    }
}

/// Deletes the agent; false if the gateway says that there is none.
async fn delete(call: &Call, agent: &str, config: &Config, report: &mut Report) -> Result<bool, GatewayError> {
    let shared = is_workspace_shared(config, agent);
    if shared {
        report.skip(format!("files of {agent}"), "another agent uses the same workspace");
    }
    match by_call::delete(call, agent, !shared).await {
        Ok(answer) => {
            report.note(Change::of_deletion(agent, workspace_of(config, agent).filter(|_| !shared)));
            let answer = answer.unwrap_or_default();
            report.removed.extend(paths_in(&answer, "removed"));
            for path in paths_in(&answer, "failed") {
                report.skip(format!("path {path}"), "the gateway could not remove it");
            }
            Ok(true)
        }
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The first paths of a list in the answer, but for those that were not there.
fn paths_in(answer: &Value, list: &str) -> Vec<String> {
    let listed = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    let there = listed.filter(|listed| listed.get("method").and_then(Value::as_str) != Some("missing"));
    let paths = there.filter_map(|listed| listed.get("path").unwrap_or(listed).as_str()).take(MAX_PATHS);
    paths.map(|path| one_line(path, 400)).collect()
}

fn workspace_of<'a>(config: &'a Config, agent: &str) -> Option<&'a str> {
    config.agent(agent)?.get("workspace")?.as_str()
}

fn is_workspace_shared(config: &Config, agent: &str) -> bool {
    let Some(own) = workspace_of(config, agent) else { return false };
    let is_own = |id: &str| keys::normalise_agent_id(id) == agent;
    config.agents().any(|(id, entry)| !is_own(id) && entry.get("workspace").and_then(Value::as_str) == Some(own))
}

fn is_listed(agents: &[Value], agent: &str) -> bool {
    agents.iter().any(|listed| listed.get("id").and_then(Value::as_str) == Some(agent))
}
