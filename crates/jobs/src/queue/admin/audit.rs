//! What people did, newest first.

use serde::{Deserialize, Serialize};

/// Something that somebody did by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Where it stands among all; also the cursor of what was done before it.
    pub id: String,
    /// What it says.
    #[serde(flatten)]
    pub record: AuditRecord,
}

impl AuditEntry {
    pub(crate) fn read(id: String, json: &str) -> Option<Self> {
        Some(Self { id, record: serde_json::from_str(json).ok()? })
    }
}

/// What was done, to what, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// When, in milliseconds since 1970 by Redis's clock.
    #[serde(deserialize_with = "whole")]
    pub at_ms: u64,
    /// Who.
    pub by: String,
    /// From where.
    pub from: String,
    /// `retry`, `cancel`, `discard`, `snooze`, `pause`, `resume`, `drain` or `undrain`.
    pub action: String,
    /// The job's id, the scope or the worker's name.
    pub target: String,
    /// What state it was in, where it has one.
    #[serde(default)]
    pub before: Option<String>,
    /// What state it was in afterwards.
    #[serde(default)]
    pub after: Option<String>,
    /// Why, in the words of who did it; may be empty.
    pub why: String,
}

/// Lua writes some whole numbers with an exponent.
fn whole<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time after 1970"
    )]
    Ok(number as u64)
}
