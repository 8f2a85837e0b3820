//! The runs of a job that ended, as its history holds them.

use mission_core::outcome::RemedyParts;
use mission_core::{Failure, Remedy, Scope};
use serde::{Deserialize, Serialize};

use crate::run::Step;

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// The number of the run, from 1.
    pub number: u32,
    /// The worker that ran it.
    pub worker: String,
    /// The time when it began.
    pub started_at_ms: u64,
    /// The time when it ended, or was found to have been lost.
    pub ended_at_ms: u64,
    /// The result of the run.
    #[cfg_attr(feature = "schema", schema(value_type = Stored))]
    pub result: AttemptResult,
}

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct AttemptResult {
    /// One of the six outcomes, or `lost` (lease lost), `released` (handed back unfinished) or
    /// `cancelled`.
    pub outcome: String,
    /// The failure, if the run failed or its lease was lost.
    pub failure: Option<Failure>,
    /// The reason why the run was stopped, if it did not end by itself.
    pub stopped: Option<String>,
    /// The requests of the run, in order.
    pub steps: Vec<Step>,
}

impl AttemptResult {
    /// Returns the code of the failure; `None` if the run did not fail.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.code.as_str())
    }

    /// Returns the sentence that says why the run did not succeed; `None` if it did.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.message.as_str()).or(self.stopped.as_deref())
    }
}

/// The JSON form of a result: the members of the failure stand beside the outcome.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = AttemptResult))]
struct Stored {
    /// One of the six outcomes, or `lost`, `released` or `cancelled`.
    outcome: String,
    /// The code of the failure, if the run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// One sentence that says what happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The text of the remedy: the next action, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// The rest of the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remedy: Option<RemedyParts>,
    /// `gateway` if all jobs of the gateway fail in this way; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    /// The request that failed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// The requests of the run, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
}

impl From<AttemptResult> for Stored {
    fn from(AttemptResult { outcome, failure, stopped, steps }: AttemptResult) -> Self {
        let none = Self {
            outcome,
            code: None,
            message: stopped,
            action: None,
            remedy: None,
            scope: None,
            method: None,
            steps,
        };
        let Some(Failure { code, message, remedy, scope, method }) = failure else { return none };
        let (action, remedy) = remedy.into_parts();
        let scope = (scope == Scope::Gateway).then_some(scope);
        Self { code: Some(code), message: Some(message), action, remedy, scope, method, ..none }
    }
}

impl From<Stored> for AttemptResult {
    fn from(stored: Stored) -> Self {
        let Stored { outcome, code, message, action, remedy, scope, method, steps } = stored;
        let Some(code) = code else {
            return Self { outcome, failure: None, stopped: message, steps };
        };
        let failure = Failure {
            code,
            message: message.unwrap_or_default(),
            remedy: Remedy::from_parts(action, remedy),
            scope: scope.unwrap_or_default(),
            method,
        };
        Self { outcome, failure: Some(failure), stopped: None, steps }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_survive_the_history() {
        let failed = AttemptResult {
            outcome: "transient".to_owned(),
            failure: Some(
                Failure::new("unreachable", "gone")
                    .of_gateway()
                    .with_remedy(Remedy::gateway_host("start it")),
            ),
            stopped: None,
            steps: vec![Step::new("connect", 3)],
        };
        let stopped = AttemptResult {
            outcome: "released".to_owned(),
            stopped: Some("the worker stopped".to_owned()),
            ..AttemptResult::default()
        };
        let done = AttemptResult { outcome: "done".to_owned(), ..AttemptResult::default() };
        let stored = json!([
            { "outcome": "transient", "code": "unreachable", "message": "gone",
              "action": "start it", "remedy": { "actor": "gateway_host", "retry_helps": true }, "scope": "gateway",
              "steps": [{ "name": "connect", "duration_ms": 3 }] },
            { "outcome": "released", "message": "the worker stopped" },
            { "outcome": "done" },
        ]);
        let results = [failed, stopped, done];
        assert_eq!(json!(results), stored);
        assert_eq!(serde_json::from_value::<[AttemptResult; 3]>(stored).unwrap(), results);
    }
}
