//! Failures that jobs have not got past, those of one sort together.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::views::search::Search;

/// Jobs of one gateway that failed with the same code, at the same request where that is known, and
/// have not succeeded, been replaced or been cancelled since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Group {
    /// What it is known by: gateway, code and method.
    pub key: String,
    /// The gateway.
    pub gateway: Uuid,
    /// Stable name for programs.
    pub code: String,
    /// The request that failed, where that is known.
    pub method: Option<String>,
    /// What happened last, in one sentence.
    pub message: String,
    /// The next action of a person, where there is one.
    pub action: Option<String>,
    /// How many jobs.
    pub count: u64,
    /// Since when there have been such jobs without a break, in milliseconds since 1970 by Redis's
    /// clock.
    pub first_at_ms: u64,
    /// When one failed so last.
    pub last_at_ms: u64,
    /// The job that failed so last.
    pub sample: Uuid,
}

impl Group {
    pub(crate) fn read(key: &str, count: u64, known: &HashMap<String, String>) -> Option<Self> {
        let mut parts = key.split('|');
        let (gateway, code, method) = (parts.next()?, parts.next()?, parts.next()?);
        let time = |name: &str| known.get(name)?.parse().ok();
        Some(Self {
            key: key.to_owned(),
            gateway: gateway.parse().ok()?,
            code: code.to_owned(),
            method: Some(method.to_owned()).filter(|method| !method.is_empty()),
            message: known.get("message").cloned().unwrap_or_default(),
            action: known.get("action").cloned(),
            count,
            first_at_ms: time("first_at")?,
            last_at_ms: time("last_at")?,
            sample: known.get("sample")?.parse().ok()?,
        })
    }

    /// What finds its jobs.
    #[must_use]
    pub fn search(&self) -> Search {
        let error = self
            .method
            .as_ref()
            .map_or_else(|| self.code.clone(), |method| format!("{}/{method}", self.code));
        Search { gateway: Some(self.gateway), error: Some(error), ..Search::default() }
    }
}
