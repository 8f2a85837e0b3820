//! Heartbeat sync: the heartbeats of many agents in one config write.

use super::{FlowError, config};
use crate::gateway::Call;
use crate::gateway::roster::{self, DesiredAgent};
use crate::heartbeat;
use crate::keys::{self, AgentKeys};
use crate::model::{Agent, HeartbeatSync};
use crate::outcome::Report;

/// Makes the heartbeats of all agents as wanted. Where an agent comes twice, its last entry counts. Where none
/// is left to write, the gateway is not asked.
pub(super) async fn run(
    call: &Call,
    job: &HeartbeatSync,
    report: &mut Report,
) -> Result<Option<&'static str>, FlowError> {
    for agent in &job.left_out {
        let agent = keys::openclaw_agent_id(agent);
        report.skip(format!("agent {agent}"), "cleaned up after this job was enqueued");
    }
    let desired = desired(job);
    if desired.is_empty() {
        report.summary = match report.skipped.len() {
            0 => "no agents to sync".into(),
            gone => format!("no agents to sync; {gone} were cleaned up after this job was enqueued"),
        };
        return Ok(None);
    }
    let coming = call.client().desk.announce();
    let (shape, _) = config::settle(call, &desired, Some(coming), report).await?;
    let changed = report.written.len();
    report.summary = match changed {
        0 => format!("the heartbeats of {} agents were as they should be; nothing was written", desired.len()),
        _ => format!(
            "the heartbeats of {} agents are as they should be; one config write changed {changed}",
            desired.len()
        ),
    };
    Ok(Some(shape.as_str()))
}

/// What the config must say of each agent. The name of an agent is left as it is.
pub(super) fn desired(job: &HeartbeatSync) -> Vec<DesiredAgent> {
    let entry = |agent: &Agent| {
        let keys = AgentKeys::of_board_agent(agent, &job.gateway);
        let heartbeat = heartbeat::config(agent);
        DesiredAgent { id: keys.agent_id, name: None, workspace: keys.workspace_path, heartbeat }
    };
    roster::latest(job.agents.iter().map(entry).collect())
}
