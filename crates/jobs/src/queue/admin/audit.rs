//! The entries of the audit.

use serde::{Deserialize, Serialize};

/// An entry of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// The entry's id in the stream, which is also the cursor of the entries before it.
    pub id: String,
    /// The recorded action, whose fields stand beside `id` in JSON.
    #[serde(flatten)]
    pub record: AuditRecord,
}

/// An action on the queue: what was done to which target, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// The time of the action, in milliseconds since 1970 by Redis's clock.
    #[serde(deserialize_with = "whole")]
    pub at_ms: u64,
    /// The name of the author.
    pub by: String,
    /// The origin of the action, such as `cli host-1`.
    pub from: String,
    /// The action: `retry`, `cancel`, `discard`, `snooze`, `pause`, `resume`, `drain`, `undrain`,
    /// `put-gateway`, `forget-gateway` or `repair`.
    pub action: String,
    /// The job's id, the scope, `gateway:` and a gateway's id, the worker's name, or `queue`.
    pub target: String,
    /// The state of the target before the action, if it has one.
    #[serde(default)]
    pub before: Option<String>,
    /// The state of the target after the action, if it has one.
    #[serde(default)]
    pub after: Option<String>,
    /// The reason that the author gave; may be empty.
    pub why: String,
}

/// Reads a whole number, which Lua may have written with an exponent.
pub(super) fn whole<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time after 1970"
    )]
    Ok(number as u64)
}
