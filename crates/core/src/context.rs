//! The values that templates can show for a board agent or a main agent; all are strings.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::model::{Agent, Gateway, Provision, ProvisionMain, User};
use crate::{identity, keys, python_format};

/// The placeholder for the address of the main backend's API until an operator sets it.
pub(crate) const NO_BASE_URL: &str = "REPLACE_WITH_BASE_URL";

/// The placeholder for the agent's token in a job without one, until the token is found in the
/// agent's files.
pub(crate) const KEPT_TOKEN: &str = "REPLACE_WITH_AUTH_TOKEN";

/// Declares a struct of texts and lists them by name, so that each variable is written once.
macro_rules! texts {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* $text:ident,)*
            $(; $(#[$more:meta])* $other:ident: $type:ty,)?
        }
    ) => {
        $(#[$about])*
        #[cfg_attr(test, derive(Default))]
        pub struct $name {
            $($(#[$doc])* pub $text: String,)*
            $($(#[$more])* pub $other: $type,)?
        }

        impl $name {
            fn texts(&self) -> Vec<(&'static str, &str)> {
                vec![$((stringify!($text), self.$text.as_str())),*]
            }

            #[cfg(test)]
            pub(crate) fn texts_mut(&mut self) -> Vec<(&'static str, &mut String)> {
                vec![$((stringify!($text), &mut self.$text)),*]
            }
        }
    };
}

texts! {
    /// The template values that every agent has.
    #[derive(Clone, PartialEq, Eq)]
    pub struct Context {
        /// The agent's name; may be empty.
        agent_name,
        /// The agent's id in the main backend.
        agent_id,
        /// The session key given by the main backend, or the derived one.
        session_key,
        /// The address of the main backend's API, or `REPLACE_WITH_BASE_URL`.
        base_url,
        /// The agent's token for that API, which is secret.
        auth_token,
        /// The session key of the gateway's main agent.
        main_session_key,
        /// The workspace root as the job gives it.
        workspace_root,
        /// The person's full name, or empty.
        user_name,
        /// The first word of the person's preferred name, or empty.
        user_preferred_name,
        /// The person's pronouns, or empty.
        user_pronouns,
        /// The person's time zone, or empty.
        user_timezone,
        /// The notes on the person, or empty.
        user_notes,
        /// The context about the person, or empty.
        user_context,
        /// The agent's role; `Generalist` by default.
        identity_role,
        /// The communication style; `direct, concise, practical` by default.
        identity_communication_style,
        /// The agent's emoji; `:gear:` by default.
        identity_emoji,
        /// The level of autonomy, or empty.
        identity_autonomy_level,
        /// The level of verbosity, or empty.
        identity_verbosity,
        /// The output format, or empty.
        identity_output_format,
        /// The cadence of updates, or empty.
        identity_update_cadence,
        /// The agent's purpose, or empty.
        identity_purpose,
        /// The agent's personality, or empty.
        identity_personality,
        /// The custom instructions, or empty.
        identity_custom_instructions,
        ;
        /// The values of a board agent; `None` for the main agent of a gateway.
        board: Option<BoardContext>,
    }
}

texts! {
    /// The template values that only board agents have.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BoardContext {
        /// The board's id in the main backend.
        board_id,
        /// The name of the board.
        board_name,
        /// The type of the board, such as `goal`.
        board_type,
        /// The objective of the board, or empty.
        board_objective,
        /// The measures of success as JSON text; `{}` when there are none.
        board_success_metrics,
        /// The target date in ISO 8601, or empty.
        board_target_date,
        /// `true` or `false`, by the person's confirmation.
        board_goal_confirmed,
        /// `true` or `false`, by the agent's rank.
        is_board_lead,
        /// The agent's folder on the gateway's machine.
        workspace_path,
    }
}

impl Context {
    /// Returns the values for the documents of a board agent.
    ///
    /// `session_key` is shown as given, see [`keys::AgentKeys::shown_session_key`]. `base_url`
    /// comes from the settings.
    #[must_use]
    pub fn for_board(job: &Provision, session_key: &str, base_url: Option<&str>) -> Self {
        let (token, user) = (job.auth_token.as_ref(), job.user.as_ref());
        let context = Self::for_any(&job.agent, &job.gateway, token, user, session_key, base_url);
        Self { board: Some(BoardContext::new(job)), ..context }
    }

    /// Returns the values for the documents of a gateway's main agent. The parameters are those of
    /// [`Context::for_board`].
    #[must_use]
    pub fn for_main(job: &ProvisionMain, session_key: &str, base_url: Option<&str>) -> Self {
        let (token, user) = (job.auth_token.as_ref(), job.user.as_ref());
        Self::for_any(&job.agent, &job.gateway, token, user, session_key, base_url)
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
        let identity_or = |field: &str, default: &str| {
            Some(identity(field)).filter(|text| !text.is_empty()).unwrap_or(default.to_owned())
        };
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
            identity_role: identity_or("role", "Generalist"),
            identity_communication_style: identity_or(
                "communication_style",
                "direct, concise, practical",
            ),
            identity_emoji: identity_or("emoji", ":gear:"),
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
        let mut variables = self.texts();
        variables.extend(self.board.iter().flat_map(BoardContext::texts));
        variables
    }
}

/// Shows the agent's id and nothing else: the context holds its token and notes on a person.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("agent_id", &self.agent_id).finish_non_exhaustive()
    }
}

impl BoardContext {
    fn new(job: &Provision) -> Self {
        let board = &job.board;
        let metrics = Some(&board.success_metrics).filter(|value| python_format::is_truthy(value));
        Self {
            board_id: board.id.to_string(),
            board_name: board.name.clone(),
            board_type: board.board_type.clone(),
            board_objective: board.objective.clone().unwrap_or_default(),
            board_success_metrics: metrics
                .map_or_else(|| "{}".to_owned(), python_format::json_dumps),
            board_target_date: board.target_date.clone().unwrap_or_default(),
            board_goal_confirmed: board.goal_confirmed.to_string(),
            is_board_lead: job.agent.is_board_lead.to_string(),
            workspace_path: keys::workspace_path(&job.agent, &job.gateway.workspace_root),
        }
    }
}
