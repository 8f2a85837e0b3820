//! The provisioning flow: registers the agent in the gateway's config, writes its files and its
//! session, then reads everything back. On the newest gateways, a new agent's session comes first.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::mask::mask;
use super::ownership::{self, Subject};
use super::workspace::Workspace;
use super::{
    Applier, Desired, FlowError, MAX_WRITES, agent_files, config, existing_token, recreate,
    session, wake,
};
use crate::documents::Document;
use crate::gateway::agents_config::{Config, DesiredAgent};
use crate::gateway::{Call, Defect, GatewayError};
use crate::outcome::Report;
use crate::render::Reader;

/// The most agents that are named in one line of a report.
const MAX_NAMED: usize = 5;

/// Makes an agent as wanted. `id` is the job's. Returns the name of the config's shape, for the
/// report.
pub(super) async fn run(
    applier: &Applier,
    call: &Call,
    id: &str,
    wanted: &Desired,
    report: &mut Report,
) -> Result<Option<&'static str>, FlowError> {
    let mut announcement = Some(call.client().group_commit.announce());
    let prepared = prepare(applier, call, wanted, report).await?;
    let claim = ownership::claim(call, subject(wanted))?;
    let (wanted, mut known) = (&prepared.wanted, Some(prepared.config));
    let desired = std::slice::from_ref(&prepared.entry);
    if let Some(config) = &known {
        warn_of_shadowed_heartbeats(call, config, wanted, report);
    }
    let is_new = known.as_ref().is_some_and(|config| config.agent(&wanted.keys.agent_id).is_none());
    if let Some(folder) = prepared.entry.takes_over.as_deref().filter(|folder| !folder.is_empty()) {
        report.skip(
            format!("files in {folder}"),
            "the agent moves to another folder; its present files stay behind",
        );
    }
    make_sure_of_sessions(call, wanted, is_new, report).await?;
    for round in 0..MAX_WRITES {
        let (shape, is_new) =
            config::converge(call, desired, known.take().as_deref(), announcement.take(), report)
                .await?;
        agent_files::converge(applier, call, wanted, is_new, report).await?;
        let label = match session::converge(call, wanted, is_new, report).await {
            Err(error) if is_held_deleted(call, wanted, &error).await? => {
                let _writer = call.client().group_commit.write_lock.lock().await;
                renew(call, wanted, report).await?;
                continue;
            }
            label => label?,
        };
        // Another writer may have undone the entry meanwhile; some gateways lose a write seconds
        // later.
        if report.written.is_empty()
            || is_kept(call, wanted, desired, (label.as_deref(), round), report).await?
        {
            if prepared.is_token_new {
                report_token_left_behind(call, wanted, report);
            }
            if wanted.options.reset_session {
                session::reset(call, wanted, report).await?;
            }
            wake::send(call, id, wanted, report).await?;
            mask(&mut report.changes, applier, call, wanted);
            claim.keep();
            report.summary = summary(wanted, report);
            return Ok(Some(shape.as_str()));
        }
    }
    Err(GatewayError::NotKept {
        what: format!("config of {}", wanted.keys.agent_id),
        rounds: MAX_WRITES,
    }
    .into())
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
pub(super) async fn prepare(
    applier: &Applier,
    call: &Call,
    wanted: &Desired,
    report: &mut Report,
) -> Result<Prepared, FlowError> {
    // A template that cannot be rendered fails the job before anything is written.
    agent_files::render(applier, wanted, &BTreeSet::new(), true)?;
    call.open().await?;
    let (config, refused) = tokio::try_join!(config::read(call), agent_files::refused(call))?;
    let ours = ownership::check(call, config, subject(wanted)).await?;
    let shows = |files: &Workspace, token: &str| {
        files.present.values().any(|file| file.content.contains(token))
    };
    let is_token_new = !wanted.keeps_token
        && ours.files.as_ref().is_some_and(|files| !shows(files, &wanted.context.auth_token));
    let wanted = existing_token::find(call, wanted, ours.files).await?;
    let prompt = if refused.contains(&Document::Heartbeat) {
        let reader = Reader { agent: &wanted.agent, context: &wanted.context, refused: &refused };
        let prompt = applier.renderer.heartbeat_prompt(reader)?;
        if let Some(why) = prompt.left_out.filter(|_| !wanted.heartbeat.contains_key("prompt")) {
            report.skip("heartbeat prompt", why);
        }
        prompt.text
    } else {
        None
    };
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
pub(super) fn warn_of_shadowed_heartbeats(
    call: &Call,
    config: &Config,
    wanted: &Desired,
    report: &mut Report,
) {
    if config.agents().any(|(_, entry)| entry.contains_key("heartbeat")) {
        return;
    }
    let others = config.agents().map(|(id, _)| id).filter(|id| *id != wanted.keys.agent_id);
    let mut silent: Vec<_> = others.take(MAX_NAMED).collect();
    if silent.is_empty() {
        silent.push(call.default_agent());
    }
    report.skip(
        format!("heartbeats of {}", silent.join(", ")),
        "this is the first agent with a heartbeat of its own: the gateway does not wake agents \
            without one any more; \
         give them a `heartbeat` in its config to keep them awake",
    );
}

/// Reports that a file which the gateway no longer shows may contain a replaced token: an older
/// version kept it, and it can only be removed on the gateway's machine.
fn report_token_left_behind(call: &Call, wanted: &Desired, report: &mut Report) {
    let refuses_tools =
        agent_files::known_refused(call).is_some_and(|refused| refused.contains(&Document::Tools));
    let agents = format!("file {}", Document::Agents.file_name());
    if refuses_tools && report.written.contains(&agents) {
        let tools = format!("{}/{}", wanted.keys.workspace_path, Document::Tools.file_name());
        report.skip(
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
async fn make_sure_of_sessions(
    call: &Call,
    wanted: &Desired,
    is_new: bool,
    report: &mut Report,
) -> Result<(), GatewayError> {
    let agent = &wanted.keys.agent_id;
    if !call.has_ownership() || !is_new {
        return Ok(());
    }
    // If only a call helps, probing is pointless: the answer would show nothing.
    if !call.has_defect(Defect::SessionsLost) && session::may_be_created(call, agent).await? {
        return Ok(());
    }
    let _writer = call.client().group_commit.write_lock.lock().await;
    recreate::create(call, wanted, report).await
}

/// Returns whether a session was refused in the way of a gateway that has a record of the agent's
/// deletion.
fn looks_held_deleted(call: &Call, error: &GatewayError) -> bool {
    call.has_ownership()
        && error.rpc().is_some_and(|rpc| rpc.is_form(&["session patch failed unexpectedly*"]))
}

/// Returns whether a session was refused because the gateway has a record of the agent's deletion.
/// The error does not say so, but then no session exists either.
async fn is_held_deleted(
    call: &Call,
    wanted: &Desired,
    error: &GatewayError,
) -> Result<bool, GatewayError> {
    Ok(looks_held_deleted(call, error) && !session::exists(call, &wanted.keys.session_key).await?)
}

/// Recreates the agent. If this job has already created it, that does not help: the agent is
/// deleted again, because the gateway would not start with it.
async fn renew(call: &Call, wanted: &Desired, report: &mut Report) -> Result<(), GatewayError> {
    if call.journal().effects().creations() > 0 && call.has_defect(Defect::SessionsLost) {
        recreate::undo_creation(call, wanted, report).await?;
        return Err(GatewayError::SessionsLost { agent: wanted.keys.agent_id.clone() });
    }
    recreate::renew(call, wanted, report).await
}

/// Reads the config and the session once more, at the same time. Reports a label that is missing
/// for the second time.
async fn is_kept(
    call: &Call,
    wanted: &Desired,
    desired: &[DesiredAgent],
    (label, round): (Option<&str>, u32),
    report: &mut Report,
) -> Result<bool, GatewayError> {
    let (config, session) =
        tokio::try_join!(config::read(call), session::look(call, wanted, label))?;
    if session == session::Presence::WithoutLabel && round > 0 {
        report.skip("session label", "the gateway accepts it but does not keep it");
    }
    let has_session = session == session::Presence::Whole
        || (session == session::Presence::WithoutLabel && round > 0);
    Ok(config::is_settled(call, &config, desired) && has_session)
}

fn summary(wanted: &Desired, report: &Report) -> String {
    let agent = &wanted.keys.agent_id;
    match report.written.len() {
        0 => format!("agent {agent} was as it should be; nothing was written"),
        1 => format!("agent {agent} is as it should be; one thing was written"),
        count => format!("agent {agent} is as it should be; {count} things were written"),
    }
}
