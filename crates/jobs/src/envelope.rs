//! What the queue stores of a job: the document as it came, and what the queue has to know to order
//! and run it.

use std::fmt;
use std::time::Duration;

use mission_core::model::DocumentError;
use mission_core::{Job, Kind};
use secrecy::zeroize::Zeroizing;
use uuid::Uuid;

use crate::seal::Keyring;
use crate::{flags, kinds};

/// Version of the stored form of a job whose document stands there as it came.
pub const SCHEMA_VERSION: u32 = 1;
/// The same of a job whose document has sealed secrets; see [`crate::seal`]. A worker that meets a
/// version that it does not know buries the job.
pub const SEALED_VERSION: u32 = 2;

/// Version of the arguments of `enqueue.lua`.
pub(crate) const WIRE_VERSION: u32 = 1;
/// The priority of a job that has no other.
pub const PRIORITY_DEFAULT: u8 = 5;
/// The priority that comes last; 0 comes first.
pub const PRIORITY_LAST: u8 = 9;
/// Longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 200;
/// Longest life of an idempotency key, longest delay and longest time until a job expires: 30 days.
pub const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// A valid job on its way into the queue.
///
/// The time of its enqueueing is not part of it: Redis's clock says it when the job is stored.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The job's id, a UUID v7 chosen here. Enqueueing the same envelope twice stores one job.
    pub id: Uuid,
    /// [`SCHEMA_VERSION`] for a new one, [`SEALED_VERSION`] once it is sealed.
    pub version: u32,
    /// The kind of job.
    pub kind: Kind,
    /// The unit of contention: the gateway's id.
    pub lane: Uuid,
    /// What the job is about; see [`kinds::KindSpec::subject`].
    pub subject: String,
    /// How long to wait before the first run; zero by default, [`MAX_TIME`] at most.
    pub delay: Duration,
    /// Which jobs of a gateway come first: 0 to [`PRIORITY_LAST`], 0 first.
    pub priority: u8,
    /// After how long the job is dead if it is not done by then; never by default.
    pub expires_in: Option<Duration>,
    /// What makes another enqueueing of the same request the same job.
    pub idempotency: Option<IdempotencyKey>,
    /// What a job that replaces this one must inherit: letters as in `enqueue.lua`.
    pub(crate) flags: String,
    /// The document, byte for byte as it was given, until it is sealed.
    pub payload: Payload,
}

impl Envelope {
    /// Checks a job document and wraps it.
    pub fn new(document: &[u8]) -> Result<Self, DocumentError> {
        let job = Job::parse(document)?;
        let kind = job.kind();
        Ok(Self {
            id: Uuid::now_v7(),
            version: SCHEMA_VERSION,
            kind,
            lane: job.gateway_id(),
            subject: (kinds::spec(kind).subject)(&job),
            delay: Duration::ZERO,
            priority: PRIORITY_DEFAULT,
            expires_in: None,
            idempotency: None,
            flags: flags::to_letters(job.flags()),
            payload: document.to_vec().into(),
        })
    }

    /// The same job, to be run after that time at the earliest.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay.min(MAX_TIME);
        self
    }

    /// The same job with another priority; more than [`PRIORITY_LAST`] is that.
    #[must_use]
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.priority = priority.min(PRIORITY_LAST);
        self
    }

    /// The same job, to be dead with reason `expired` if it is not done after that time: 1 ms to
    /// [`MAX_TIME`].
    #[must_use]
    pub fn with_expiry(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in.clamp(Duration::from_millis(1), MAX_TIME));
        self
    }

    /// The same job with its secrets sealed, if there is a key to do so. [`crate::Queue::enqueue`]
    /// does this.
    pub(crate) fn sealed(&self, keyring: &Keyring) -> Self {
        let mut sealed = self.clone();
        if let Some(document) = keyring.seal(self.id, self.payload.expose()) {
            sealed.version = SEALED_VERSION;
            sealed.payload = document.into();
        }
        sealed
    }

    /// The same job under an idempotency key.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency = Some(key);
        self
    }
}

/// Names a request. As long as it lives, enqueueing under the same key stores nothing and answers
/// the first job's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    life: Duration,
}

/// Why an idempotency key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an idempotency key has 1 to {MAX_KEY_BYTES} bytes, this one has {bytes}; shorten it, or hash \
        what it is made of"
)]
pub struct KeyError {
    /// How many it has.
    pub bytes: usize,
}

impl IdempotencyKey {
    /// How long a key lives that says nothing else: a day.
    pub const LIFE: Duration = Duration::from_secs(24 * 3600);

    /// A key of 1 to [`MAX_KEY_BYTES`] bytes that lives for [`Self::LIFE`].
    pub fn new(key: impl Into<String>) -> Result<Self, KeyError> {
        let key = key.into();
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(KeyError { bytes: key.len() });
        }
        Ok(Self { key, life: Self::LIFE })
    }

    /// The same key with another life, 1 s to [`MAX_TIME`].
    #[must_use]
    pub fn living(mut self, life: Duration) -> Self {
        self.life = life.clamp(Duration::from_secs(1), MAX_TIME);
        self
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How long it lives.
    #[must_use]
    pub const fn life(&self) -> Duration {
        self.life
    }
}

/// A job document as text. It holds tokens, so it never shows itself, and is wiped when it is
/// dropped.
#[derive(Clone)]
pub struct Payload(Zeroizing<Vec<u8>>);

impl From<Vec<u8>> for Payload {
    fn from(document: Vec<u8>) -> Self {
        Self(Zeroizing::new(document))
    }
}

impl Payload {
    /// The document. Secret.
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
        "gateway": {"id": "00000000-0000-0000-0000-00000000000a", "url": "ws://host", "token": "hunter2",
                    "workspace_root": "/srv"},
        "agent": {"id": "00000000-0000-0000-0000-00000000000b", "name": "Alice"} }"#;

    #[test]
    fn an_envelope_keeps_the_document_and_knows_its_place() {
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
