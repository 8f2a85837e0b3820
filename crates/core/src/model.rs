//! The job document, version 1.
//!
//! A document is parsed once, here, into types that cannot hold an invalid job. The same JSON
//! object is used on the queue, on the command line and in test data. Parsing is strict: an unknown
//! field, a wrong type or a missing key is refused with the path of the field and a remedy.

mod heartbeat_rules;
mod heartbeat_sync;
mod parse;
mod problem;
mod rules;
#[cfg(test)]
mod schema;
mod wake;

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use crate::applied::Applied;
pub use crate::gateway::{Fingerprint, NotAFingerprint};
pub use parse::{MAX_DOCUMENT_BYTES, padded_tokens};
pub use problem::{DocumentError, Problem};
#[cfg(test)]
pub(crate) use rules::{MAX_NAME, MAX_TEXT};
pub use wake::Wake;

/// The four kinds of job, with the names that they have on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Creates or updates a board-scoped agent.
    Provision,
    /// Creates or updates the main agent of a gateway.
    ProvisionMain,
    /// Removes an agent, its files and its session.
    Cleanup,
    /// Writes the heartbeats of many agents in one config write.
    HeartbeatSync,
}

impl Kind {
    /// All kinds, in the order used by tables and help texts.
    pub const ALL: [Self; 4] =
        [Self::Provision, Self::ProvisionMain, Self::Cleanup, Self::HeartbeatSync];

    /// Returns the name on the wire, such as `provision-main`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::ProvisionMain => "provision-main",
            Self::Cleanup => "cleanup",
            Self::HeartbeatSync => "heartbeat-sync",
        }
    }

    /// Returns the kind with the given wire name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A valid job, made by [`Job::parse`] only.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Job {
    /// A job of [`Kind::Provision`].
    Provision(Box<Provision>),
    /// A job of [`Kind::ProvisionMain`].
    ProvisionMain(Box<ProvisionMain>),
    /// A job of [`Kind::Cleanup`].
    Cleanup(Box<Cleanup>),
    /// A job of [`Kind::HeartbeatSync`].
    HeartbeatSync(Box<HeartbeatSync>),
    /// A job for a gateway that has no URL yet. It succeeds without doing anything.
    Nothing(Nothing),
}

/// A job that creates or updates a board-scoped agent.
#[derive(Debug, Clone)]
pub struct Provision {
    /// The gateway on which the agent lives.
    pub gateway: Gateway,
    /// The agent to create or update.
    pub agent: Agent,
    /// The board that the agent works on.
    pub board: Board,
    /// The person that the agent works for.
    pub user: Option<User>,
    /// The agent's own token for the main backend's API. `None` is possible only in an update,
    /// which keeps the token in the agent's files.
    pub auth_token: Option<SecretString>,
    /// The options of this run.
    pub options: Options,
    /// The keys and files that the latest run has applied, if the queue knows it. It is no part of
    /// the document.
    pub applied: Option<Applied>,
}

/// A job that creates or updates the main agent of a gateway.
#[derive(Debug, Clone)]
pub struct ProvisionMain {
    /// The gateway on which the agent lives.
    pub gateway: Gateway,
    /// The agent to create or update.
    pub agent: Agent,
    /// The person that the agent works for.
    pub user: Option<User>,
    /// The agent's own token for the main backend's API. `None` is possible only in an update,
    /// which keeps the token in the agent's files.
    pub auth_token: Option<SecretString>,
    /// The session key to use instead of the one derived from the gateway's id; never blank.
    pub session_key: Option<String>,
    /// The options of this run.
    pub options: Options,
    /// The keys and files that the latest run has applied, if the queue knows it. It is no part of
    /// the document.
    pub applied: Option<Applied>,
}

/// A job that removes an agent.
#[derive(Debug, Clone)]
pub struct Cleanup {
    /// The gateway on which the agent lives.
    pub gateway: Gateway,
    /// The agent to remove.
    pub agent: Agent,
    /// Deletes the agent with this id even if nothing shows that it is the one in the job.
    pub adopt: bool,
}

/// A job that writes the heartbeats of many agents.
#[derive(Debug, Clone)]
pub struct HeartbeatSync {
    /// The gateway on which the agents live.
    pub gateway: Gateway,
    /// The agents, in the order of the document; may be empty.
    pub agents: Vec<Agent>,
    /// The agents of the document that must no longer be written, kept for the report. They are not
    /// part of the document: see [`HeartbeatSync::leave_out`].
    pub left_out: Vec<Agent>,
}

/// A job that has nothing to do.
#[derive(Debug, Clone, Copy)]
pub struct Nothing {
    /// The kind that was requested.
    pub kind: Kind,
    /// The id of the gateway.
    pub gateway_id: Uuid,
    /// The id of the agent.
    pub agent_id: Uuid,
}

/// A gateway that can be reached. Only [`Job::parse`] builds one, so `url` and `workspace_root` are
/// usable.
#[derive(Clone)]
pub struct Gateway {
    /// The gateway's id in the main backend, which is also its lane in the queue.
    pub id: Uuid,
    /// The gateway's name, for people.
    pub name: String,
    /// The gateway's address, `ws://` or `wss://`.
    pub url: Url,
    /// The gateway's token. It is sent in the connect frame and nowhere else.
    pub token: Option<SecretString>,
    /// The folder on the gateway's machine under which workspaces are created. It is kept as given
    /// and never empty.
    pub workspace_root: String,
    /// Accepts a certificate that cannot be verified.
    pub allow_insecure_tls: bool,
    /// Accepts exactly the certificate with this fingerprint. Never set together with
    /// `allow_insecure_tls`.
    pub tls_fingerprint: Option<Fingerprint>,
}

impl fmt::Debug for Gateway {
    /// Shows only the host of the URL, because people put tokens into the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// An agent as the main backend knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Agent {
    /// The agent's id in the main backend.
    pub id: Uuid,
    /// The agent's name, for people; may be empty.
    pub name: String,
    /// The main backend's number of this state of the agent, which grows with each change. A
    /// document with a lower number than an earlier one changes nothing.
    #[serde(default)]
    pub generation: Option<u64>,
    /// The board that the agent belongs to, for information only.
    #[serde(default)]
    pub board_id: Option<Uuid>,
    /// The session key given by the main backend, such as `agent:lead-7:main`.
    #[serde(default)]
    pub openclaw_session_id: Option<String>,
    /// Marks a board lead, which gets a different heartbeat document.
    #[serde(default, deserialize_with = "null_is_default")]
    pub is_board_lead: bool,
    /// The overlay on the default heartbeat; ignored unless it is an object.
    #[serde(default)]
    pub heartbeat_config: Value,
    /// The role, style and charter; ignored unless it is an object.
    #[serde(default)]
    pub identity_profile: Value,
    /// A Jinja template that replaces IDENTITY.md.
    #[serde(default)]
    pub identity_template: Option<String>,
    /// A Jinja template that replaces SOUL.md.
    #[serde(default)]
    pub soul_template: Option<String>,
}

/// The board that an agent works on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Board {
    /// The board's id in the main backend.
    pub id: Uuid,
    /// The name of the board.
    pub name: String,
    /// The type of the board, such as `goal`.
    #[serde(default = "default_board_type")]
    pub board_type: String,
    /// The objective of the board.
    #[serde(default)]
    pub objective: Option<String>,
    /// The measures of success: any JSON, shown to the agent unchanged.
    #[serde(default)]
    pub success_metrics: Value,
    /// The target date, an ISO 8601 date or date-time, shown as given.
    #[serde(default, deserialize_with = "not_empty")]
    pub target_date: Option<String>,
    /// `true` if a person has confirmed the goal.
    #[serde(default, deserialize_with = "null_is_default")]
    pub goal_confirmed: bool,
}

/// The person that an agent works for. Every part may be unknown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct User {
    /// The person's full name.
    #[serde(default)]
    pub name: Option<String>,
    /// The name that the person prefers; its first word is used.
    #[serde(default)]
    pub preferred_name: Option<String>,
    /// The person's pronouns, such as `she/her`.
    #[serde(default)]
    pub pronouns: Option<String>,
    /// The IANA name of the person's time zone, for information only.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Notes on the person, as free text.
    #[serde(default)]
    pub notes: Option<String>,
    /// Context about the person, as free text.
    #[serde(default)]
    pub context: Option<String>,
}

/// The options of a provisioning run.
#[expect(clippy::struct_excessive_bools, reason = "each bool is a field of the document")]
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Options {
    /// A first provisioning or a later update.
    #[serde(default, deserialize_with = "null_is_default")]
    pub action: Action,
    /// Writes BOOTSTRAP.md even in an update that would leave it out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub force_bootstrap: bool,
    /// Resets the agent's session at the end of the run.
    #[serde(default, deserialize_with = "null_is_default")]
    pub reset_session: bool,
    /// Takes over an agent with this id that is on the gateway but was not made for this one: a
    /// person's agent, or another agent of the main backend.
    #[serde(default, deserialize_with = "null_is_default")]
    pub adopt: bool,
    /// Moves an agent to another folder on the gateway's machine. Its memory stays in the old
    /// folder.
    #[serde(default, deserialize_with = "null_is_default")]
    pub move_workspace: bool,
    /// The message that wakes the agent at the end of the run. `None` sends nothing.
    #[serde(default)]
    pub wake: Option<Wake>,
    /// Accepts a heartbeat that comes more often than every 30 seconds. It applies to
    /// heartbeat-syncs too.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_fast_heartbeat: bool,
}

/// A first provisioning or a later update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Action {
    /// The agent is new, or is treated as if it were.
    #[default]
    Provision,
    /// The agent exists, so BOOTSTRAP.md is left alone.
    Update,
}

impl Job {
    /// Returns the kind of the job.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Provision(_) => Kind::Provision,
            Self::ProvisionMain(_) => Kind::ProvisionMain,
            Self::Cleanup(_) => Kind::Cleanup,
            Self::HeartbeatSync(_) => Kind::HeartbeatSync,
            Self::Nothing(nothing) => nothing.kind,
        }
    }

    /// Returns the id of the job's gateway, which is the queue's lane.
    #[must_use]
    pub const fn gateway_id(&self) -> Uuid {
        match self.gateway() {
            Some(gateway) => gateway.id,
            None => match self {
                Self::Nothing(nothing) => nothing.gateway_id,
                _ => Uuid::nil(),
            },
        }
    }

    /// Returns the gateway, or `None` if it has no URL.
    #[must_use]
    pub const fn gateway(&self) -> Option<&Gateway> {
        match self {
            Self::Provision(job) => Some(&job.gateway),
            Self::ProvisionMain(job) => Some(&job.gateway),
            Self::Cleanup(job) => Some(&job.gateway),
            Self::HeartbeatSync(job) => Some(&job.gateway),
            Self::Nothing(_) => None,
        }
    }

    /// Returns the id of the job's one agent, or `None` for a heartbeat-sync.
    #[must_use]
    pub const fn agent_id(&self) -> Option<Uuid> {
        match self {
            Self::Provision(job) => Some(job.agent.id),
            Self::ProvisionMain(job) => Some(job.agent.id),
            Self::Cleanup(job) => Some(job.agent.id),
            Self::HeartbeatSync(_) => None,
            Self::Nothing(nothing) => Some(nothing.agent_id),
        }
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.filter(|text| !text.is_empty()))
}

fn default_board_type() -> String {
    "goal".to_owned()
}
