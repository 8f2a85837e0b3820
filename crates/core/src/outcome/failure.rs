//! A failure of a run, and the remedy that belongs to it.
//!
//! The remedy is data: who has to act, the command to run, and whether a retry helps then. Pages
//! and commands read these fields and never the wording of a sentence.

use serde::{Deserialize, Serialize};

use super::MAX_MESSAGE;
use crate::sanitize::one_line;

/// The reason why a run did not succeed, in words for an operator. It never holds a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Failure {
    /// A stable name for programs, such as `rate_limited` or `pairing_required`.
    pub code: String,
    /// One sentence that says what happened, with the gateway's own words where it spoke.
    pub message: String,
    /// The remedy; [`Actor::Nobody`] without a text if the failure passes by itself.
    pub remedy: Remedy,
    /// The jobs that the failure concerns.
    pub scope: Scope,
    /// The request to the gateway that failed, such as `config.patch`, if it was one.
    pub method: Option<String>,
}

/// The jobs that a failure concerns. It is decided beside each error; where that cannot be known,
/// it is the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Only this job: it is about its agent, document or request.
    #[default]
    Job,
    /// All jobs of the gateway, which is away, busy, or refuses connections.
    Gateway,
}

/// The place where somebody has to act before a job can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The main backend, which makes the job documents.
    Backend,
    /// The machine of the gateway.
    GatewayHost,
    /// The workers: their machine, settings or version.
    Worker,
    /// Nobody: the failure passes by itself. Also read from records that do not name an actor.
    #[default]
    Nobody,
}

/// The way out of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// The place where somebody has to act.
    pub actor: Actor,
    /// The next action in the imperative, without a full stop; empty if there is none. It does not
    /// mention the retry, which [`Self::retry_helps`] is for.
    pub text: String,
    /// The command of the text that can be run as it is, if there is one.
    pub command: Option<String>,
    /// `true` if the same job can succeed after the action; `false` if its document has to change,
    /// so that a new job is needed.
    pub retry_helps: bool,
}

impl Failure {
    /// Creates a failure of this job alone, which passes by itself. Words of others in the message
    /// are escaped and cut.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let message = one_line(&message.into(), MAX_MESSAGE);
        Self { code: code.to_owned(), message, ..Self::default() }
    }

    /// Makes it a failure that all jobs of the gateway share.
    #[must_use]
    pub const fn of_gateway(mut self) -> Self {
        self.scope = Scope::Gateway;
        self
    }

    /// Replaces the remedy, which is empty at first.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }
}

impl Default for Remedy {
    fn default() -> Self {
        Self { actor: Actor::Nobody, text: String::new(), command: None, retry_helps: true }
    }
}

impl Remedy {
    /// Creates a remedy after which a retry of the same job helps.
    #[must_use]
    pub fn new(actor: Actor, text: impl Into<String>) -> Self {
        Self { actor, text: one_line(&text.into(), MAX_MESSAGE), ..Self::default() }
    }

    /// Creates a remedy in the main backend: the document changes, so that a new job is needed.
    #[must_use]
    pub fn backend(text: impl Into<String>) -> Self {
        Self { retry_helps: false, ..Self::new(Actor::Backend, text) }
    }

    /// Creates a remedy in the main backend that changes the connection of the gateway: all its jobs
    /// use the newest one, so that the same job can succeed.
    #[must_use]
    pub fn connection(text: impl Into<String>) -> Self {
        Self::new(Actor::Backend, text)
    }

    /// Creates a remedy on the gateway's machine.
    #[must_use]
    pub fn gateway_host(text: impl Into<String>) -> Self {
        Self::new(Actor::GatewayHost, text)
    }

    /// Creates a remedy at the workers.
    #[must_use]
    pub fn worker(text: impl Into<String>) -> Self {
        Self::new(Actor::Worker, text)
    }

    /// Adds the command of the text that can be run as it is.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(one_line(&command.into(), MAX_MESSAGE));
        self
    }

    /// Returns the text; `None` if there is nothing to do.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        Some(self.text.as_str()).filter(|text| !text.is_empty())
    }
}

impl Actor {
    /// Returns the place in words, such as `on the gateway's machine`; `None` for nobody.
    #[must_use]
    pub const fn place(self) -> Option<&'static str> {
        match self {
            Self::Backend => Some("in the main backend"),
            Self::GatewayHost => Some("on the gateway's machine"),
            Self::Worker => Some("at the workers"),
            Self::Nobody => None,
        }
    }
}

/// The JSON form of a failure, in Redis and in the API.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
struct Stored {
    /// A stable name for programs, such as `rate_limited` or `pairing_required`.
    code: String,
    /// One sentence that says what happened.
    #[serde(default)]
    message: String,
    /// The text of the remedy: the next action, if there is one.
    #[serde(default)]
    action: Option<String>,
    /// The rest of the remedy; absent if the failure passes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remedy: Option<RemedyParts>,
    /// The jobs that the failure concerns.
    #[serde(default)]
    scope: Scope,
    /// The request to the gateway that failed, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
}

/// A remedy as data. The text of it is the `action` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = Remedy))]
pub struct RemedyParts {
    /// The place where somebody has to act.
    #[serde(default)]
    pub actor: Actor,
    /// The command to run there, if the text has one that can be run as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// `true` if the same job can succeed after the action; `false` if a new job is needed.
    #[serde(default = "yes")]
    pub retry_helps: bool,
}

const fn yes() -> bool {
    true
}

impl Remedy {
    /// Splits the remedy into the JSON members `action` and `remedy`; both are `None` if the
    /// failure passes by itself.
    #[must_use]
    pub fn into_parts(self) -> (Option<String>, Option<RemedyParts>) {
        let Self { actor, text, command, retry_helps } = self;
        let is_some = actor != Actor::Nobody || command.is_some() || !retry_helps;
        let parts = is_some.then_some(RemedyParts { actor, command, retry_helps });
        (Some(text).filter(|text| !text.is_empty()), parts)
    }

    /// Puts a remedy together from the JSON members `action` and `remedy`.
    #[must_use]
    pub fn from_parts(action: Option<String>, parts: Option<RemedyParts>) -> Self {
        let text = action.unwrap_or_default();
        match parts {
            Some(RemedyParts { actor, command, retry_helps }) => {
                Self { actor, text, command, retry_helps }
            }
            None => Self { text, ..Self::default() },
        }
    }
}

impl From<Failure> for Stored {
    fn from(Failure { code, message, remedy, scope, method }: Failure) -> Self {
        let (action, remedy) = remedy.into_parts();
        Self { code, message, action, remedy, scope, method }
    }
}

impl From<Stored> for Failure {
    fn from(Stored { code, message, action, remedy, scope, method }: Stored) -> Self {
        Self { code, message, remedy: Remedy::from_parts(action, remedy), scope, method }
    }
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for Failure {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        Stored::schema()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for Failure {
    fn schemas(
        schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
    ) {
        Stored::schemas(schemas);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_survives_json() {
        let remedy =
            Remedy::gateway_host("run `openclaw doctor` there").with_command("openclaw doctor");
        let failure = Failure {
            method: Some("config.patch".to_owned()),
            ..Failure::new("refused", "no").of_gateway().with_remedy(remedy)
        };
        let stored = json!({
            "code": "refused", "message": "no", "action": "run `openclaw doctor` there",
            "remedy":
                { "actor": "gateway_host", "command": "openclaw doctor", "retry_helps": true },
            "scope": "gateway", "method": "config.patch",
        });
        assert_eq!(json!(failure), stored);
        assert_eq!(serde_json::from_value::<Failure>(stored).unwrap(), failure);
    }

    #[test]
    fn a_failure_that_passes_by_itself_has_no_remedy_in_json() {
        let failure = Failure::new("timeout", "no answer");
        let stored =
            json!({ "code": "timeout", "message": "no answer", "action": null, "scope": "job" });
        assert_eq!(json!(failure), stored);
        assert_eq!(serde_json::from_value::<Failure>(stored).unwrap(), failure);
    }

    #[test]
    fn an_older_record_is_read() {
        let stored = json!({ "code": "poison", "action": "look", "not": ["known"] });
        let failure: Failure = serde_json::from_value(stored).unwrap();
        assert_eq!(failure.remedy, Remedy::new(Actor::Nobody, "look"));
        assert!(serde_json::from_value::<Failure>(json!({ "message": "no code" })).is_err());
    }

    #[test]
    fn a_remedy_in_the_backend_needs_a_new_job() {
        assert!(!Remedy::backend("set the token").retry_helps);
        assert!(Remedy::worker("restart them").retry_helps);
        assert_eq!(Remedy::default().text(), None);
    }
}
