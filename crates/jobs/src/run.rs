//! The border between the queue and a handler: what it is given, [`Claimed`], and what it answers,
//! [`RunResult`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::into_response::IntoResponse;
use mission_core::journal::{Effects, Journal, Store};
use mission_core::model::MAX_DOCUMENT_BYTES;
use mission_core::{Failure, Job, Kind, Outcome};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::envelope::{SCHEMA_VERSION, SEALED_VERSION};
use crate::flags;
use crate::queue::redis::claim::RawClaim;
use crate::seal::{Keyring, OpenError};

/// A job that this worker holds the lease of, read and checked.
pub struct Claimed {
    /// The job's id.
    pub id: Uuid,
    /// The document.
    pub job: Job,
    /// The lane it is worked in: the gateway's id, as the queue knows it.
    pub lane: String,
    /// Which counted attempt this is, from 1.
    pub attempt: u32,
    /// How many attempts the job may have.
    pub max_attempts: u32,
    /// Which run this is, from 1, uncounted ones included; the number in the job's history.
    pub run: u32,
    /// When the job was enqueued, in milliseconds since 1970 by Redis's clock.
    pub enqueued_at_ms: u64,
    /// How long it was ready before it was claimed.
    pub waited: Duration,
    /// How often in a row its gateway could not be reached before this run.
    pub lane_failures: u32,
    /// After how long the job expires, if it does, counted from the claim.
    pub expires_in: Option<Duration>,
    /// Other jobs that share this run: they end as it does. `job` is all of them in one.
    pub shared_with: Vec<Uuid>,
    /// What the job has done to its gateway so far, and where the run writes down what it does.
    pub journal: Arc<Journal>,
    /// The lease: higher for each claim of the queue.
    pub(crate) token: u64,
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed")
            .field("id", &self.id)
            .field("kind", &self.job.kind())
            .field("lane", &self.lane)
            .field("attempt", &self.attempt)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// Why a claimed job cannot be run.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It never can be.
    Invalid(Failure),
    /// It can be once a person has done something.
    Locked(Failure),
}

impl From<Failure> for Unreadable {
    fn from(failure: Failure) -> Self {
        Self::Invalid(failure)
    }
}

impl From<OpenError> for Unreadable {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::UnknownKey { .. } => Self::Locked(error.failure()),
            OpenError::Corrupt { .. } => Self::Invalid(error.failure()),
        }
    }
}

impl Claimed {
    /// Reads what Redis holds. Anything can be there, so nothing is taken for granted.
    pub(crate) fn read(raw: &RawClaim, keyring: &Keyring) -> Result<Self, Unreadable> {
        let invalid = |what: String| {
            Failure::new("invalid_job", what)
                .with_action("correct the document where it is made, and enqueue it anew")
        };
        let id = Uuid::parse_str(&raw.id)
            .map_err(|_| invalid("the job's id is not a UUID".to_owned()))?;
        if ![SCHEMA_VERSION, SEALED_VERSION]
            .iter()
            .any(|version| raw.version == version.to_string())
        {
            let what = format!(
                "the job is stored in form {:?}; this worker reads the forms {SCHEMA_VERSION} and \
                    {SEALED_VERSION}",
                raw.version
            );
            return Err(Failure::new("unknown_version", what)
                .with_action("upgrade the workers, then retry the job")
                .into());
        }
        let kind = Kind::from_name(&raw.kind).ok_or_else(|| {
            Failure::new(
                "unknown_kind",
                format!("this worker does not know jobs of kind {:?}", raw.kind),
            )
            .with_action("upgrade the workers, then retry the job")
        })?;
        if raw.payload.is_empty() {
            let what =
                format!("the stored document is empty, or larger than {MAX_DOCUMENT_BYTES} bytes");
            return Err(invalid(what).into());
        }
        let document = keyring.open(id, &raw.payload)?;
        let job = Job::parse(&document)
            .map_err(|error| invalid(error.to_string().replace('\n', "; ")))?;
        if job.kind() != kind {
            return Err(invalid(format!(
                "stored as a {kind} job, but the document is a {} job",
                job.kind()
            ))
            .into());
        }
        let mut job = job;
        job.inherit(flags::from_letters(&raw.inherited));
        if let Job::HeartbeatSync(sync) = &mut job
            && !raw.gone.is_empty()
        {
            let gone: Vec<String> = serde_json::from_str(&raw.gone).unwrap_or_default();
            sync.leave_out(&gone.iter().filter_map(|agent| agent.parse().ok()).collect());
        }
        let effects = serde_json::from_str::<Effects>(&raw.effects).unwrap_or_default();
        Ok(Self {
            id,
            job,
            lane: raw.lane.clone(),
            attempt: raw.attempt,
            max_attempts: raw.max_attempts,
            run: raw.run,
            enqueued_at_ms: raw.enqueued_at_ms,
            waited: raw.waited,
            lane_failures: raw.lane_failures,
            expires_in: raw.expires_in,
            shared_with: Vec::new(),
            // What cannot be read is as if nothing was done: somebody has spoilt it.
            journal: Arc::new(Journal::of(effects.before_next_attempt(raw.has_died))),
            token: raw.token,
        })
    }

    /// Has the run write down in a store what it does.
    pub(crate) fn keep_journal_in(&mut self, store: Box<dyn Store>) {
        self.journal = Arc::new(Journal::new(self.journal.effects(), store));
    }

    /// Takes a newer job of the same subject into this run.
    pub(crate) fn share_with(&mut self, newer: Self) {
        self.shared_with.push(newer.id);
        self.journal = Arc::new(Journal::of(self.journal.effects().and(newer.journal.effects())));
        self.expires_in = self.expires_in.into_iter().chain(newer.expires_in).min();
        let older = std::mem::replace(&mut self.job, newer.job);
        match (older, &mut self.job) {
            (Job::HeartbeatSync(older), Job::HeartbeatSync(merged)) => {
                **merged = older.merge((**merged).clone())
            }
            // One of the two has nothing to do.
            (older, newer @ Job::Nothing(_)) => *newer = older,
            _ => {}
        }
    }
}

/// How a run ended, and the steps that it took: what a handler returns.
#[derive(Debug)]
pub struct RunResult {
    /// One of the six ways in which a run can end.
    pub outcome: Outcome,
    /// What was done, in order; may be empty. Kept in the job's history.
    pub steps: Vec<Step>,
}

impl RunResult {
    /// The same end with the steps that led to it.
    #[must_use]
    pub fn with_steps(mut self, steps: Vec<Step>) -> Self {
        self.steps = steps;
        self
    }
}

impl From<Outcome> for RunResult {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, steps: Vec::new() }
    }
}

/// Lets a handler return it directly: every end of a run is an answer, so apalis never sees an
/// error.
impl IntoResponse for RunResult {
    type Output = Self;

    fn into_response(self) -> Result<Self, BoxDynError> {
        Ok(self)
    }
}

/// One step of a run. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Step {
    /// What was done, such as `config.patch`.
    pub name: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What came of it, where that is worth telling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Step {
    /// A step without a note.
    #[must_use]
    pub fn new(name: impl Into<String>, duration_ms: u64) -> Self {
        Self { name: name.into(), duration_ms, note: None }
    }
}
