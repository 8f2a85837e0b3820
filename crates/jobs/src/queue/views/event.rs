//! The content of an event of the queue, as far as this version knows it.

use mission_core::Failure;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// A change of a job's state, or a pause or its end. Events are passed on as they are, because a
/// newer worker may add members; this type is for reading them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct QueueEvent {
    /// The kind of event: `job`, `paused`, `resumed`, or one of a newer worker.
    pub event: String,
    /// The time of the event, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// The job's id.
    pub id: Option<String>,
    /// The job's kind.
    pub kind: Option<String>,
    /// The gateway's id.
    pub gateway: Option<String>,
    /// The state that the job left; `None` when it was enqueued.
    pub from: Option<String>,
    /// The state that the job is in.
    pub to: Option<String>,
    /// The person or program that caused it.
    pub by: Option<String>,
    /// The reason why the job is dead, or of the pause.
    pub reason: Option<String>,
    /// The scope that was paused or resumed.
    pub scope: Option<String>,
    /// The failure that caused it.
    pub failure: Option<Failure>,
}

impl QueueEvent {
    /// Reads an event; one that cannot be read is empty.
    #[must_use]
    pub fn of(json: &Value) -> Self {
        Self::deserialize(json).unwrap_or_default()
    }

    /// Returns the job's id, if the event is about a job.
    #[must_use]
    pub fn job(&self) -> Option<Uuid> {
        self.id.as_deref()?.parse().ok()
    }

    /// Returns the gateway's id, if the event is about a job of a gateway.
    #[must_use]
    pub fn gateway(&self) -> Option<Uuid> {
        self.gateway.as_deref()?.parse().ok()
    }
}
