//! The cleanup flow: deletes the agent with its files, then its session. An agent that is already
//! gone counts as success.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::sleep;

use super::effective_config::View;
use super::ownership::{self, Subject};
use super::{Flow, FlowError, config, effective_config, escapes, recreate, session, settling};
use crate::gateway::agents_config::{Config, may_overlap, same_folder};
use crate::gateway::{Call, GatewayError};
use crate::journal::Step;
use crate::keys::{self, AgentKeys};
use crate::model::Cleanup;
use crate::outcome::Change;
use crate::sanitize::one_line;

/// The most paths reported as removed, and the most reported as not removable.
const MAX_PATHS: usize = 20;

/// The agent that gateways have if their config names none.
const MAIN: &str = "main";
/// The keys of an entry that has nothing but the location of its folder.
const BARE: [&str; 2] = ["id", "workspace"];

/// Returns the changes that [`run`] would make. Writes nothing.
pub(super) async fn plan(flow: &mut Flow<'_>, job: &Cleanup) -> Result<Vec<Change>, GatewayError> {
    let (call, keys) = (flow.call, keys_of(job));
    let AgentKeys { agent_id: agent, session_key: session, .. } = &keys;
    let view = effective_config::read(call).await?;
    may_be_deleted(call, job, &keys, &view).await?;
    let mut changes = Vec::new();
    let is_there = view.has(agent);
    if is_there {
        changes.push(deletion(flow, view.config(), agent).0);
    }
    // Gateways that keep agents as entries delete an agent's sessions with it.
    let goes_along = is_there && call.has_ownership() && session::is_of(session, agent);
    if !goes_along && session::find(call, session).await?.is_some() {
        changes.push(Change::plain(format!("session {session} deleted")));
    }
    Ok(changes)
}

/// Removes an agent and verifies that it is gone.
pub(super) async fn run(flow: &mut Flow<'_>, job: &Cleanup) -> Result<(), FlowError> {
    let (call, keys) = (flow.call, keys_of(job));
    let agent = &keys.agent_id;
    // A deletion writes the config.
    let (mut writing, left) = call.client().group_commit.write_lock.lock_after_reading().await;
    let mut view = match left {
        Some(reading) => View::new(call, reading),
        None => effective_config::read(call).await?,
    };
    flow.shape = Some(config::shape_of(call, view.config()));
    let mut round = 0;
    while view.has(agent) {
        may_be_deleted(call, job, &keys, &view).await?;
        let what = format!("the deletion of agent {agent}");
        let spent = GatewayError::Undone { what, times: "twice", shows: String::new() };
        recreate::spend(call, Step::Delete, view.config(), spent).await?;
        let guarded = escapes::guard(call, view.config(), agent).await?;
        let is_known = delete(flow, view.config(), agent).await?;
        if round > 0 {
            sleep(settling(round)).await;
        }
        round += 1;
        view = effective_config::read_after_deletion(call, agent, !is_known).await?;
        escapes::put_back(call, view.config(), guarded).await?;
        if !is_known && view.has(agent) {
            return Err(GatewayError::NotTakenIn { agent: agent.clone() }.into());
        }
    }
    call.client().group_commit.note_deleted(agent);
    writing.leave(|| view.current(call));
    drop(writing);
    ownership::forget(call, agent);
    session::delete(flow, &keys.session_key).await?;
    flow.report.summary = if flow.report.written.is_empty() {
        format!("agent {agent} was already gone; nothing was written")
    } else {
        format!("agent {agent} is gone")
    };
    Ok(())
}

/// Checks that the agent is the job's, and that the gateway would not overwrite the config with an
/// older one.
async fn may_be_deleted(
    call: &Call,
    job: &Cleanup,
    keys: &AgentKeys,
    view: &View,
) -> Result<(), GatewayError> {
    let agent = &keys.agent_id;
    if !view.has(agent) {
        return Ok(());
    }
    if is_default_agent(view.config(), agent) {
        return Err(GatewayError::DefaultAgent { agent: agent.clone() });
    }
    // An entry without a name, settings or a folder of its own belongs to nobody, so deleting it
    // loses nothing.
    let is_bare = view
        .config()
        .agent(agent)
        .is_some_and(|entry| entry.keys().all(|key| BARE.contains(&key.as_str())));
    let adopt = job.adopt || (is_bare && why_files_stay(call, view.config(), agent).is_some());
    let subject = Subject { id: job.agent.id, keys, adopt, move_workspace: true };
    ownership::check(call, Arc::clone(view.config()), subject).await?;
    match view.unknown.first() {
        Some(unknown) => Err(GatewayError::NotTakenIn { agent: unknown.clone() }),
        None => Ok(()),
    }
}

/// Returns whether the config declares the agent its default. An agent that is the default only
/// because it comes first is not protected.
fn is_default_agent(config: &Config, agent: &str) -> bool {
    let is_flagged =
        config.agent(agent).and_then(|entry| entry.get("default")).and_then(Value::as_bool);
    if is_flagged == Some(true) || agent == MAIN {
        return true;
    }
    let named = config.data.pointer("/agents/defaults/systemAgent/agentId").and_then(Value::as_str);
    named.is_some_and(|named| keys::normalise_agent_id(named) == agent)
}

/// Returns the agent's names. A cleanup does not say whether its agent is a main agent, but only
/// main agents have a main session key.
fn keys_of(job: &Cleanup) -> AgentKeys {
    let is_main = |key: &str| keys::is_main_session_key(key, job.gateway.id);
    if job.agent.openclaw_session_id.as_deref().is_some_and(is_main) {
        AgentKeys::of_main_agent(&job.agent, &job.gateway, None)
    } else {
        AgentKeys::of_board_agent(&job.agent, &job.gateway)
    }
}

/// Returns the change for the deletion of an agent, and whether its files are deleted with it. If
/// they stay, that is reported.
fn deletion(flow: &mut Flow<'_>, config: &Config, agent: &str) -> (Change, bool) {
    let files_stay = why_files_stay(flow.call, config, agent);
    let with_files = files_stay.is_none();
    if let Some(why) = files_stay {
        flow.skip(format!("files of {agent}"), why);
    }
    let folder = config.agent(agent).and_then(ownership::folder_of).filter(|_| with_files);
    (Change::of_deletion(agent, folder), with_files)
}

/// Deletes the agent; returns `false` if the gateway does not know it.
async fn delete(flow: &mut Flow<'_>, config: &Config, agent: &str) -> Result<bool, GatewayError> {
    let journal = flow.call.journal();
    let (change, with_files) = deletion(flow, config, agent);
    match recreate::delete(flow, agent, with_files).await {
        Ok(answer) => {
            if answer.is_some() {
                journal.answered(true);
            }
            flow.note(change);
            let answer = answer.unwrap_or_default();
            flow.report.removed.extend(paths_in(&answer, "removed"));
            for path in paths_in(&answer, "failed") {
                flow.skip(format!("path {path}"), "the gateway could not remove it");
            }
            Ok(true)
        }
        Err(error) => {
            if error.rpc().is_some() {
                journal.answered(false);
            }
            if recreate::is_agent_unknown(&error) { Ok(false) } else { Err(error) }
        }
    }
}

/// Returns the first paths of a list in the answer, except those that did not exist.
fn paths_in(answer: &Value, list: &str) -> Vec<String> {
    let listed = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    let there =
        listed.filter(|listed| listed.get("method").and_then(Value::as_str) != Some("missing"));
    let paths =
        there.filter_map(|listed| listed.get("path").unwrap_or(listed).as_str()).take(MAX_PATHS);
    paths.map(|path| one_line(path, 400)).collect()
}

/// Returns the reason why an agent's files must stay when it is deleted; `None` if they may be
/// deleted. Old gateways do not check whether another agent uses the folder.
fn why_files_stay(call: &Call, config: &Config, agent: &str) -> Option<String> {
    let own = ownership::folder_of(config.agent(agent)?)?;
    let others = ownership::folders_of_others(config, agent);
    let others = others.map(|(id, folder)| (format!("agent {id}"), folder));
    // Agents without a folder of their own live in this one, in particular the default agent.
    let usual = config.data.pointer("/agents/defaults/workspace").and_then(Value::as_str);
    let default = call.default_agent();
    let usual = usual.map(|folder| {
        (format!("agent {default} and others without a folder of their own"), folder)
    });
    let (who, folder) = others.chain(usual).find(|(_, folder)| may_overlap(own, folder))?;
    let how = if same_folder(own, folder) {
        "uses the same folder"
    } else {
        "has a folder above or below it"
    };
    Some(format!("{who} {how}: {folder}"))
}
