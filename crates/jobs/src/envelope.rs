//! What the queue stores of a job: the document as it came, and what the queue has to know to order and run it.

use std::fmt;
use std::time::Duration;

use mission_core::model::DocumentError;
use mission_core::{Job, Kind};
use uuid::Uuid;

use crate::kinds;

/// Version of the stored form, not of the document in it. A worker that meets another one buries the job.
pub const SCHEMA_VERSION: u32 = 1;

/// A valid job on its way into the queue.
///
/// The time of its enqueueing is not part of it: Redis's clock says it when the job is stored.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The job's id, a UUID v7 chosen here. Enqueueing the same envelope twice stores one job.
    pub id: Uuid,
    /// Always [`SCHEMA_VERSION`] for a new one.
    pub version: u32,
    /// The kind of job.
    pub kind: Kind,
    /// The unit of contention: the gateway's id.
    pub lane: Uuid,
    /// What the job is about; see [`kinds::KindSpec::subject`].
    pub subject: String,
    /// How long to wait before the first run; zero by default.
    pub delay: Duration,
    /// The document, byte for byte as it was given.
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
            payload: Payload(document.to_vec()),
        })
    }

    /// The same job, to be run after that time at the earliest.
    #[must_use]
    pub const fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A job document as text. It holds tokens, so it never shows itself.
#[derive(Clone)]
pub struct Payload(Vec<u8>);

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
        assert_eq!(envelope.subject, "00000000-0000-0000-0000-00000000000a/00000000-0000-0000-0000-00000000000b");
        assert_eq!(envelope.id.get_version_num(), 7);
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
