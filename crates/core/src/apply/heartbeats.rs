//! The heartbeat-sync flow: writes the heartbeats of many agents in one config write.

use std::sync::Arc;

use serde_json::Map;

use super::ownership::{self, Subject};
use super::{Flow, FlowError, config};
use crate::gateway::agents_config::{self, DesiredAgent};
use crate::gateway::{Call, GatewayError};
use crate::heartbeat;
use crate::humanize::count;
use crate::keys::{self, AgentKeys};
use crate::model::HeartbeatSync;

/// Makes the heartbeats of all agents as wanted. If an agent occurs twice, its last entry counts.
/// If no agent is left, the gateway is not asked.
pub(super) async fn run(flow: &mut Flow<'_>, job: &HeartbeatSync) -> Result<(), FlowError> {
    for agent in &job.left_out {
        let agent = keys::openclaw_agent_id(agent);
        flow.skip(format!("agent {agent}"), "a cleanup or a newer job decides about it");
    }
    if job.agents.is_empty() {
        flow.report.summary = match flow.report.skipped.len() {
            0 => "no agents to sync".into(),
            gone => {
                let gone = count(gone as u64, "agent");
                format!("no agents to sync; a cleanup or a newer job decides about {gone}")
            }
        };
        return Ok(());
    }
    let announcement = flow.call.client().group_commit.announce();
    let (desired, foreign) = desired(flow.call, job).await?;
    // The other agents are written all the same.
    let mut converged = Ok(false);
    if !desired.is_empty() {
        converged = config::converge(flow, &desired, None, Some(announcement)).await;
    }
    foreign.map_or(converged, Err)?;
    let agents = count(desired.len() as u64, "agent");
    flow.report.summary = match flow.report.written.len() {
        0 => format!("the heartbeats of {agents} were as they should be; nothing was written"),
        changed => format!(
            "the heartbeats of {agents} are as they should be; one config write changed {changed}"
        ),
    };
    Ok(())
}

/// Returns the desired entry of each agent that is the job's, and the error of the first one that
/// is not. An agent's name is left unchanged, and so is the folder of an agent that lives in
/// another folder.
pub(super) async fn desired(
    call: &Call,
    job: &HeartbeatSync,
) -> Result<(Vec<DesiredAgent>, Option<GatewayError>), GatewayError> {
    call.open().await?;
    let config = config::read(call).await?;
    let mut desired = Vec::with_capacity(job.agents.len());
    let mut foreign = None;
    for agent in &job.agents {
        let keys = AgentKeys::of_board_agent(agent, &job.gateway);
        let mut entry = DesiredAgent {
            id: keys.agent_id.clone(),
            name: None,
            workspace: keys.workspace_path.clone(),
            heartbeat: heartbeat::config(agent),
            set_before: Map::new(),
            takes_over: None,
        };
        // The files are read only if the entry seems to belong to somebody else.
        if ownership::reason_not_to_write(call, &config, &entry).is_some() {
            let subject = Subject { id: agent.id, keys: &keys, adopt: false, move_workspace: true };
            match ownership::check(call, Arc::clone(&config), subject).await {
                Ok(ours) => entry.workspace = ours.takes_over.unwrap_or(entry.workspace),
                Err(error @ (GatewayError::NotOurs { .. } | GatewayError::IdTaken { .. })) => {
                    foreign.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        desired.push(entry);
    }
    Ok((agents_config::latest(desired), foreign))
}
