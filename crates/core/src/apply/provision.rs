//! The provisioning flow: registers the agent in the gateway's config, writes its files and its
//! session, then reads everything back. On the newest gateways, a new agent's session comes first.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::mask::mask;
use super::ownership::{self, Subject};
use super::workspace::Workspace;
use super::{
    Desired, Flow, FlowError, MAX_NAMED, MAX_WRITES, agent_files, config, existing_token, recreate,
    session, wake,
};
use crate::documents::Document;
use crate::gateway::agents_config::{Config, DesiredAgent};
use crate::gateway::{Announcement, Call, Defect, GatewayError};
use crate::outcome::Report;

/// Makes an agent as wanted. `id` is the job's.
pub(super) async fn run(flow: &mut Flow<'_>, id: &str, wanted: &Desired) -> Result<(), FlowError> {
    let announcement = flow.call.client().group_commit.announce();
    let Prepared { wanted, entry, config, is_token_new } = prepare(flow, wanted).await?;
    let wanted = &wanted;
    flow.applied.files =
        wanted.applied.as_ref().map(|known| known.files.clone()).unwrap_or_default();
    let claim = ownership::claim(flow.call, subject(wanted))?;
    warn_of_shadowed_heartbeats(flow, &config, wanted);
    if let Some(folder) = entry.takes_over.as_deref().filter(|folder| !folder.is_empty()) {
        flow.skip(
            format!("files in {folder}"),
            "the agent moves to another folder; its present files stay behind",
        );
    }
    if config.agent(&wanted.keys.agent_id).is_none() {
        make_sure_of_sessions(flow, wanted).await?;
    }
    converge(flow, wanted, &entry, config, announcement).await?;
    flow.applied.entry = config::members_of(flow, &entry);
    if is_token_new {
        report_token_left_behind(flow, wanted);
    }
    if wanted.options.reset_session {
        session::reset(flow, wanted).await?;
    }
    wake::send(flow, id, wanted).await?;
    mask(&mut flow.report.changes, flow.applier, flow.call, wanted);
    claim.keep();
    flow.report.summary = summary(wanted, &flow.report);
    Ok(())
}

/// Repeats the stages until the gateway keeps what they have written. `known` is the config that
/// was read before.
async fn converge(
    flow: &mut Flow<'_>,
    wanted: &Desired,
    entry: &DesiredAgent,
    known: Arc<Config>,
    announcement: Announcement,
) -> Result<(), FlowError> {
    let desired = std::slice::from_ref(entry);
    let (mut known, mut announcement) = (Some(known), Some(announcement));
    for round in 0..MAX_WRITES {
        let announced = announcement.take();
        let is_new = config::converge(flow, desired, known.take().as_deref(), announced).await?;
        agent_files::converge(flow, wanted, is_new).await?;
        let label = match session::converge(flow, wanted, is_new).await {
            Err(error) if is_held_deleted(flow.call, wanted, &error).await? => {
                let _writer = flow.call.client().group_commit.write_lock.lock().await;
                renew(flow, wanted).await?;
                continue;
            }
            label => label?,
        };
        // Another writer may have undone the entry meanwhile; some gateways lose a write seconds
        // later.
        if flow.report.written.is_empty()
            || is_kept(flow, wanted, desired, label.as_deref(), round > 0).await?
        {
            return Ok(());
        }
    }
    let what = format!("config of {}", wanted.keys.agent_id);
    Err(GatewayError::NotKept { what, rounds: MAX_WRITES }.into())
}

/// A job that may be carried out, with everything that was read for it.
pub(super) struct Prepared {
    /// The desired state on this gateway.
    pub(super) wanted: Desired,
    /// The desired entry in the config.
    pub(super) entry: DesiredAgent,
    /// The config before any write.
    pub(super) config: Arc<Config>,
    /// Set if the agent exists, and its files contain another token or none, as far as the gateway
    /// shows them.
    is_token_new: bool,
}

/// Returns the desired state on this gateway, with the entry in its config. Writes nothing.
pub(super) async fn prepare(flow: &mut Flow<'_>, wanted: &Desired) -> Result<Prepared, FlowError> {
    let Flow { applier, call, .. } = *flow;
    // A template that cannot be rendered fails the job before anything is written.
    agent_files::render(applier, wanted, &BTreeSet::new(), true)?;
    call.open().await?;
    let (config, refused) = tokio::try_join!(config::read(call), agent_files::refused(call))?;
    let ours = ownership::check(call, config, subject(wanted)).await?;
    let shows_token = |files: &Workspace| {
        files.present.values().any(|text| text.contains(&wanted.context.auth_token))
    };
    let is_token_new =
        !wanted.keeps_token && ours.files.as_ref().is_some_and(|files| !shows_token(files));
    let wanted = existing_token::find(call, wanted, ours.files).await?;
    let mut prompt = None;
    if refused.contains(&Document::Heartbeat) {
        let found = applier.renderer.heartbeat_prompt(wanted.reader(&refused))?;
        if let Some(why) = found.left_out.filter(|_| !wanted.heartbeat.contains_key("prompt")) {
            flow.skip("heartbeat prompt", why);
        }
        prompt = found.text;
    }
    let entry = wanted.entry(prompt, ours.takes_over);
    Ok(Prepared { wanted, entry, config: ours.config, is_token_new })
}

fn subject(wanted: &Desired) -> Subject<'_> {
    Subject {
        id: wanted.agent.id,
        keys: &wanted.keys,
        adopt: wanted.options.adopt,
        move_workspace: wanted.options.move_workspace,
    }
}

/// Reports that agents without a heartbeat of their own are no longer woken: gateways stop that as
/// soon as one agent has a heartbeat.
pub(super) fn warn_of_shadowed_heartbeats(flow: &mut Flow<'_>, config: &Config, wanted: &Desired) {
    if config.agents().any(|(_, entry)| entry.contains_key("heartbeat")) {
        return;
    }
    let others = config.agents().map(|(id, _)| id).filter(|id| *id != wanted.keys.agent_id);
    let mut silent: Vec<_> = others.take(MAX_NAMED).collect();
    if silent.is_empty() {
        silent.push(flow.call.default_agent());
    }
    flow.skip(
        format!("heartbeats of {}", silent.join(", ")),
        "this is the first agent with a heartbeat of its own: the gateway does not wake agents \
            without one any more; \
         give them a `heartbeat` in its config to keep them awake",
    );
}

/// Reports that a file which the gateway no longer shows may contain a replaced token: an older
/// version kept it, and it can only be removed on the gateway's machine.
fn report_token_left_behind(flow: &mut Flow<'_>, wanted: &Desired) {
    let refused = agent_files::known_refused(flow.call).unwrap_or_default();
    let agents = format!("file {}", Document::Agents.file_name());
    if refused.contains(&Document::Tools) && flow.report.written.contains(&agents) {
        let tools = format!("{}/{}", wanted.keys.workspace_path, Document::Tools.file_name());
        flow.skip(
            format!("an old {tools}"),
            "if an older version of the gateway has kept this file, it may hold the agent's \
                earlier token: remove it there",
        );
    }
}

/// Makes sure that the gateway accepts sessions of an agent that is new to its config.
///
/// Gateways with entries keep a record of deleted agents and refuse their sessions until an agent
/// of that id is created by call. An entry in the config does not count; it makes some gateways
/// restart, and keeps others from starting.
async fn make_sure_of_sessions(flow: &mut Flow<'_>, wanted: &Desired) -> Result<(), GatewayError> {
    let call = flow.call;
    if !call.has_ownership() {
        return Ok(());
    }
    // If only a call helps, probing is pointless: the answer would show nothing.
    if !call.has_defect(Defect::SessionsLost)
        && session::may_be_created(call, &wanted.keys.agent_id).await?
    {
        return Ok(());
    }
    let _writer = call.client().group_commit.write_lock.lock().await;
    recreate::create(flow, wanted).await
}

/// Returns whether a session was refused because the gateway has a record of the agent's deletion.
/// The error does not say so, but then no session exists either.
async fn is_held_deleted(
    call: &Call,
    wanted: &Desired,
    error: &GatewayError,
) -> Result<bool, GatewayError> {
    let looks_so = call.has_ownership()
        && error.rpc().is_some_and(|rpc| rpc.is_form(&["session patch failed unexpectedly*"]));
    Ok(looks_so && session::find(call, &wanted.keys.session_key).await?.is_none())
}

/// Recreates the agent. If this job has already created it, that does not help: the agent is
/// deleted again, because the gateway would not start with it.
async fn renew(flow: &mut Flow<'_>, wanted: &Desired) -> Result<(), GatewayError> {
    let call = flow.call;
    if call.journal().effects().creations() > 0 && call.has_defect(Defect::SessionsLost) {
        recreate::undo_creation(flow, wanted).await?;
        return Err(GatewayError::SessionsLost { agent: wanted.keys.agent_id.clone() });
    }
    recreate::renew(flow, wanted).await
}

/// Reads the config and the session once more, at the same time. With `is_again`, a label that is
/// missing for the second time is reported.
async fn is_kept(
    flow: &mut Flow<'_>,
    wanted: &Desired,
    desired: &[DesiredAgent],
    label: Option<&str>,
    is_again: bool,
) -> Result<bool, GatewayError> {
    let (call, key) = (flow.call, &wanted.keys.session_key);
    let (config, session) = tokio::try_join!(config::read(call), session::find(call, key))?;
    let Some(session) = session else { return Ok(false) };
    let has_label = session.carries(label);
    if !has_label && is_again {
        flow.skip("session label", "the gateway accepts it but does not keep it");
    }
    Ok(config::is_settled(call, &config, desired) && (has_label || is_again))
}

fn summary(wanted: &Desired, report: &Report) -> String {
    let agent = &wanted.keys.agent_id;
    match report.written.len() {
        0 => format!("agent {agent} was as it should be; nothing was written"),
        1 => format!("agent {agent} is as it should be; one thing was written"),
        count => format!("agent {agent} is as it should be; {count} things were written"),
    }
}
