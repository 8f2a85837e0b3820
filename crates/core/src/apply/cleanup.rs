//! The cleanup flow: deletes the agent with its files, then its session. An agent that is already
//! gone counts as success.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::sleep;

use super::effective_config::View;
use super::ownership::{self, Subject};
use super::{FlowError, config, effective_config, escapes, recreate, session, settling};
use crate::gateway::agents_config::{Config, may_overlap, same_folder};
use crate::gateway::{Call, GatewayError, RpcError};
use crate::journal::{Refused, Step};
use crate::keys::{self, AgentKeys};
use crate::model::Cleanup;
use crate::outcome::{Change, Report};
use crate::sanitize::one_line;

/// The most paths reported as removed, and the most reported as not removable.
const MAX_PATHS: usize = 20;

/// The agent that gateways have if their config names none.
const MAIN: &str = "main";
/// The keys of an entry that has nothing but the location of its folder.
const BARE: [&str; 2] = ["id", "workspace"];

/// The things to clean up.
pub(super) struct Found {
    /// The agent's names on the gateway.
    pub(super) keys: AgentKeys,
    /// Set if the gateway knows the agent.
    pub(super) is_there: bool,
    /// The folder of the agent's files, if its entry names one.
    pub(super) workspace: Option<String>,
    /// The reason why the files must stay, if they must.
    pub(super) files_stay: Option<String>,
}

/// Returns what there is to clean up, without changing anything.
pub(super) async fn inspect(call: &Call, job: &Cleanup) -> Result<Found, GatewayError> {
    let keys = keys_of(job);
    let view = effective_config::read(call).await?;
    may_be_deleted(call, job, &keys, &view).await?;
    Ok(Found {
        is_there: view.has(&keys.agent_id),
        workspace: workspace_of(view.config(), &keys.agent_id).map(str::to_owned),
        files_stay: why_files_stay(call, view.config(), &keys.agent_id),
        keys,
    })
}

/// Removes an agent and verifies that it is gone.
pub(super) async fn run(
    call: &Call,
    job: &Cleanup,
    report: &mut Report,
) -> Result<Option<&'static str>, FlowError> {
    let keys = keys_of(job);
    let agent = &keys.agent_id;
    // A deletion writes the config.
    let (mut writing, left) = call.client().group_commit.write_lock.lock_after_reading().await;
    let mut view = match left {
        Some(reading) => View::new(call, reading),
        None => effective_config::read(call).await?,
    };
    let shape = config::shape_of(call, view.config());
    let mut round = 0;
    while view.has(agent) {
        may_be_deleted(call, job, &keys, &view).await?;
        call.journal().refund(view.config().hash.as_ref());
        match call.journal().spend(vec![Step::Delete], view.config().hash.as_ref()).await {
            Ok(()) => {}
            Err(Refused::NotSaved(error)) => return Err(GatewayError::NotSaved(error).into()),
            Err(Refused::Spent(_)) => {
                let what = format!("the deletion of agent {agent}");
                return Err(
                    GatewayError::Undone { what, times: "twice", shows: String::new() }.into()
                );
            }
        }
        let guarded = escapes::guard(call, view.config(), agent).await?;
        let is_known = delete(call, agent, view.config(), report).await?;
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
    writing.leave(|| view.current(call));
    drop(writing);
    ownership::forget(call, agent);
    session::delete(call, &keys.session_key, report).await?;
    report.summary = if report.written.is_empty() {
        format!("agent {agent} was already gone; nothing was written")
    } else {
        format!("agent {agent} is gone")
    };
    Ok(Some(shape.as_str()))
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
    if job
        .agent
        .openclaw_session_id
        .as_deref()
        .is_some_and(|key| keys::is_main_session_key(key, job.gateway.id))
    {
        AgentKeys::of_main_agent(&job.agent, &job.gateway, None)
    } else {
        AgentKeys::of_board_agent(&job.agent, &job.gateway)
    }
}

/// Deletes the agent; returns `false` if the gateway does not know it.
async fn delete(
    call: &Call,
    agent: &str,
    config: &Config,
    report: &mut Report,
) -> Result<bool, GatewayError> {
    let files_stay = why_files_stay(call, config, agent);
    if let Some(why) = &files_stay {
        report.skip(format!("files of {agent}"), why);
    }
    match recreate::delete(call, agent, files_stay.is_none(), report).await {
        Ok(answer) => {
            if answer.is_some() {
                call.journal().answered(true, &[Step::Delete]);
            }
            let folder = workspace_of(config, agent).filter(|_| files_stay.is_none());
            report.note(Change::of_deletion(agent, folder));
            let answer = answer.unwrap_or_default();
            report.removed.extend(paths_in(&answer, "removed"));
            for path in paths_in(&answer, "failed") {
                report.skip(format!("path {path}"), "the gateway could not remove it");
            }
            Ok(true)
        }
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => {
            call.journal().answered(false, &[Step::Delete]);
            Ok(false)
        }
        Err(error) => {
            if error.rpc().is_some() {
                call.journal().answered(false, &[Step::Delete]);
            }
            Err(error)
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

fn workspace_of<'a>(config: &'a Config, agent: &str) -> Option<&'a str> {
    config.agent(agent)?.get("workspace")?.as_str()
}

/// Returns the reason why an agent's files must stay when it is deleted; `None` if they may be
/// deleted. Old gateways do not check whether another agent uses the folder.
fn why_files_stay(call: &Call, config: &Config, agent: &str) -> Option<String> {
    let own = workspace_of(config, agent)?;
    let is_own = |id: &str| keys::normalise_agent_id(id) == agent;
    let others = config.agents().filter(|(id, _)| !is_own(id));
    let folder_of =
        |entry: &serde_json::Map<String, Value>| Some(entry.get("workspace")?.as_str()?.to_owned());
    let mut folders: Vec<(String, String)> =
        others.filter_map(|(id, entry)| Some((format!("agent {id}"), folder_of(entry)?))).collect();
    // Agents without a folder of their own live in this one, in particular the default agent.
    if let Some(usual) = config.data.pointer("/agents/defaults/workspace").and_then(Value::as_str) {
        folders.push((
            format!("agent {} and others without a folder of their own", call.default_agent()),
            usual.to_owned(),
        ));
    }
    let (who, folder) = folders.into_iter().find(|(_, folder)| may_overlap(own, folder))?;
    let how = if same_folder(own, &folder) {
        "uses the same folder"
    } else {
        "has a folder above or below it"
    };
    Some(format!("{who} {how}: {folder}"))
}
