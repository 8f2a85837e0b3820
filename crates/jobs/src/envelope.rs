//! The stored form of a job: its document byte for byte, and the values by which the queue orders
//! and runs it.

use std::fmt;
use std::time::Duration;

use mission_core::json::without_mark;
use mission_core::model::DocumentError;
use mission_core::{Job, Kind, records};
use secrecy::zeroize::Zeroizing;
use serde_json::json;
use uuid::Uuid;

use crate::kinds;
use crate::queue::shards::new_id;
use crate::seal::{Keyring, fingerprint};

/// The version of the stored form of a job whose document is not sealed.
pub const SCHEMA_VERSION: u32 = 1;
/// The version of the stored form of a job whose document has sealed secrets; see [`crate::seal`].
/// A worker that finds an unknown version sets the job dead.
pub const SEALED_VERSION: u32 = 2;

/// The version of the arguments of `enqueue.lua`.
pub(crate) const WIRE_VERSION: u32 = 2;
/// The priority of a job that sets none.
pub const PRIORITY_DEFAULT: u8 = 5;
/// The lowest priority, which comes last; 0 comes first.
pub const PRIORITY_LAST: u8 = 9;
/// The longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 200;
/// The longest life of an idempotency key, the longest delay and the longest time until a job
/// expires: 30 days.
pub const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// A valid job on its way into the queue.
///
/// It does not contain the time of its enqueueing, which Redis's clock sets when the job is stored.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The job's id, a UUID v7 chosen here, which names the shard of its gateway. Enqueueing the same envelope twice stores one job.
    pub id: Uuid,
    /// The version of the stored form: [`SCHEMA_VERSION`] for a new envelope, [`SEALED_VERSION`]
    /// once it is sealed.
    pub version: u32,
    /// The kind of job.
    pub kind: Kind,
    /// The lane, which is the gateway's id. Jobs compete with each other per lane.
    pub lane: Uuid,
    /// The subject that the job is about; see [`kinds::KindSpec::subject`].
    pub subject: String,
    /// The time to wait before the first run: zero by default, at most [`MAX_TIME`].
    pub delay: Duration,
    /// The priority among the jobs of a gateway, from 0 (first) to [`PRIORITY_LAST`].
    pub priority: u8,
    /// The time after which the job is dead if it is not done by then; none by default.
    pub expires_in: Option<Duration>,
    /// The key by which a repeated request is recognized as the same job.
    pub idempotency: Option<IdempotencyKey>,
    /// The parts of the document that records keep apart; see [`mission_core::records`].
    pub(crate) parts: String,
    /// The generation of the agent's document (`agent.generation`), if the producer counts.
    pub(crate) generation: Option<u64>,
    /// The revision of the gateway's connection (`gateway.revision`), if the producer counts.
    pub(crate) revision: Option<u64>,
    /// The heartbeats of a heartbeat-sync by agent, as JSON.
    pub(crate) heartbeats: Option<String>,
    /// The fingerprint of the connection, or empty if the document has none; see
    /// [`crate::seal::fingerprint`].
    pub(crate) fingerprint: Payload,
    /// The document, byte for byte as it was given but for a byte order mark, until it is sealed.
    pub payload: Payload,
}

impl Envelope {
    /// Checks a job document and wraps it.
    pub fn new(document: &[u8]) -> Result<Self, DocumentError> {
        let content = Job::read_json(document)?;
        let job = Job::from_value(content.clone())?;
        let kind = job.kind();
        let heartbeats = records::heartbeats(&content);
        Ok(Self {
            id: new_id(job.gateway_id()),
            version: SCHEMA_VERSION,
            kind,
            lane: job.gateway_id(),
            subject: (kinds::spec(kind).subject)(&job),
            delay: Duration::ZERO,
            priority: PRIORITY_DEFAULT,
            expires_in: None,
            idempotency: None,
            parts: records::parts(&content),
            generation: content["agent"]["generation"].as_u64(),
            revision: content["gateway"]["revision"].as_u64(),
            heartbeats: (kind == Kind::HeartbeatSync && !heartbeats.is_empty())
                .then(|| json!(heartbeats).to_string()),
            fingerprint: fingerprint::of(&content).into_bytes().into(),
            payload: without_mark(document).to_vec().into(),
        })
    }

    /// Sets the earliest time of the first run, counted from the enqueueing.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay.min(MAX_TIME);
        self
    }

    /// Sets the priority; values above [`PRIORITY_LAST`] are lowered to it.
    #[must_use]
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.priority = priority.min(PRIORITY_LAST);
        self
    }

    /// Sets the time, from 1 ms to [`MAX_TIME`], after which a job that is not done is dead with
    /// reason `expired`. It must be longer than the delay, which [`crate::Queue::enqueue`] checks.
    #[must_use]
    pub fn with_expiry(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in.clamp(Duration::from_millis(1), MAX_TIME));
        self
    }

    /// Returns whether the job would expire before it is due.
    #[must_use]
    pub fn expires_too_soon(&self) -> bool {
        self.expires_in.is_some_and(|expires_in| expires_in <= self.delay)
    }

    /// Returns the same job with its secrets sealed, if there is a key. [`crate::Queue::enqueue`]
    /// calls this.
    pub(crate) fn sealed(&self, keyring: &Keyring) -> Self {
        let mut sealed = self.clone();
        sealed.fingerprint = keyring.fingerprint(self.fingerprint.expose()).into_bytes().into();
        if let Some(document) = keyring.seal(self.payload.expose()) {
            sealed.version = SEALED_VERSION;
            sealed.payload = document.into();
        }
        sealed
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency = Some(key);
        self
    }
}

/// Names a request. During the life of the key, enqueueing under the same key stores nothing and
/// returns the first job's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    life: Duration,
}

/// The error for an idempotency key that is empty or too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an idempotency key must have 1 to {MAX_KEY_BYTES} bytes, but this one has {bytes}; shorten \
     it, or use a hash"
)]
pub struct KeyError {
    /// The length of the key, in bytes.
    pub bytes: usize,
}

impl IdempotencyKey {
    /// The default life of a key: one day.
    pub const LIFE: Duration = Duration::from_secs(24 * 3600);

    /// Makes a key of 1 to [`MAX_KEY_BYTES`] bytes that lives for [`Self::LIFE`].
    pub fn new(key: impl Into<String>) -> Result<Self, KeyError> {
        let key = key.into();
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(KeyError { bytes: key.len() });
        }
        Ok(Self { key, life: Self::LIFE })
    }

    /// Sets the life of the key, from 1 s to [`MAX_TIME`].
    #[must_use]
    pub fn living(mut self, life: Duration) -> Self {
        self.life = life.clamp(Duration::from_secs(1), MAX_TIME);
        self
    }

    /// Returns the text of the key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the life of the key.
    #[must_use]
    pub const fn life(&self) -> Duration {
        self.life
    }
}

/// A job document as text. It holds tokens, so its `Debug` output never shows it, and it is wiped
/// when it is dropped.
#[derive(Clone)]
pub struct Payload(Zeroizing<Vec<u8>>);

impl From<Vec<u8>> for Payload {
    fn from(document: Vec<u8>) -> Self {
        Self(Zeroizing::new(document))
    }
}

impl Payload {
    /// Returns the document, which is secret.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{ "version": 1, "kind": "cleanup",
        "gateway": {"id": "00000000-0000-0000-0000-00000000000a", "url": "ws://host",
                    "token": "hunter2",
                    "workspace_root": "/srv"},
        "agent": {"id": "00000000-0000-0000-0000-00000000000b", "name": "Alice"} }"#;

    #[test]
    fn an_envelope_keeps_the_document_and_knows_its_lane_and_subject() {
        let envelope = Envelope::new(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(envelope.payload.expose(), DOCUMENT.as_bytes());
        assert_eq!(envelope.lane.as_u128(), 10);
        assert_eq!(
            envelope.subject,
            "00000000-0000-0000-0000-00000000000a/00000000-0000-0000-0000-00000000000b"
        );
        assert_eq!(envelope.id.get_version_num(), 7);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_document() {
        let envelope = Envelope::new(format!("\u{feff}{DOCUMENT}").as_bytes()).unwrap();
        assert_eq!(envelope.payload.expose(), DOCUMENT.as_bytes());
    }

    #[test]
    fn an_idempotency_key_has_so_many_bytes_and_times_are_bounded() {
        assert!(IdempotencyKey::new("é".repeat(MAX_KEY_BYTES / 2)).is_ok());
        assert_eq!(
            IdempotencyKey::new("x".repeat(MAX_KEY_BYTES + 1)),
            Err(KeyError { bytes: MAX_KEY_BYTES + 1 })
        );
        assert_eq!(IdempotencyKey::new(""), Err(KeyError { bytes: 0 }));
        let forever = Envelope::new(DOCUMENT.as_bytes())
            .unwrap()
            .with_delay(Duration::MAX)
            .with_expiry(Duration::MAX);
        assert_eq!((forever.delay, forever.expires_in), (MAX_TIME, Some(MAX_TIME)));
    }

    #[test]
    fn heartbeat_syncs_of_a_gateway_share_a_subject() {
        let document = DOCUMENT.replace("cleanup", "heartbeat-sync");
        let (head, _) = document.split_once("\"agent\":").unwrap();
        let envelope = Envelope::new(format!("{head} \"agents\": []}}").as_bytes()).unwrap();
        assert_eq!(envelope.subject, "00000000-0000-0000-0000-00000000000a/heartbeats");
    }

    #[test]
    fn debug_never_shows_the_payload() {
        let envelope = Envelope::new(DOCUMENT.as_bytes()).unwrap();
        assert!(!format!("{envelope:?}").contains("hunter2"));
    }

    #[test]
    fn a_bad_document_is_refused_with_its_path() {
        let error = Envelope::new(DOCUMENT.replace("cleanup", "nonsense").as_bytes()).unwrap_err();
        assert_eq!(error.problems[0].path, "kind");
    }
}
