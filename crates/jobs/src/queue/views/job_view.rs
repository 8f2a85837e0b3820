//! A stored job as it is shown to people and programs: everything that is known of it, without its
//! secrets.

use std::collections::HashMap;

use mission_core::Job;
use mission_core::sanitize::one_line;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::queue::states::State;
use crate::queue::views::gateway_view::shown_url;
use crate::run::Step;
use crate::{flags, seal};

/// A job as the queue knows it. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobRecord {
    /// The job's id.
    pub id: Uuid,
    /// Where it is.
    pub state: State,
    /// The kind's wire name, as stored; a foreign producer may have stored anything.
    pub kind: String,
    /// The gateway's id.
    pub lane: String,
    /// What it is about.
    pub subject: String,
    /// Runs that counted, the current one included.
    pub attempts: u32,
    /// How many may count before it is dead.
    pub max_attempts: u32,
    /// All runs, the uncounted ones included.
    pub runs: u32,
    /// Leases lost in a row; at three the job is poison.
    pub lost: u32,
    /// When it was enqueued.
    pub enqueued_at_ms: u64,
    /// When it is due, while it waits.
    pub next_at_ms: Option<u64>,
    /// When the last run began.
    pub started_at_ms: Option<u64>,
    /// When it ended.
    pub finished_at_ms: Option<u64>,
    /// Since when its gateway has been busy, while it is snoozed in a row.
    pub snoozed_since_ms: Option<u64>,
    /// The worker that runs it now.
    pub worker: Option<String>,
    /// Why it is dead, such as `poison`; see [`crate::retry::DeadReason`].
    pub reason: Option<String>,
    /// The newer job that took its place.
    pub superseded_by: Option<Uuid>,
    /// Where it stands among the jobs of its gateway: 0 to 9, 0 first.
    pub priority: u8,
    /// When it is dead unless it is done.
    pub expires_at_ms: Option<u64>,
    /// What it inherited from jobs that it replaced: `force_bootstrap`, `reset_session`,
    /// `provision`.
    pub inherited: Vec<String>,
    /// Who snoozed it and why, while it is.
    pub snoozed_by: Option<String>,
    /// The job that was enqueued before it for the same subject; it may be gone.
    pub before: Option<Uuid>,
    /// What people call its gateway, agent and board. None in lists, but in what a search found.
    pub names: Names,
    /// Who wants a running job to be cancelled, and why.
    pub cancel: Option<String>,
    /// The name of the request that it was enqueued for.
    pub idempotency_key: Option<String>,
    /// The states that it has been in, oldest first; the last about 40. Empty in lists.
    pub timeline: Vec<Entered>,
    /// What went wrong last, if anything ever did.
    pub failure: Option<LastFailure>,
    /// What the successful run found and did.
    pub report: Option<Value>,
    /// The last 20 runs that ended, oldest first. Empty in lists.
    pub history: Vec<Attempt>,
    /// The document with its secrets masked. None in lists, and if it is not a valid document.
    pub document: Option<Value>,
}

/// Names as a document gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Names {
    /// Of the gateway.
    pub gateway: Option<String>,
    /// Of the agent.
    pub agent: Option<String>,
    /// Of the board.
    pub board: Option<String>,
}

impl Names {
    /// On one line each: documents of before names were refused that would change the text around
    /// them are shown too.
    pub(crate) fn of(document: &Value) -> Self {
        let name =
            |of: &str| document.get(of)?.get("name")?.as_str().map(|name| one_line(name, MAX_NAME));
        Self { gateway: name("gateway"), agent: name("agent"), board: name("board") }
    }
}

/// What went wrong last; see [`mission_core::Failure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LastFailure {
    /// Stable name for programs.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// The next action of a person, where there is one.
    #[serde(default)]
    pub action: Option<String>,
    /// The request that failed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// When a job got into a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Entered {
    /// The state.
    pub state: State,
    /// When.
    pub at_ms: u64,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// The number of the run, from 1.
    pub number: u32,
    /// The worker that ran it.
    pub worker: String,
    /// When it began.
    pub started_at_ms: u64,
    /// When it ended, or was found to have been lost.
    pub ended_at_ms: u64,
    /// How it ended.
    pub result: AttemptResult,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AttemptResult {
    /// One of the six outcomes, or `lost` (lease lost), `released` (handed back unfinished) or
    /// `cancelled`.
    pub outcome: String,
    /// Code of the failure, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The next action of a person, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The request that failed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What was done, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl JobRecord {
    /// Reads what Redis holds; none if there is no such job. What cannot be read is left out.
    pub(crate) fn read(
        id: Uuid,
        fields: &HashMap<String, Vec<u8>>,
        history: &[Vec<u8>],
    ) -> Option<Self> {
        let text =
            |name: &str| fields.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let time = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let count = |name: &str| text(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        let state = State::from_name(&text("state")?)?;
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
            enqueued_at_ms: time("enqueued_at").unwrap_or_default(),
            next_at_ms: time("next_at"),
            started_at_ms: time("started_at"),
            finished_at_ms: time("finished_at"),
            snoozed_since_ms: time("snoozed_since"),
            worker: text("worker").filter(|_| state == State::Running),
            reason: text("reason"),
            superseded_by: text("superseded_by").and_then(|id| id.parse().ok()),
            priority: text("priority").and_then(|text| text.parse().ok()).unwrap_or_default(),
            expires_at_ms: time("expires_at"),
            inherited: flags::names(&text("inherited").unwrap_or_default()),
            snoozed_by: text("snoozed_by"),
            before: text("before").and_then(|id| id.parse().ok()),
            names: fields
                .get("payload")
                .and_then(|document| serde_json::from_slice(document).ok())
                .map(|document| Names::of(&document))
                .unwrap_or_default(),
            cancel: text("cancel"),
            idempotency_key: text("idempotency_key"),
            timeline: timeline(&text("timeline").unwrap_or_default()),
            failure: fields.get("failure").and_then(|json| serde_json::from_slice(json).ok()),
            report: fields.get("report").and_then(|json| serde_json::from_slice(json).ok()),
            history: history.iter().filter_map(|json| serde_json::from_slice(json).ok()).collect(),
            document: fields.get("payload").and_then(|document| masked(document)),
        })
    }
}

/// Most characters shown of a name, escaped; documents have fewer.
pub(crate) const MAX_NAME: usize = 12_000;

/// Stands for a gateway's url that is sealed.
const SOME_URL: &str = "wss://sealed.invalid";

/// Reads `ready 1763859600000;running 1763859600004`.
fn timeline(text: &str) -> Vec<Entered> {
    let entered = |entry: &str| {
        let (state, at) = entry.split_once(' ')?;
        Some(Entered { state: State::from_name(state)?, at_ms: at.parse().ok()? })
    };
    text.split(';').filter_map(entered).collect()
}

/// The document without its secrets; none if it is not valid, because then nobody knows where its
/// secrets are.
fn masked(document: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(document).ok()?;
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
