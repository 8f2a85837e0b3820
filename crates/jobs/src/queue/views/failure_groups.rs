//! The groups of failures that jobs have not overcome yet.

use mission_core::Remedy;
use mission_core::outcome::RemedyParts;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::redis::fields::Fields;
use crate::queue::views::search::Search;

/// The jobs of one gateway that failed with the same code, at the same request if that is known,
/// and have not succeeded, been replaced or been cancelled since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Group {
    /// The key of the group: gateway, code and method.
    pub key: String,
    /// The id of the gateway.
    pub gateway: Uuid,
    /// The stable name of the failure, for programs.
    pub code: String,
    /// The request that failed, if it is known.
    pub method: Option<String>,
    /// The message of the latest failure, in one sentence.
    pub message: String,
    /// The text of the remedy: the next action, if there is one.
    pub action: Option<String>,
    /// The rest of the remedy; absent if the failure passes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<RemedyParts>,
    /// The number of jobs in the group.
    pub count: u64,
    /// The time since which the group has never been empty, in milliseconds since 1970 by Redis's
    /// clock.
    pub first_at_ms: u64,
    /// The time of the latest failure, likewise.
    pub last_at_ms: u64,
    /// The id of the job that failed last.
    pub sample: Uuid,
}

impl Group {
    pub(crate) fn read(key: &str, count: u64, known: &Fields) -> Option<Self> {
        let mut parts = key.split('|');
        let (gateway, code, method) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            key: key.to_owned(),
            gateway: gateway.parse().ok()?,
            code: code.to_owned(),
            method: Some(method.to_owned()).filter(|method| !method.is_empty()),
            message: known.text("message").unwrap_or_default(),
            action: known.text("action"),
            remedy: known.json("remedy"),
            count,
            first_at_ms: known.parse("first_at")?,
            last_at_ms: known.parse("last_at")?,
            sample: known.parse("sample")?,
        })
    }

    /// Returns the remedy of the failure.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        Remedy::from_parts(self.action.clone(), self.remedy.clone())
    }

    /// Returns the search that finds the jobs of the group.
    #[must_use]
    pub fn search(&self) -> Search {
        let error = self
            .method
            .as_ref()
            .map_or_else(|| self.code.clone(), |method| format!("{}/{method}", self.code));
        Search { gateway: Some(self.gateway), error: Some(error), ..Search::default() }
    }
}
