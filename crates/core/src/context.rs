//! The values that templates can show for a board agent or a main agent; all are strings.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::model::{Agent, Gateway, Provision, ProvisionMain, User};
use crate::{identity, keys, python_format};

/// The placeholder for the address of the main backend's API until an operator sets it.
pub(crate) const NO_BASE_URL: &str = "REPLACE_WITH_BASE_URL";

/// The placeholder for the agent's token in a job without one, until the token is found in the
/// agent's files.
pub(crate) const KEPT_TOKEN: &str = "REPLACE_WITH_AUTH_TOKEN";

/// The template values that every agent has.
#[derive(Clone, PartialEq, Eq)]
pub struct Context {
    /// The agent's name; may be empty.
    pub agent_name: String,
    /// The agent's id in the main backend.
    pub agent_id: String,
    /// The session key given by the main backend, or the derived one.
    pub session_key: String,
    /// The address of the main backend's API, or `REPLACE_WITH_BASE_URL`.
    pub base_url: String,
    /// The agent's token for that API, which is secret.
    pub auth_token: String,
    /// The session key of the gateway's main agent.
    pub main_session_key: String,
    /// The workspace root as the job gives it.
    pub workspace_root: String,
    /// The person's full name, or empty.
    pub user_name: String,
    /// The first word of the person's preferred name, or empty.
    pub user_preferred_name: String,
    /// The person's pronouns, or empty.
    pub user_pronouns: String,
    /// The person's time zone, or empty.
    pub user_timezone: String,
    /// The notes on the person, or empty.
    pub user_notes: String,
    /// The context about the person, or empty.
    pub user_context: String,
    /// The agent's role; `Generalist` by default.
    pub identity_role: String,
    /// The communication style; `direct, concise, practical` by default.
    pub identity_communication_style: String,
    /// The agent's emoji; `:gear:` by default.
    pub identity_emoji: String,
    /// The level of autonomy, or empty.
    pub identity_autonomy_level: String,
    /// The level of verbosity, or empty.
    pub identity_verbosity: String,
    /// The output format, or empty.
    pub identity_output_format: String,
    /// The cadence of updates, or empty.
    pub identity_update_cadence: String,
    /// The agent's purpose, or empty.
    pub identity_purpose: String,
    /// The agent's personality, or empty.
    pub identity_personality: String,
    /// The custom instructions, or empty.
    pub identity_custom_instructions: String,
    /// The values of a board agent; `None` for the main agent of a gateway.
    pub board: Option<BoardContext>,
}

/// The template values that only board agents have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardContext {
    /// The board's id in the main backend.
    pub board_id: String,
    /// The name of the board.
    pub board_name: String,
    /// The type of the board, such as `goal`.
    pub board_type: String,
    /// The objective of the board, or empty.
    pub board_objective: String,
    /// The measures of success as JSON text; `{}` when there are none.
    pub board_success_metrics: String,
    /// The target date in ISO 8601, or empty.
    pub board_target_date: String,
    /// `true` or `false`, by the person's confirmation.
    pub board_goal_confirmed: String,
    /// `true` or `false`, by the agent's rank.
    pub is_board_lead: String,
    /// The agent's folder on the gateway's machine.
    pub workspace_path: String,
}

impl Context {
    /// Returns the values for the documents of a board agent.
    ///
    /// `session_key` is shown as given, see [`keys::AgentKeys::shown_session_key`]. `base_url`
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

    /// Returns the values for the documents of a gateway's main agent. The parameters are those of
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

    /// Returns the variables of a template with their values. The variables of a board exist only
    /// for board agents.
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

/// Shows the agent's name and nothing else: the context holds its token and notes on a person.
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
