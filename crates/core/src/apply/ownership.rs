//! The ownership rule: only agents that belong to a job are changed.
//!
//! A gateway has agents that people made, and a default agent that its own work falls back on. An
//! agent's id comes from a name that people choose, so a job may well derive the id of one of
//! those, or of another agent of the main backend. An entry in the gateway's config is the job's if
//!
//! - its files name the agent's id in the main backend, or
//! - it lives in the folder that the job derives for its agent, and its files name no other agent.
//!
//! Every flow checks this before it writes anything; [`reason_not_to_write`] checks it again with
//! the config that a write is based on.

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::session;
use super::workspace::{self, Workspace};
use crate::documents::Document;
use crate::gateway::agents_config::{Config, DesiredAgent, same_folder};
use crate::gateway::{Call, GatewayError};
use crate::keys::{self, AgentKeys};

/// The beginning of a document line that names the agent for which the document was written.
const ID_LINE: &str = "AGENT_ID=";
/// The documents that name an agent's id, because they explain how to reach the main backend.
const FILES: [Document; 3] = [Document::Agents, Document::Tools, Document::Identity];

/// The agent of a job, and what the job may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// The agent's id in the main backend.
    pub(super) id: Uuid,
    /// The agent's names on the gateway.
    pub(super) keys: &'a AgentKeys,
    /// Set if the job may take over an agent of somebody else.
    pub(super) adopt: bool,
    /// Set if the agent may be moved to another folder, without its memory.
    pub(super) move_workspace: bool,
}

/// A claim on an agent by a run of this process, released on drop.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    call: &'a Call,
    agent: String,
    is_kept: bool,
}

impl Claim<'_> {
    /// Keeps the claim after the run, because the agent's files may not name its owner.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

/// Removes the claim on an agent that is gone.
pub(super) fn forget(call: &Call, agent: &str) {
    call.client().group_commit.owners().remove(agent);
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            forget(self.call, &self.agent);
        }
    }
}

/// Claims the agent's id on the gateway for this run: two agents with the same name may be
/// provisioned at the same time, before either has files.
pub(super) fn claim<'a>(call: &'a Call, subject: Subject<'_>) -> Result<Claim<'a>, GatewayError> {
    let agent = subject.keys.agent_id.clone();
    let mut owners = call.client().group_commit.owners();
    if let Some(&owner) = owners.get(&agent)
        && owner != subject.id
        && !subject.adopt
    {
        return Err(GatewayError::IdTaken { agent, owner });
    }
    owners.insert(agent.clone(), subject.id);
    Ok(Claim { call, agent, is_kept: false })
}

/// An agent's entry that the job may write.
#[derive(Debug)]
pub(super) struct Ours {
    /// The config that was searched for the entry.
    pub(super) config: Arc<Config>,
    /// The folder of the entry, if it differs from the job's.
    pub(super) takes_over: Option<String>,
    /// The files that were read for the check; `None` if there is no entry.
    pub(super) files: Option<Workspace>,
}

/// Checks that the agent's entry, if there is one, is the job's. Writes nothing.
pub(super) async fn check(
    call: &Call,
    config: Arc<Config>,
    subject: Subject<'_>,
) -> Result<Ours, GatewayError> {
    let (agent, own) = (&subject.keys.agent_id, &subject.keys.workspace_path);
    let refuse = |agent: &String, reason: String| {
        Err(GatewayError::NotOurs { agent: agent.clone(), reason })
    };
    let is_default = |agent: &String| agent == call.default_agent();
    let session = &subject.keys.session_key;
    if let Some(of_session) = agent_of_session(session, call.default_agent())
        && of_session != *agent
        && (is_default(&of_session) || config.agent(&of_session).is_some())
        && !subject.adopt
    {
        let reason = format!("the session {session} of this job is one of that agent's");
        return refuse(&of_session, reason);
    }
    let Some(entry) = config.agent(agent) else {
        if subject.adopt {
            return Ok(Ours { config, takes_over: Some(String::new()), files: None });
        }
        if is_default(agent) {
            return refuse(agent, DEFAULT.to_owned());
        }
        // The documents of a new agent would replace those of another one in its folder.
        let mut others = folders_of_others(&config, agent);
        if let Some((other, _)) = others.find(|(_, folder)| same_folder(folder, own)) {
            let (agent, folder, other) = (agent.clone(), own.clone(), other.to_owned());
            return Err(GatewayError::WorkspaceTaken { agent, folder, other });
        }
        drop(others);
        return Ok(Ours { config, takes_over: None, files: None });
    };
    let present = folder_of(entry).unwrap_or_default().to_owned();
    let is_there = same_folder(&present, own);
    let files = workspace::read(call, agent, &FILES).await?;
    let mut named = files.as_ref().map_or(Named::Nobody, |files| named_in(files, subject.id));
    if let (Named::Nobody, Some(owner)) = (&named, call.client().group_commit.owners().get(agent)) {
        named = if *owner == subject.id { Named::TheAgent } else { Named::Another(*owner) };
    }
    match named {
        _ if subject.adopt => {}
        Named::Another(owner) => {
            return Err(GatewayError::IdTaken { agent: agent.clone(), owner });
        }
        Named::Nobody if !is_there => return refuse(agent, lives_in(&present)),
        _ => {}
    }
    if !is_there && !subject.move_workspace {
        let (agent, desired) = (agent.clone(), own.clone());
        return Err(GatewayError::WorkspaceMoves { agent, present, desired });
    }
    Ok(Ours { config, takes_over: (!is_there).then_some(present), files })
}

/// Returns the folder that an entry names.
pub(super) fn folder_of(entry: &Map<String, Value>) -> Option<&str> {
    entry.get("workspace")?.as_str()
}

/// Returns the ids and folders of the other agents in a config whose entries name a folder.
pub(super) fn folders_of_others<'a>(
    config: &'a Config,
    agent: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let others = config.agents().filter(move |(id, _)| keys::normalise_agent_id(id) != agent);
    others.filter_map(|(id, entry)| Some((id, folder_of(entry)?)))
}

/// Returns the agent that a session key names. A single word such as `main` stands for a session of
/// the default agent. A key such as `hook:x:y` is a session of its own, which belongs to nobody
/// else.
fn agent_of_session(key: &str, default: &str) -> Option<String> {
    session::agent_of(key).or_else(|| (!key.contains(':')).then(|| default.to_owned()))
}

const DEFAULT: &str = "it is the gateway's default agent";

fn lives_in(folder: &str) -> String {
    if folder.is_empty() {
        "its entry names no folder, and none of its files names the job's agent".to_owned()
    } else {
        format!("it lives in {folder}, and none of its files names the job's agent")
    }
}

/// Returns the reason why an entry must not be written for a desired agent; `None` if it may be
/// written.
pub(super) fn reason_not_to_write(
    call: &Call,
    config: &Config,
    agent: &DesiredAgent,
) -> Option<String> {
    let Some(entry) = config.agent(&agent.id) else {
        let is_default = agent.id == call.default_agent() && agent.takes_over.is_none();
        return is_default.then(|| DEFAULT.to_owned());
    };
    let present = folder_of(entry).unwrap_or_default();
    let may = same_folder(present, &agent.workspace)
        || agent.takes_over.as_deref().is_some_and(|folder| folder == present || folder.is_empty());
    (!may).then(|| lives_in(present))
}

/// The owner that the files of an agent name.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// The agent of the job.
    TheAgent,
    /// Another agent of the main backend.
    Another(Uuid),
    /// No agent of the main backend.
    Nobody,
}

fn named_in(files: &Workspace, id: Uuid) -> Named {
    let texts = || files.present.values().map(String::as_str);
    let id_text = id.to_string();
    if texts().any(|text| text.to_lowercase().contains(&id_text)) {
        return Named::TheAgent;
    }
    let another = texts().flat_map(str::lines).find_map(id_in);
    another.map_or(Named::Nobody, Named::Another)
}

/// Returns the id in a line that names an agent; `None` if the line names none.
fn id_in(line: &str) -> Option<Uuid> {
    // The shipped documents name the agent in a sentence.
    if let Some((before, id)) = line.split_once("id `").or_else(|| line.split_once("id: `"))
        && (before.starts_with("You are **") || before.starts_with("- Agent"))
    {
        return Uuid::try_parse(id.split('`').next()?).ok();
    }
    let line = line.trim().trim_start_matches(['-', '*', ' ', '`']);
    let value = line.strip_prefix("export ").unwrap_or(line).strip_prefix(ID_LINE)?;
    Uuid::try_parse(value.trim_matches(['"', '\'', '`', ' '])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_the_agent_another_or_nobody() {
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let line = |id: Uuid| format!("BASE_URL=x\nAGENT_ID={id}\n");
        for (texts, expected) in [
            (vec![line(ada)], Named::TheAgent),
            (vec![line(bob)], Named::Another(bob)),
            (vec![line(bob), line(ada)], Named::TheAgent),
            (vec![format!("My id is `{}`.", ada.to_string().to_uppercase())], Named::TheAgent),
            (vec![format!("Ask {bob} for help.")], Named::Nobody),
            (vec![format!("- `AGENT_ID={bob}`")], Named::Another(bob)),
            (vec!["AGENT_ID=$ID".to_owned()], Named::Nobody),
            (vec![format!("You are **Bob** (id `{bob}`), the lead")], Named::Another(bob)),
            (vec![format!("- Agent: Bob, id `{bob}`")], Named::Another(bob)),
            (vec![format!("- Agent id: `{bob}`")], Named::Another(bob)),
            (vec![], Named::Nobody),
        ] {
            let present = FILES.into_iter().zip(texts).collect();
            let files = Workspace { present, ..Workspace::default() };
            assert_eq!(named_in(&files, ada), expected, "{files:?}");
        }
    }
}
