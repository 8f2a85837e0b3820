//! The outcome of a run: one of six, each with the facts that are reported about it.
//!
//! Which error becomes which outcome is decided in one place, [`crate::apply`]; what the queue does
//! with an outcome is decided in `mission-jobs`.

mod failure;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::documents::Document;

pub use failure::{Actor, Failure, Remedy, RemedyParts, Scope};

/// Most characters of what a failure says, and of what to do: what others said in it may be long.
pub const MAX_MESSAGE: usize = 2_000;

/// The six ways in which a run can end.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The gateway is as it should be. Nothing more will be done.
    Done(Box<Report>),
    /// A fault that passes by itself: retried with exponential delay and jitter; counts as an
    /// attempt.
    Transient(Failure),
    /// The gateway asks for patience (rate limit, restart): tried again later; does not count as an
    /// attempt.
    Busy {
        /// The time that the gateway asked to wait, where it named one.
        retry_after: Option<Duration>,
        /// The failure that it answered with.
        failure: Failure,
    },
    /// A person has to do something first; [`Failure::remedy`] says what.
    Blocked(Failure),
    /// It can never work with this document: dead at once.
    Permanent(Failure),
    /// The connection was lost after a mutating request was sent, and reading back did not settle
    /// what happened.
    Ambiguous(Failure),
}

impl Outcome {
    /// All names on the wire.
    pub const NAMES: [&str; 6] = ["done", "transient", "busy", "blocked", "permanent", "ambiguous"];

    /// The name on the wire, one of [`Self::NAMES`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Transient(_) => "transient",
            Self::Busy { .. } => "busy",
            Self::Blocked(_) => "blocked",
            Self::Permanent(_) => "permanent",
            Self::Ambiguous(_) => "ambiguous",
        }
    }

    /// Returns the failure; `None` when the run is done.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Done(_) => None,
            Self::Transient(failure)
            | Self::Busy { failure, .. }
            | Self::Blocked(failure)
            | Self::Permanent(failure)
            | Self::Ambiguous(failure) => Some(failure),
        }
    }

    /// Returns the failure, to change it; `None` when the run is done.
    pub(crate) const fn failure_mut(&mut self) -> Option<&mut Failure> {
        match self {
            Self::Done(_) => None,
            Self::Transient(failure)
            | Self::Busy { failure, .. }
            | Self::Blocked(failure)
            | Self::Permanent(failure)
            | Self::Ambiguous(failure) => Some(failure),
        }
    }
}

/// The findings and changes of a successful run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Report {
    /// One sentence for people.
    pub summary: String,
    /// Set if anything was written to the gateway.
    pub changed: bool,
    /// The names of the things that were written, such as `config agents.entries.alice` or
    /// `file SOUL.md`, in order.
    pub written: Vec<String>,
    /// The difference between the written and the earlier content, as far as this run wrote it; a
    /// run before it may have written the rest. Without secrets, and cut where it is long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The things that were left out on purpose, each with the reason.
    pub skipped: Vec<Skipped>,
    /// Paths that the gateway says it removed, the first 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// The gateway as it presented itself. There if and only if the run had a session with it, be
    /// it one that was open already: the queue takes a report with this as proof that the gateway
    /// can be reached.
    pub gateway: Option<GatewayFacts>,
    /// Requests sent, `connect` included.
    pub rpc_count: u32,
    /// Requests that waited for the one before: what the run costs over a slow line.
    pub round_trips: u32,
    /// Connections opened.
    pub connections: u32,
    /// Config writes sent, refused ones included.
    pub config_writes: u32,
}

/// One thing that is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Change {
    /// The name of the changed thing, as in [`Report::written`].
    pub what: String,
    /// The difference: a unified diff of a file, `path: before → after` of a config; empty where
    /// there is nothing to show.
    pub diff: String,
    /// The document that is written, if it is one; known only while the run is in memory.
    #[serde(skip)]
    pub document: Option<Document>,
}

/// Something that was left out on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Skipped {
    /// The thing that was left out: a file, a config key, a label.
    pub what: String,
    /// Why, with the gateway's own words where it spoke.
    pub why: String,
}

/// The facts that a gateway gave about itself when the connection was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct GatewayFacts {
    /// The gateway's version; old ones say only `dev`.
    pub version: String,
    /// The protocol agreed on.
    pub protocol: u32,
    /// The scopes that it gives the worker; none if it does not say, which old ones do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The form in which its config keeps agents: `list` or `entries`; none until the config was
    /// read.
    pub roster: Option<String>,
    /// The number of config writes that it allows, in its own words such as `3 per 60s`; none until
    /// it has refused one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_limit: Option<String>,
    /// Set if it was seen to restart after a config write.
    pub restarts_on_write: bool,
    /// The number of turns a day that the heartbeats of all its agents make, those of others
    /// included, if they wake around the clock; none until the config was read, or if it says
    /// nothing of heartbeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_turns_per_day: Option<u64>,
}
