//! The border between the queue and a handler: a handler receives a [`Claimed`] and returns a
//! [`RunResult`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::into_response::IntoResponse;
use mission_core::applied::Applied;
pub use mission_core::gateway::Step;
use mission_core::journal::{Effects, Journal, Store};
use mission_core::model::{DocumentError, MAX_DOCUMENT_BYTES};
use mission_core::{Failure, Job, Kind, Outcome, Remedy, records};
use uuid::Uuid;

use crate::envelope::{SCHEMA_VERSION, SEALED_VERSION};
use crate::queue::redis::claim::RawClaim;
use crate::queue::worker::records::Loaded;
use crate::seal::Keyring;

/// A job that this worker holds the lease of, parsed and checked.
pub struct Claimed {
    /// The id of the job.
    pub id: Uuid,
    /// The job to carry out: its own document, and what the records of its gateway and agent say.
    pub job: Job,
    /// The id of the job that asked for the wake which this run sends, usually its own. Gateways
    /// recognise a repeated wake by it.
    pub wake_id: Uuid,
    /// The lane of the job: the gateway's id, as the queue knows it.
    pub lane: String,
    /// The number of this attempt among those that count, from 1.
    pub attempt: u32,
    /// The number of attempts that the job may have.
    pub max_attempts: u32,
    /// The number of this run among all runs, from 1, which is also its number in the job's
    /// history.
    pub run: u32,
    /// The time when the job was enqueued, in milliseconds since 1970 by Redis's clock.
    pub enqueued_at_ms: u64,
    /// The time that the job was ready before it was claimed.
    pub waited: Duration,
    /// The number of runs in a row before this one that could not reach the gateway.
    pub lane_failures: u32,
    /// The time after which the job expires, counted from the claim, if it does.
    pub expires_in: Option<Duration>,
    /// The other jobs that share this run and end as it does. `job` merges all of them.
    pub shared_with: Vec<Uuid>,
    /// The effects of the job on its gateway so far; the run records its own effects here.
    pub journal: Arc<Journal>,
    /// The token of the lease, which is higher for each claim of the shard.
    pub(crate) token: u64,
    /// The number of the shard of the queue that the job is in.
    pub(crate) shard: usize,
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

impl Claimed {
    /// Reads a job from Redis. Its fields may contain anything, so all of them are checked. Returns
    /// the end of a job that cannot be run: permanent, or blocked until a person has acted.
    pub(crate) fn read(
        raw: &RawClaim,
        loaded: &Loaded,
        keyring: &Keyring,
    ) -> Result<Self, Box<Outcome>> {
        let refused = |code: &str, what: String, remedy: Remedy| {
            Box::new(Outcome::Permanent(Failure::new(code, what).with_remedy(remedy)))
        };
        let invalid = |what: String| {
            let remedy = Remedy::backend("correct the document in the main backend");
            refused("invalid_job", what, remedy)
        };
        let too_new = |code: &str, what| refused(code, what, Remedy::worker("upgrade the workers"));
        let id = Uuid::parse_str(&raw.id)
            .map_err(|_| invalid("the job's id is not a UUID".to_owned()))?;
        if ![SCHEMA_VERSION, SEALED_VERSION]
            .map(|version| version.to_string())
            .contains(&raw.version)
        {
            let what = format!(
                "the job is stored in form {:?}; this worker reads the forms {SCHEMA_VERSION} and \
                    {SEALED_VERSION}",
                raw.version
            );
            return Err(too_new("unknown_version", what));
        }
        let kind = Kind::from_name(&raw.kind).ok_or_else(|| {
            let what = format!("this worker does not know jobs of kind {:?}", raw.kind);
            too_new("unknown_kind", what)
        })?;
        let document = loaded.own(&raw.id).ok_or_else(|| {
            let what = "the job's document is not in Redis any more; somebody has removed it";
            let remedy = Remedy::backend("enqueue the job again, with its document");
            refused("invalid_job", what.to_owned(), remedy)
        })?;
        if document.is_empty() {
            let what =
                format!("the stored document is empty, or larger than {MAX_DOCUMENT_BYTES} bytes");
            return Err(invalid(what));
        }
        let invalid_document =
            |error: DocumentError| invalid(error.to_string().replace('\n', "; "));
        let text = keyring.open(document).map_err(|error| Box::new(error.outcome()))?;
        let document = Job::read_json(&text).map_err(invalid_document)?;
        let own = Job::from_value(document.clone()).map_err(invalid_document)?;
        if own.kind() != kind {
            let found = own.kind();
            let what = format!("stored as a {kind} job, but the document is a {found} job");
            return Err(invalid(what));
        }
        if own.gateway_id().to_string() != raw.lane {
            let what = "the document is about another gateway than the job was stored for";
            return Err(invalid(what.to_owned()));
        }
        let record = raw.record();
        let records =
            loaded.records(raw, &document, keyring).map_err(|error| Box::new(error.outcome()))?;
        let mut job = records::compose(document, records).map_err(invalid_document)?;
        if let Job::HeartbeatSync(sync) = &mut job {
            loaded.leave_out(raw, sync);
        }
        let effects = serde_json::from_str::<Effects>(&raw.effects).unwrap_or_default();
        Ok(Self {
            id,
            wake_id: record.and_then(|record| record.wake()).unwrap_or(id),
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
            // Effects that cannot be read count as none, because some other program has changed
            // them.
            journal: Arc::new(Journal::of(effects.before_next_attempt(raw.has_died))),
            token: raw.token,
            shard: 0,
        })
    }

    /// Makes the run record its effects in a store.
    pub(crate) fn keep_journal_in(&mut self, store: Box<dyn Store>) {
        self.journal = Arc::new(Journal::new(self.journal.effects(), store));
    }

    /// Merges a newer job of the same subject into this run.
    pub(crate) fn share_with(&mut self, newer: Self) {
        self.shared_with.push(newer.id);
        self.journal = Arc::new(Journal::of(self.journal.effects().and(newer.journal.effects())));
        self.expires_in = self.expires_in.into_iter().chain(newer.expires_in).min();
        let older = std::mem::replace(&mut self.job, newer.job);
        match (older, &mut self.job) {
            (Job::HeartbeatSync(older), Job::HeartbeatSync(merged)) => {
                **merged = older.merge((**merged).clone());
            }
            // One of the two jobs has nothing to do.
            (older, newer @ Job::Nothing(_)) => *newer = older,
            _ => {}
        }
    }
}

/// The result that a handler returns: how a run ended, and the steps that it took.
#[derive(Debug)]
pub struct RunResult {
    /// The outcome, one of the six ways in which a run can end.
    pub outcome: Outcome,
    /// The steps of the run, in order; may be empty. They are kept in the job's history.
    pub steps: Vec<Step>,
    /// The keys and files that the run has applied to its agent, if it is done. The next run gets
    /// it.
    pub applied: Option<Applied>,
}

impl RunResult {
    /// Adds the steps that led to the result.
    #[must_use]
    pub fn with_steps(mut self, steps: Vec<Step>) -> Self {
        self.steps = steps;
        self
    }

    /// Adds what the run has applied to its agent.
    #[must_use]
    pub fn with_applied(mut self, applied: Option<Applied>) -> Self {
        self.applied = applied;
        self
    }
}

impl From<Outcome> for RunResult {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, steps: Vec::new(), applied: None }
    }
}

/// Allows a handler to return a result directly. Every end of a run is a response, so apalis never
/// sees an error.
impl IntoResponse for RunResult {
    type Output = Self;

    fn into_response(self) -> Result<Self, BoxDynError> {
        Ok(self)
    }
}
