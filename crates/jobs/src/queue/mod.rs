//! The durable queue: jobs in Redis, changed only by the scripts in `lua/`.
//!
//! [`Queue`] is for those who put jobs in and look at them; [`Consumer`] runs them under apalis.
//!
//! [`State::next`] is the table of what may become of a job; ARCHITECTURE.md has it as a picture,
//! and tells how jobs of one agent follow and replace each other.
//!
//! A worker that is idle blocks on a list that every script pushes to when it makes something
//! runnable, so a job starts within milliseconds and nobody polls. A token that dies with its
//! worker costs others [`Settings::sweep`] at most.

pub mod admin;
pub mod error;
#[cfg(test)]
mod model;
pub mod redis;
pub mod states;
pub mod views;
pub mod worker;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mission_core::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use admin::actor::Author;
pub use admin::audit::AuditEntry;
pub use admin::pause::{Pause, Scope};
pub use error::QueueError;
pub use redis::counters::CounterSnapshot;
pub use redis::keys::Keys;
pub use redis::scripts::enqueue_script;
pub use redis::server::Server;
pub use redis::tls::Tls;
pub use states::State;
pub use views::failure_groups::Group;
pub use views::gateway_view::{GatewayRecord, Recent};
pub use views::job_view::JobRecord;
pub use views::reads::Restart;
pub use views::search::{Cursor, Found, Search, SearchError};
pub use views::stats::StatsBucket;
pub use views::summary::Summary;
pub use worker::workers::WorkerRecord;
pub use worker::{Consumer, Keep, Settings};

use crate::envelope::{Envelope, Payload, SEALED_VERSION};
use crate::seal::Keyring;
use redis::connection::Connection;
use redis::scripts::{ListRequest, Scripts};

/// Most jobs that one call may enqueue: its script holds Redis for some milliseconds.
pub const MAX_ENQUEUE: usize = 50;
/// Most jobs on one page of a list.
pub const MAX_PAGE: usize = 200;

/// A queue by name. Cheap to clone; clones share one connection, which is made with the first call
/// and again whenever it breaks.
#[derive(Clone)]
pub struct Queue {
    name: Arc<str>,
    scripts: Arc<Scripts>,
    keyring: Arc<Keyring>,
}

/// What became of an enqueued job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Enqueued {
    /// The job's id: of the first one, if its idempotency key was in use.
    pub id: Uuid,
    /// `ready` or `scheduled`; the present state if it had been enqueued before; none if it has
    /// ended since and been removed.
    pub state: Option<State>,
    /// Older jobs that this one replaced.
    pub superseded: Vec<Uuid>,
    /// Whether its idempotency key was in use, so that nothing was stored.
    pub duplicate: bool,
}

/// Which jobs to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The state that they are in.
    pub state: State,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this lane: a gateway's id.
    pub lane: Option<Uuid>,
    /// How many at most; 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page before ended; 0 for the first.
    pub cursor: u64,
}

impl Filter {
    /// The first page of 50 jobs in a state.
    #[must_use]
    pub const fn new(state: State) -> Self {
        Self { state, kind: None, lane: None, limit: 50, cursor: 0 }
    }
}

/// Some of the listed jobs: ended ones latest first, the others soonest first.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// The jobs, without history and document. May be empty although there are more.
    pub jobs: Vec<JobRecord>,
    /// Cursor of the next page; none after the last. Jobs that move meanwhile may be seen twice or
    /// not at all.
    pub next: Option<u64>,
}

/// How many jobs are in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Counts(HashMap<State, u64>);

impl Counts {
    /// How many are in that state.
    #[must_use]
    pub fn of(&self, state: State) -> u64 {
        self.0.get(&state).copied().unwrap_or_default()
    }

    /// Whether nothing is left to do by itself: all jobs have ended or are blocked.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        State::ALL
            .into_iter()
            .all(|state| state.is_terminal() || state == State::Blocked || self.of(state) == 0)
    }
}

impl Queue {
    /// Checks url and name. Does not connect: a worker can start before its Redis does.
    ///
    /// `url` is `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://` or
    /// `redis+cluster://`, as docs/redis.md shows; `name` distinguishes queues in one Redis.
    pub fn open(url: &str, name: &str) -> Result<Self, QueueError> {
        Self::open_with(url, name, Tls::default())
    }

    /// [`Self::open`] with files for TLS.
    pub fn open_with(url: &str, name: &str, tls: Tls) -> Result<Self, QueueError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(QueueError::Name { name: name.to_owned() });
        }
        let scripts = Arc::new(Scripts::new(name, Connection::open(url, tls)?));
        Ok(Self { name: name.into(), scripts, keyring: Arc::default() })
    }

    /// The same queue with keys: secrets are sealed when jobs are enqueued, and opened when they
    /// are claimed.
    #[must_use]
    pub fn with_keys(mut self, keyring: Arc<Keyring>) -> Self {
        self.keyring = keyring;
        self
    }

    /// The keys that it seals and opens secrets with.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The queue's keys in Redis.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.scripts.keys
    }

    /// The SHA-1 and name of each script, by which `SLOWLOG` and the like can be read.
    #[must_use]
    pub fn script_names(&self) -> Vec<(String, &'static str)> {
        self.scripts.names()
    }

    /// Stores jobs, all or none, [`MAX_ENQUEUE`] at most. After an error the same envelopes can be
    /// sent again: a job that is there already is left as it is.
    pub async fn enqueue(&self, jobs: &[Envelope]) -> Result<Vec<Enqueued>, QueueError> {
        if jobs.len() > MAX_ENQUEUE {
            return Err(QueueError::TooMany { count: jobs.len(), max: MAX_ENQUEUE });
        }
        let answers = if self.keyring.is_empty() {
            self.scripts.enqueue(jobs).await?
        } else {
            let sealed: Vec<Envelope> = jobs.iter().map(|job| job.sealed(&self.keyring)).collect();
            self.scripts.enqueue(&sealed).await?
        };
        answers
            .into_iter()
            .zip(jobs)
            .map(|((id, state, superseded), job)| {
                let strange = || QueueError::Script {
                    script: "enqueue",
                    reason: format!("it answered {id:?}, {state:?}"),
                };
                let state = if state.is_empty() {
                    None
                } else {
                    Some(State::from_name(&state).ok_or_else(strange)?)
                };
                let superseded = superseded.iter().filter_map(|id| id.parse().ok()).collect();
                let id = id.parse().map_err(|_| strange())?;
                Ok(Enqueued { id, state, superseded, duplicate: id != job.id })
            })
            .collect()
    }

    /// Everything that is known of a job; none if there is no such job.
    pub async fn get(&self, id: Uuid) -> Result<Option<JobRecord>, QueueError> {
        let (fields, history) = self.scripts.get(id).await?;
        Ok(JobRecord::read(id, &fields, &history))
    }

    /// A job's document as it was enqueued, with its secrets; none if there is no such job. Fails
    /// if it is sealed with a key that is not here.
    pub async fn document(&self, id: Uuid) -> Result<Option<Payload>, QueueError> {
        let (mut fields, _) = self.scripts.get(id).await?;
        let Some(document) = fields.remove("payload") else { return Ok(None) };
        let opened =
            self.keyring.open(id, &document).map_err(|reason| QueueError::Sealed { id, reason })?;
        Ok(Some(Payload::from(opened.to_vec())))
    }

    /// Seals a job's document with the first key, be it plain or sealed with another key that is
    /// here. Returns whether that changed anything; a job whose key is missing, or that is gone, is
    /// let be.
    pub async fn reseal(&self, id: Uuid) -> Result<bool, QueueError> {
        let (fields, _) = self.scripts.get(id).await?;
        let Some(document) = fields.get("payload") else { return Ok(false) };
        let Some(sealed) = self.keyring.seal(id, document) else { return Ok(false) };
        self.scripts.reseal(id, document, &sealed, SEALED_VERSION).await
    }

    /// A page of jobs.
    pub async fn list(&self, filter: &Filter) -> Result<Page, QueueError> {
        let lane = filter.lane.map(|lane| lane.to_string()).unwrap_or_default();
        let listing = ListRequest {
            state: filter.state,
            kind: filter.kind.map_or("", Kind::as_str),
            lane: &lane,
            first: filter.cursor,
            limit: filter.limit.clamp(1, MAX_PAGE),
        };
        let (next, ids, rows) = self.scripts.list(&listing).await?;
        let record =
            |(id, fields): (String, HashMap<_, _>)| JobRecord::read(id.parse().ok()?, &fields, &[]);
        Ok(Page {
            jobs: ids.into_iter().zip(rows).filter_map(record).collect(),
            next: u64::try_from(next).ok(),
        })
    }

    /// What is paused, since when, by whom and why.
    pub async fn paused(&self) -> Result<Vec<Pause>, QueueError> {
        Ok(Pause::read_all(&self.scripts.paused().await?))
    }

    /// What the Redis behind the queue says of itself.
    pub async fn server(&self) -> Result<Server, QueueError> {
        let (info, config) = self.scripts.server().await?;
        Ok(Server::read(&info, config.as_ref()))
    }

    /// How many jobs are in each state.
    pub async fn counts(&self) -> Result<Counts, QueueError> {
        Ok(Counts::read(self.scripts.counts().await?))
    }

    /// Whether nothing is left to do by itself: all jobs have ended or are blocked.
    pub async fn is_idle(&self) -> Result<bool, QueueError> {
        Ok(self.counts().await?.is_idle())
    }

    /// What this process has met at its end of the queue.
    #[must_use]
    pub fn counters(&self) -> CounterSnapshot {
        self.scripts.counters().read()
    }

    /// A source of jobs for an apalis worker. Each one is a worker of its own to the queue.
    pub fn consumer(&self, settings: Settings) -> Consumer {
        Consumer::new(self.clone(), settings)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.name).finish_non_exhaustive()
    }
}
