//! What templates can show: the context of a board agent and of a main agent, all strings.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::model::{Agent, Gateway, Provision, ProvisionMain, User};
use crate::{identity, keys, python_format};

/// Stands for the address of the main backend's API until an operator sets it.
pub const NO_BASE_URL: &str = "REPLACE_WITH_BASE_URL";

/// Stands for the agent's token where a job leaves it out, until it was found in the agent's files.
pub const KEPT_TOKEN: &str = "REPLACE_WITH_AUTH_TOKEN";

/// Values for templates that every agent has.
#[derive(Clone, PartialEq, Eq)]
pub struct Context {
    /// The agent's name; may be empty.
    pub agent_name: String,
    /// The main backend's id of the agent.
    pub agent_id: String,
    /// The session key given by the main backend, or the derived one.
    pub session_key: String,
    /// Address of the main backend's API, or `REPLACE_WITH_BASE_URL`.
    pub base_url: String,
    /// The agent's token for that API. Secret.
    pub auth_token: String,
    /// Session key of the gateway's main agent.
    pub main_session_key: String,
    /// As the job gives it.
    pub workspace_root: String,
    /// The person's full name, or empty.
    pub user_name: String,
    /// First word of what the person likes to be called, or empty.
    pub user_preferred_name: String,
    /// Or empty.
    pub user_pronouns: String,
    /// Or empty.
    pub user_timezone: String,
    /// Or empty.
    pub user_notes: String,
    /// Or empty.
    pub user_context: String,
    /// Default `Generalist`.
    pub identity_role: String,
    /// Default `direct, concise, practical`.
    pub identity_communication_style: String,
    /// Default `:gear:`.
    pub identity_emoji: String,
    /// Or empty.
    pub identity_autonomy_level: String,
    /// Or empty.
    pub identity_verbosity: String,
    /// Or empty.
    pub identity_output_format: String,
    /// Or empty.
    pub identity_update_cadence: String,
    /// Or empty.
    pub identity_purpose: String,
    /// Or empty.
    pub identity_personality: String,
    /// Or empty.
    pub identity_custom_instructions: String,
    /// What only board agents have; none for the main agent of a gateway.
    pub board: Option<BoardContext>,
}

/// Values for templates that only board agents have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardContext {
    /// The main backend's id of the board.
    pub board_id: String,
    /// Its name.
    pub board_name: String,
    /// Such as `goal`.
    pub board_type: String,
    /// Or empty.
    pub board_objective: String,
    /// JSON text, `{}` when there are none.
    pub board_success_metrics: String,
    /// ISO 8601, or empty.
    pub board_target_date: String,
    /// `true` or `false`.
    pub board_goal_confirmed: String,
    /// `true` or `false`.
    pub is_board_lead: String,
    /// Folder of the agent on the gateway's machine.
    pub workspace_path: String,
}

impl Context {
    /// What the documents of a board agent can show.
    ///
    /// `session_key` is shown as given, see [`keys::AgentKeys::shown_session_key`]; `base_url`
    /// comes from the settings.
    #[must_use]
    pub fn for_board(job: &Provision, session_key: &str, base_url: Option<&str>) -> Self {
        let user = job.user.as_ref();
        let mut context = Self::for_any(
            &job.agent,
            &job.gateway,
            job.auth_token.as_ref(),
            user,
            session_key,
            base_url,
        );
        context.board = Some(BoardContext::new(job));
        context
    }

    /// What the documents of a gateway's main agent can show; parameters as for
    /// [`Context::for_board`].
    #[must_use]
    pub fn for_main(job: &ProvisionMain, session_key: &str, base_url: Option<&str>) -> Self {
        Self::for_any(
            &job.agent,
            &job.gateway,
            job.auth_token.as_ref(),
            job.user.as_ref(),
            session_key,
            base_url,
        )
    }

    fn for_any(
        agent: &Agent,
        gateway: &Gateway,
        auth_token: Option<&SecretString>,
        user: Option<&User>,
        session_key: &str,
        base_url: Option<&str>,
    ) -> Self {
        let of_user = |field: fn(&User) -> &Option<String>| {
            user.and_then(|user| field(user).clone()).unwrap_or_default()
        };
        let identity = |field: &str| identity::text(&agent.identity_profile, field);
        let identity_or =
            |field: &str, default: &str| identity::text_or(&agent.identity_profile, field, default);
        Self {
            agent_name: agent.name.clone(),
            agent_id: agent.id.to_string(),
            session_key: session_key.to_owned(),
            base_url: base_url
                .filter(|url| !url.trim().is_empty())
                .unwrap_or(NO_BASE_URL)
                .to_owned(),
            auth_token: auth_token.map_or(KEPT_TOKEN, ExposeSecret::expose_secret).to_owned(),
            main_session_key: keys::main_session_key(gateway.id),
            workspace_root: gateway.workspace_root.clone(),
            user_name: of_user(|user| &user.name),
            user_preferred_name: python_format::first_word(&of_user(|user| &user.preferred_name))
                .to_owned(),
            user_pronouns: of_user(|user| &user.pronouns),
            user_timezone: of_user(|user| &user.timezone),
            user_notes: of_user(|user| &user.notes),
            user_context: of_user(|user| &user.context),
            identity_role: identity_or("role", identity::DEFAULT_ROLE),
            identity_communication_style: identity_or(
                "communication_style",
                identity::DEFAULT_COMMUNICATION_STYLE,
            ),
            identity_emoji: identity_or("emoji", identity::DEFAULT_EMOJI),
            identity_autonomy_level: identity("autonomy_level"),
            identity_verbosity: identity("verbosity"),
            identity_output_format: identity("output_format"),
            identity_update_cadence: identity("update_cadence"),
            identity_purpose: identity("purpose"),
            identity_personality: identity("personality"),
            identity_custom_instructions: identity("custom_instructions"),
            board: None,
        }
    }

    /// The variables of a template and their values. Those of a board exist only for board agents.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        let mut variables = vec![
            ("agent_name", self.agent_name.as_str()),
            ("agent_id", &self.agent_id),
            ("session_key", &self.session_key),
            ("base_url", &self.base_url),
            ("auth_token", &self.auth_token),
            ("main_session_key", &self.main_session_key),
            ("workspace_root", &self.workspace_root),
            ("user_name", &self.user_name),
            ("user_preferred_name", &self.user_preferred_name),
            ("user_pronouns", &self.user_pronouns),
            ("user_timezone", &self.user_timezone),
            ("user_notes", &self.user_notes),
            ("user_context", &self.user_context),
            ("identity_role", &self.identity_role),
            ("identity_communication_style", &self.identity_communication_style),
            ("identity_emoji", &self.identity_emoji),
            ("identity_autonomy_level", &self.identity_autonomy_level),
            ("identity_verbosity", &self.identity_verbosity),
            ("identity_output_format", &self.identity_output_format),
            ("identity_update_cadence", &self.identity_update_cadence),
            ("identity_purpose", &self.identity_purpose),
            ("identity_personality", &self.identity_personality),
            ("identity_custom_instructions", &self.identity_custom_instructions),
        ];
        if let Some(board) = &self.board {
            variables.extend([
                ("board_id", board.board_id.as_str()),
                ("board_name", &board.board_name),
                ("board_type", &board.board_type),
                ("board_objective", &board.board_objective),
                ("board_success_metrics", &board.board_success_metrics),
                ("board_target_date", &board.board_target_date),
                ("board_goal_confirmed", &board.board_goal_confirmed),
                ("is_board_lead", &board.is_board_lead),
                ("workspace_path", &board.workspace_path),
            ]);
        }
        variables
    }
}

/// Names the agent and nothing else: the context holds its token and what is noted about a person.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("agent_id", &self.agent_id).finish_non_exhaustive()
    }
}

impl BoardContext {
    fn new(job: &Provision) -> Self {
        let board = &job.board;
        let no_metrics = json!({});
        let metrics: &Value = if python_format::is_truthy(&board.success_metrics) {
            &board.success_metrics
        } else {
            &no_metrics
        };
        Self {
            board_id: board.id.to_string(),
            board_name: board.name.clone(),
            board_type: board.board_type.clone(),
            board_objective: board.objective.clone().unwrap_or_default(),
            board_success_metrics: python_format::json_dumps(metrics),
            board_target_date: board.target_date.clone().unwrap_or_default(),
            board_goal_confirmed: board.goal_confirmed.to_string(),
            is_board_lead: job.agent.is_board_lead.to_string(),
            workspace_path: keys::workspace_path(&job.agent, &job.gateway.workspace_root),
        }
    }
}
