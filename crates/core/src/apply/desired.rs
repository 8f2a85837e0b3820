//! What a provisioning job wants, in the gateway's terms: keys, config entry, documents, session.

use serde_json::{Map, Value};

use crate::context::Context;
use crate::gateway::agents_config::DesiredAgent;
use crate::heartbeat;
use crate::keys::AgentKeys;
use crate::model::{Agent, Job, Options};

/// Label of a main agent's session when the agent has no name.
const MAIN_LABEL: &str = "Gateway Agent";

/// What a provisioning job wants.
#[derive(Debug, Clone)]
pub struct Desired {
    /// What the agent is called on the gateway.
    pub keys: AgentKeys,
    /// The agent as the job has it.
    pub agent: Agent,
    /// Its heartbeat settings.
    pub heartbeat: Map<String, Value>,
    /// What its documents can show. Holds its token.
    pub context: Context,
    /// What kind of run is wanted.
    pub options: Options,
    /// Label of its session; none leaves the label alone.
    pub label: Option<String>,
    /// Whether the job leaves the agent's token out, so that the one in its files is kept.
    pub keeps_token: bool,
}

impl Desired {
    /// What a job of either kind of provisioning wants; none for the other kinds. `base_url` comes
    /// from the settings.
    #[must_use]
    pub fn of(job: &Job, base_url: Option<&str>) -> Option<Self> {
        match job {
            Job::Provision(job) => {
                let keys = AgentKeys::of_board_agent(&job.agent, &job.gateway);
                let context = Context::for_board(job, &keys.shown_session_key, base_url);
                Some(
                    Self::new(keys, &job.agent, context, &job.options, None)
                        .keeping_token(job.auth_token.is_none()),
                )
            }
            Job::ProvisionMain(job) => {
                let keys =
                    AgentKeys::of_main_agent(&job.agent, &job.gateway, job.session_key.as_deref());
                let context = Context::for_main(job, &keys.shown_session_key, base_url);
                let wanted = Self::new(keys, &job.agent, context, &job.options, Some(MAIN_LABEL));
                Some(wanted.keeping_token(job.auth_token.is_none()))
            }
            _ => None,
        }
    }

    fn new(
        keys: AgentKeys,
        agent: &Agent,
        context: Context,
        options: &Options,
        fallback: Option<&str>,
    ) -> Self {
        let label = [Some(agent.name.trim()), fallback]
            .into_iter()
            .flatten()
            .find(|label| !label.is_empty());
        Self {
            heartbeat: heartbeat::config(agent),
            label: label.map(str::to_owned),
            keys,
            agent: agent.clone(),
            context,
            options: options.clone(),
            keeps_token: false,
        }
    }

    const fn keeping_token(mut self, keeps_token: bool) -> Self {
        self.keeps_token = keeps_token;
        self
    }

    /// The config entry. `prompt` is what the heartbeat says where the job itself says nothing,
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
            takes_over,
        }
    }
}
