//! The errors of opening a sealed document, and how a run ends by them.

use mission_core::{Failure, Outcome, Remedy};

/// The reasons why a sealed document cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The field was sealed with a key that this process does not have.
    #[error("{field} is sealed with key {key}, which this worker does not have")]
    UnknownKey {
        /// The name of the field.
        field: &'static str,
        /// The id of the missing key.
        key: String,
    },
    /// The field's content is not what was sealed for this gateway, agent and field.
    #[error(
        "{field} cannot be opened: it was changed, cut short, or sealed for another gateway, url or \
            agent"
    )]
    Corrupt {
        /// The name of the field.
        field: &'static str,
    },
}

impl OpenError {
    /// Returns the error as a failure for the job's record, with the remedy.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::UnknownKey { key, .. } => Failure::new("unknown_key", self.to_string())
                .with_remedy(Remedy::worker(format!(
                    "add key {key} to secrets.key (MISSION_SECRET_KEY) of the workers, and restart \
                        them"
                ))),
            Self::Corrupt { .. } => Failure::new("sealed_corrupt", self.to_string())
                .with_remedy(Remedy::backend("make the document again in the main backend")),
        }
    }
}

impl OpenError {
    /// Returns the end of a run whose job cannot be opened: blocked until the key is there, or
    /// permanent.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::UnknownKey { .. } => Outcome::Blocked(self.failure()),
            Self::Corrupt { .. } => Outcome::Permanent(self.failure()),
        }
    }
}
