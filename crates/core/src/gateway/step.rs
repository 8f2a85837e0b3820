//! The record of one request of a run.

use serde::{Deserialize, Serialize};

/// One request of a run to its gateway, or another part of a run. It never holds a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Step {
    /// The method's name on the wire, such as `config.patch`.
    pub name: String,
    /// The time when it began, in milliseconds since the run began. It is for traces, which are
    /// made while the run is in memory, and is not stored.
    #[serde(skip)]
    pub at_ms: u64,
    /// The time that it took, in milliseconds.
    pub duration_ms: u64,
    /// The error, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Step {
    /// Creates a step that succeeded.
    #[must_use]
    pub fn new(name: impl Into<String>, duration_ms: u64) -> Self {
        Self { name: name.into(), duration_ms, ..Self::default() }
    }
}
