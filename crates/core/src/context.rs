//! What templates can show: the context of a board agent and of a main agent, all strings.

/// Values for templates that every agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
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
