//! A stored job as people and programs see it, without its secrets.

use mission_core::sanitize::one_line;
use mission_core::{Failure, Job, Report, json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::queue::redis::fields::Fields;
use crate::queue::states::State;
use crate::queue::views::attempt::Attempt;
use crate::queue::views::gateway_view::shown_url;
use crate::seal;

/// A job with everything that the queue knows about it. Times are milliseconds since 1970 by
/// Redis's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobRecord {
    /// The job's id, a UUID v7 that the producer chose.
    pub id: Uuid,
    /// The state of the job.
    pub state: State,
    /// The wire name of the kind, as stored; a foreign producer may have stored anything.
    pub kind: String,
    /// The lane, which is the gateway's id.
    pub lane: String,
    /// The subject that the job is about, usually `<gateway>/<agent>`. Jobs of one subject run one
    /// after the other.
    pub subject: String,
    /// The number of runs that counted, the current one included.
    pub attempts: u32,
    /// The number of runs that may count before the job is dead.
    pub max_attempts: u32,
    /// The number of all runs, those that did not count included.
    pub runs: u32,
    /// The number of leases lost in a row. A job that has lost one runs alone in its worker; when
    /// it has lost three more that way, it is dead with reason `poison`.
    pub lost: u32,
    /// The time when the job was enqueued.
    pub enqueued_at_ms: u64,
    /// The time when the job is due, while it waits.
    pub next_at_ms: Option<u64>,
    /// The time when the latest run began.
    pub started_at_ms: Option<u64>,
    /// The time when the job ended.
    pub finished_at_ms: Option<u64>,
    /// The time since which its gateway has been busy, while the job is snoozed in a row.
    pub snoozed_since_ms: Option<u64>,
    /// The worker that runs the job now.
    pub worker: Option<String>,
    /// The reason why the job is dead, such as `poison`; see [`crate::retry::DeadReason`].
    pub reason: Option<String>,
    /// The newer job that replaced it.
    pub superseded_by: Option<Uuid>,
    /// The priority among the jobs of its gateway: 0 to 9, 0 first.
    pub priority: u8,
    /// The time when the job is dead if it is not done by then.
    pub expires_at_ms: Option<u64>,
    /// The author and the reason of a snooze, while it lasts.
    pub snoozed_by: Option<String>,
    /// The job that was enqueued before it for the same subject; it may have been removed.
    pub before: Option<Uuid>,
    /// The names of its gateway, agent and board. Empty in lists, but not in the results of a
    /// search.
    pub names: Names,
    /// The author and the reason of a cancellation, while the job still runs.
    pub cancel: Option<String>,
    /// The idempotency key under which it was enqueued.
    pub idempotency_key: Option<String>,
    /// The states that it has been in, oldest first, about the latest 40. Empty in lists.
    pub timeline: Vec<Entered>,
    /// The latest failure, if any run has failed.
    pub failure: Option<Failure>,
    /// The report of the successful run.
    pub report: Option<Report>,
    /// The latest 20 runs that ended, oldest first. Empty in lists.
    pub history: Vec<Attempt>,
    /// The document with its secrets masked. None in lists, and if the document is not valid.
    pub document: Option<Value>,
}

/// The names in a job's document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Names {
    /// The name of the gateway.
    pub gateway: Option<String>,
    /// The name of the agent.
    pub agent: Option<String>,
    /// The name of the board.
    pub board: Option<String>,
}

impl Names {
    /// Reads the names, each on one line. Documents may be older than the rule that refuses names
    /// which would change the text around them.
    pub(crate) fn of(document: &Value) -> Self {
        let name =
            |of: &str| document.get(of)?.get("name")?.as_str().map(|name| one_line(name, MAX_NAME));
        Self { gateway: name("gateway"), agent: name("agent"), board: name("board") }
    }
}

/// An entry of the timeline: the time when a job reached a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Entered {
    /// The state that it reached.
    pub state: State,
    /// The time of the transition.
    pub at_ms: u64,
}

impl JobRecord {
    /// Reads a job from its fields in Redis; none if it does not exist. Fields that cannot be read
    /// are left out.
    pub(crate) fn read(id: Uuid, fields: &Fields, history: &[Vec<u8>]) -> Option<Self> {
        let text = |name: &str| fields.text(name);
        let count = |name: &str| fields.parse(name).unwrap_or_default();
        let state = fields.parse("state")?;
        Some(Self {
            id,
            state,
            kind: text("kind").unwrap_or_default(),
            lane: text("lane").unwrap_or_default(),
            subject: text("subject").unwrap_or_default(),
            attempts: count("attempts"),
            max_attempts: count("max_attempts"),
            runs: count("runs"),
            lost: count("lost"),
            enqueued_at_ms: fields.parse("enqueued_at").unwrap_or_default(),
            next_at_ms: fields.parse("next_at"),
            started_at_ms: fields.parse("started_at"),
            finished_at_ms: fields.parse("finished_at"),
            snoozed_since_ms: fields.parse("snoozed_since"),
            worker: text("worker").filter(|_| state == State::Running),
            reason: text("reason"),
            superseded_by: fields.parse("superseded_by"),
            priority: fields.parse("priority").unwrap_or_default(),
            expires_at_ms: fields.parse("expires_at"),
            snoozed_by: text("snoozed_by"),
            before: fields.parse("before"),
            names: fields.json("payload").as_ref().map(Names::of).unwrap_or_default(),
            cancel: text("cancel"),
            idempotency_key: text("idempotency_key"),
            timeline: timeline(&text("timeline").unwrap_or_default()),
            failure: fields.json("failure"),
            report: fields.json("report"),
            history: history.iter().filter_map(|json| serde_json::from_slice(json).ok()).collect(),
            document: fields.bytes("payload").and_then(masked),
        })
    }
}

/// The most characters that are shown of a name, escaped. Names in documents are shorter.
pub(crate) const MAX_NAME: usize = 12_000;

/// A url that stands in for a sealed one while the document is parsed.
const SOME_URL: &str = "wss://sealed.invalid";

/// Reads a timeline such as `ready 1763859600000;running 1763859600004`.
fn timeline(text: &str) -> Vec<Entered> {
    let entered = |entry: &str| {
        let (state, at) = entry.split_once(' ')?;
        Some(Entered { state: State::from_name(state)?, at_ms: at.parse().ok()? })
    };
    text.split(';').filter_map(entered).collect()
}

/// Returns the document without its secrets. Returns none if it is not valid, because the position
/// of its secrets is unknown then.
fn masked(document: &[u8]) -> Option<Value> {
    let mut value = json::read(document).ok()?;
    let sealed_url =
        value.pointer_mut("/gateway/url").filter(|url| url.as_str().is_some_and(seal::is_sealed));
    if let Some(url) = sealed_url {
        *url = Value::from(SOME_URL);
        let document = value.to_string();
        return masked(document.as_bytes()).map(|mut value| {
            value["gateway"]["url"] = Value::from("***");
            value
        });
    }
    let job = Job::parse(document).ok()?;
    for pointer in ["/auth_token", "/gateway/token"] {
        if let Some(secret) = value.pointer_mut(pointer).filter(|secret| !secret.is_null()) {
            *secret = Value::from("***");
        }
    }
    if let (Some(gateway), Some(shown)) = (job.gateway(), value.pointer_mut("/gateway/url")) {
        let url = shown_url(gateway);
        if url != gateway.url.as_str() {
            *shown = Value::from(url);
        }
    }
    Some(value)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_is_shown() {
        let document = br#"{"version": 1, "kind": "provision-main", "auth_token": "secret-a",
            "gateway": {"id": "00000000-0000-0000-0000-00000000000a", "url": "ws://me:secret-b@host:1?token=secret-c",
                        "token": "secret-d", "workspace_root": "/srv"},
            "agent": {"id": "00000000-0000-0000-0000-00000000000b", "name": "Alice"}}"#;
        let shown = masked(document).unwrap();
        assert!(!shown.to_string().contains("secret"), "{shown}");
        assert_eq!(shown["gateway"]["token"], "***");
        assert_eq!(shown["auth_token"], "***");
        assert_eq!(shown["agent"]["name"], "Alice");
    }

    #[test]
    fn a_sealed_url_is_masked_and_the_rest_is_shown() {
        let document = br#"{"version": 1, "kind": "cleanup",
            "gateway": {"id": "00000000-0000-0000-0000-00000000000a", "url": "sealed:k:x", "token": "sealed:k:y",
                        "workspace_root": "/srv"},
            "agent": {"id": "00000000-0000-0000-0000-00000000000b", "name": "Alice"}}"#;
        let shown = masked(document).unwrap();
        assert_eq!(
            (&shown["gateway"]["url"], &shown["gateway"]["token"]),
            (&"***".into(), &"***".into())
        );
        assert_eq!(shown["agent"]["name"], "Alice");
    }

    #[test]
    fn an_invalid_document_is_not_shown() {
        assert_eq!(masked(br#"{"version": 1, "tokken": "secret"}"#), None);
    }
}
