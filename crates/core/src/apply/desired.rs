//! The desired state of a provisioning job in the gateway's terms: keys, config entry, documents,
//! session.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::applied::Applied;
use crate::context::Context;
use crate::documents::Document;
use crate::gateway::agents_config::DesiredAgent;
use crate::heartbeat;
use crate::keys::AgentKeys;
use crate::model::{Agent, Job, Options};
use crate::render::Reader;

/// The label of a main agent's session if the agent has no name.
const MAIN_LABEL: &str = "Gateway Agent";

/// The desired state of a provisioning job.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The agent's names on the gateway.
    pub keys: AgentKeys,
    /// The agent from the job document.
    pub agent: Agent,
    /// The heartbeat settings of the agent.
    pub heartbeat: Map<String, Value>,
    /// The values that its documents can show, including its token.
    pub context: Context,
    /// The options of the run.
    pub options: Options,
    /// The label of its session; `None` leaves the label alone.
    pub label: Option<String>,
    /// The keys and files that the latest run has applied, if it is known.
    pub applied: Option<Applied>,
    /// Set if the job omits the agent's token, so that the one in its files is kept.
    pub keeps_token: bool,
}

impl Desired {
    /// Returns the desired state of a job of either kind of provisioning; `None` for other kinds.
    /// `base_url` comes from the settings.
    #[must_use]
    pub fn of(job: &Job, base_url: Option<&str>) -> Option<Self> {
        match job {
            Job::Provision(job) => {
                let keys = AgentKeys::of_board_agent(&job.agent, &job.gateway);
                let context = Context::for_board(job, &keys.shown_session_key, base_url);
                let keeps_token = job.auth_token.is_none();
                let wanted = Self::new(keys, context, &job.agent, &job.options, keeps_token);
                Some(Self { applied: job.applied.clone(), ..wanted })
            }
            Job::ProvisionMain(job) => {
                let given = job.session_key.as_deref();
                let keys = AgentKeys::of_main_agent(&job.agent, &job.gateway, given);
                let context = Context::for_main(job, &keys.shown_session_key, base_url);
                let keeps_token = job.auth_token.is_none();
                let wanted = Self::new(keys, context, &job.agent, &job.options, keeps_token);
                let label = wanted.label.or(Some(MAIN_LABEL.to_owned()));
                Some(Self { label, applied: job.applied.clone(), ..wanted })
            }
            _ => None,
        }
    }

    fn new(
        keys: AgentKeys,
        context: Context,
        agent: &Agent,
        options: &Options,
        keeps_token: bool,
    ) -> Self {
        let name = agent.name.trim();
        Self {
            heartbeat: heartbeat::config(agent),
            label: (!name.is_empty()).then(|| name.to_owned()),
            keys,
            agent: agent.clone(),
            context,
            options: options.clone(),
            applied: None,
            keeps_token,
        }
    }

    /// Returns the reader of the documents on a gateway that refuses some of them.
    pub(super) const fn reader<'a>(&'a self, refused: &'a BTreeSet<Document>) -> Reader<'a> {
        Reader { agent: &self.agent, context: &self.context, refused }
    }

    /// Returns the config entry. `prompt` is the heartbeat prompt for a job that sets none; for
    /// `takes_over` see [`DesiredAgent`].
    #[must_use]
    pub fn entry(&self, prompt: Option<String>, takes_over: Option<String>) -> DesiredAgent {
        let mut heartbeat = self.heartbeat.clone();
        if let Some(prompt) = prompt {
            heartbeat.entry("prompt").or_insert(Value::String(prompt));
        }
        let name = if self.agent.name.is_empty() { &self.keys.agent_id } else { &self.agent.name };
        DesiredAgent {
            id: self.keys.agent_id.clone(),
            name: Some(name.clone()),
            workspace: self.keys.workspace_path.clone(),
            heartbeat,
            set_before: self.applied.as_ref().map(Applied::heartbeat).unwrap_or_default(),
            takes_over,
        }
    }
}
