//! The job document, version 1: parsed once, here, into types that cannot be wrong.
//!
//! One JSON object is the same on the queue, on the command line and in test data. Parsing is
//! strict: an unknown field, a wrong type or a missing key is refused with the path of the field
//! and what to do.

mod fingerprint;
mod heartbeat_rules;
mod heartbeat_sync;
mod inherited;
mod limits;
mod parse;
mod wake;

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

pub use fingerprint::{Fingerprint, NotAFingerprint};
pub use inherited::Inherited;
pub use limits::{MAX_AGENTS, MAX_NAME, MAX_TEXT, MAX_TOKEN, MAX_VALUES};
pub use parse::{DocumentError, MAX_DOCUMENT_BYTES, Problem, padded_tokens};
pub use wake::Wake;

/// The four kinds of job, by the names used on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Create or update a board-scoped agent.
    Provision,
    /// Create or update the main agent of a gateway.
    ProvisionMain,
    /// Remove an agent, its files and its session.
    Cleanup,
    /// Write the heartbeats of many agents in one config write.
    HeartbeatSync,
}

impl Kind {
    /// All kinds, in the order used by tables and help texts.
    pub const ALL: [Self; 4] =
        [Self::Provision, Self::ProvisionMain, Self::Cleanup, Self::HeartbeatSync];

    /// The name on the wire, such as `provision-main`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::ProvisionMain => "provision-main",
            Self::Cleanup => "cleanup",
            Self::HeartbeatSync => "heartbeat-sync",
        }
    }

    /// The kind of that wire name, if there is one.
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

/// A valid job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Job {
    /// See [`Kind::Provision`].
    Provision(Box<Provision>),
    /// See [`Kind::ProvisionMain`].
    ProvisionMain(Box<ProvisionMain>),
    /// See [`Kind::Cleanup`].
    Cleanup(Box<Cleanup>),
    /// See [`Kind::HeartbeatSync`].
    HeartbeatSync(Box<HeartbeatSync>),
    /// A job for a gateway that has no url yet: it succeeds without doing anything.
    Nothing(Nothing),
}

/// Create or update a board-scoped agent.
#[derive(Debug, Clone)]
pub struct Provision {
    /// Where the agent lives.
    pub gateway: Gateway,
    /// The agent.
    pub agent: Agent,
    /// The board that it works on.
    pub board: Board,
    /// The person it works for.
    pub user: Option<User>,
    /// The agent's own token for the main backend's API. None only in an update: the one in its
    /// files is kept.
    pub auth_token: Option<SecretString>,
    /// What kind of run is wanted.
    pub options: Options,
}

/// Create or update the main agent of a gateway.
#[derive(Debug, Clone)]
pub struct ProvisionMain {
    /// Where the agent lives.
    pub gateway: Gateway,
    /// The agent.
    pub agent: Agent,
    /// The person it works for.
    pub user: Option<User>,
    /// The agent's own token for the main backend's API. None only in an update: the one in its
    /// files is kept.
    pub auth_token: Option<SecretString>,
    /// Session key to use instead of the one derived from the gateway's id; never blank.
    pub session_key: Option<String>,
    /// What kind of run is wanted.
    pub options: Options,
}

/// Remove an agent.
#[derive(Debug, Clone)]
pub struct Cleanup {
    /// Where the agent lives.
    pub gateway: Gateway,
    /// The agent.
    pub agent: Agent,
    /// Delete an agent of that id although nothing shows that it is this one.
    pub adopt: bool,
}

/// Write the heartbeats of many agents.
#[derive(Debug, Clone)]
pub struct HeartbeatSync {
    /// Where the agents live.
    pub gateway: Gateway,
    /// The agents, in the order of the document. May be empty.
    pub agents: Vec<Agent>,
    /// Agents of the document that must not be written any more, for the report. No part of the
    /// document: see [`HeartbeatSync::leave_out`].
    pub left_out: Vec<Agent>,
}

/// A job that has nothing to do, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Nothing {
    /// The kind asked for.
    pub kind: Kind,
    /// The gateway's id.
    pub gateway_id: Uuid,
    /// The agent's id.
    pub agent_id: Uuid,
}

/// A gateway that can be reached. Built only by [`Job::parse`], so `url` and `workspace_root` are
/// usable.
#[derive(Clone)]
pub struct Gateway {
    /// The main backend's id of it; the queue's lane.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// `ws://` or `wss://`.
    pub url: Url,
    /// The gateway's token, sent in the connect frame and nowhere else.
    pub token: Option<SecretString>,
    /// Folder on the gateway's machine under which workspaces are made; as given, never empty.
    pub workspace_root: String,
    /// Accept a certificate that cannot be verified.
    pub allow_insecure_tls: bool,
    /// Accept exactly the certificate with this fingerprint; never together with
    /// `allow_insecure_tls`.
    pub tls_fingerprint: Option<Fingerprint>,
}

impl fmt::Debug for Gateway {
    /// Of the url only the host: people put tokens into the rest.
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
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The main backend's id of it.
    pub id: Uuid,
    /// Its name, for people; may be empty.
    pub name: String,
    /// The board that it belongs to, as information only.
    #[serde(default)]
    pub board_id: Option<Uuid>,
    /// Session key given by the main backend, such as `agent:lead-7:main`.
    #[serde(default)]
    pub openclaw_session_id: Option<String>,
    /// Leads get another heartbeat document than the rest.
    #[serde(default, deserialize_with = "null_is_default")]
    pub is_board_lead: bool,
    /// Overlay on the default heartbeat; anything but an object is ignored.
    #[serde(default)]
    pub heartbeat_config: Value,
    /// Role, style and charter; anything but an object is ignored.
    #[serde(default)]
    pub identity_profile: Value,
    /// Jinja template that replaces IDENTITY.md.
    #[serde(default)]
    pub identity_template: Option<String>,
    /// Jinja template that replaces SOUL.md.
    #[serde(default)]
    pub soul_template: Option<String>,
}

/// The board an agent works on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The main backend's id of it.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Such as `goal`.
    #[serde(default = "default_board_type")]
    pub board_type: String,
    /// What is to be reached.
    #[serde(default)]
    pub objective: Option<String>,
    /// How success is measured; any JSON, shown to the agent as such.
    #[serde(default)]
    pub success_metrics: Value,
    /// ISO 8601 date or date-time, shown as given.
    #[serde(default, deserialize_with = "iso_8601")]
    pub target_date: Option<String>,
    /// Whether a person has confirmed the goal.
    #[serde(default, deserialize_with = "null_is_default")]
    pub goal_confirmed: bool,
}

/// The person an agent works for; every part may be unknown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Full name.
    #[serde(default)]
    pub name: Option<String>,
    /// What the person likes to be called; the first word is used.
    #[serde(default)]
    pub preferred_name: Option<String>,
    /// Such as `she/her`.
    #[serde(default)]
    pub pronouns: Option<String>,
    /// IANA name, as information only.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Free text.
    #[serde(default)]
    pub notes: Option<String>,
    /// Free text.
    #[serde(default)]
    pub context: Option<String>,
}

/// What kind of provisioning is wanted.
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the document")]
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// First provisioning or a later update.
    #[serde(default, deserialize_with = "null_is_default")]
    pub action: Action,
    /// Write BOOTSTRAP.md even in an update that would leave it out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub force_bootstrap: bool,
    /// Start the agent's session afresh at the end.
    #[serde(default, deserialize_with = "null_is_default")]
    pub reset_session: bool,
    /// Take over an agent of that id which is on the gateway and was not made for this one: a
    /// person's, or another agent's of the main backend.
    #[serde(default, deserialize_with = "null_is_default")]
    pub adopt: bool,
    /// Move an agent to another folder on the gateway's machine. Its memory stays in the old one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub move_workspace: bool,
    /// Send the agent a message that it can start, last of all; none sends nothing.
    #[serde(default)]
    pub wake: Option<Wake>,
    /// Accept a heartbeat that comes more often than every 30 seconds. Of heartbeat-syncs too.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_fast_heartbeat: bool,
}

/// First provisioning or a later update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The agent is new, or is to be made as if it were.
    #[default]
    Provision,
    /// The agent exists; BOOTSTRAP.md is left alone.
    Update,
}

impl Job {
    /// Which kind of job this is.
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

    /// The id of the gateway that the job is about: the queue's lane.
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

    /// The gateway, unless it has no url.
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

    /// The id of the one agent that the job is about; none for a heartbeat sync.
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

fn iso_8601<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let known =
        text.parse::<jiff::civil::DateTime>().is_ok() || text.parse::<jiff::Timestamp>().is_ok();
    if known {
        Ok(Some(text))
    } else {
        Err(serde::de::Error::custom(
            "not a date, expected ISO 8601 such as 2026-03-01T09:00:00+00:00",
        ))
    }
}

fn default_board_type() -> String {
    "goal".to_owned()
}
