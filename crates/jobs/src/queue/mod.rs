//! The durable queue: jobs in Redis, which only the scripts in `redis/lua/` change.
//!
//! [`Queue`] serves producers, operators and views; [`Consumer`] runs jobs under apalis. The
//! modules stand by role: `redis` speaks to Redis, `worker` holds the tasks of a worker process,
//! `admin` the actions of people and the move of old keys, `views` the reads.
//!
//! [`State::next`] is the table of allowed transitions. ARCHITECTURE.md shows it, and explains how
//! the jobs of one agent follow and replace each other.
//!
//! An idle worker blocks on a list, and every script that makes a job runnable pushes to this list.
//! So a job starts within milliseconds, and no worker polls. If a wake-up is lost with the worker
//! that took it, the other workers find the job within [`Settings::sweep`].
//!
//! These records are public, and each documents its fields:
//!
//! | Record | Describes |
//! |---|---|
//! | [`Enqueued`] | the result of enqueueing one job |
//! | [`JobRecord`] | one job, with its runs, timeline and failure |
//! | [`GatewayRecord`] | one gateway: health, jobs by state, how runs ended lately |
//! | [`WorkerRecord`] | one worker process, by its heartbeat |
//! | [`Group`] | the jobs that share a failure |
//! | [`Pause`], [`AuditEntry`] | a pause in force, and an action of a person |
//! | [`Summary`], [`StatsBucket`] | the queue as a whole, and its figures by minute |
//! | [`Slots`] | the slots of all workers, and the gateways that take most of them |

pub mod admin;
mod enqueue;
pub mod error;
#[cfg(test)]
mod model;
pub mod redis;
pub(crate) mod shards;
pub mod states;
pub mod views;
pub mod worker;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mission_core::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use admin::actor::Author;
pub use admin::audit::AuditEntry;
pub use admin::gateways::{GatewayConnection, InUse, StoredConnection};
pub use admin::migration::{Layout, Migrated, Migration};
pub use admin::pause::{Pause, PauseScope};
pub use admin::plain_secrets::PlainSecrets;
pub use admin::repair::Wounds;
pub use enqueue::MAX_REPLICAS;
pub use error::QueueError;
pub use redis::counters::CounterSnapshot;
pub use redis::keys::Keys;
pub use redis::scripts::{producer_scripts, test_script};
pub use redis::server::{Server, evicts};
pub use redis::tls::Tls;
pub use shards::MAX_SHARDS;
pub use states::State;
pub use views::event::QueueEvent;
pub use views::failure_groups::Group;
pub use views::gateway_view::{GatewayRecord, Recent};
pub use views::job_view::JobRecord;
pub use views::reads::Restart;
pub use views::recorded::{
    AgentCounts, AgentPage, AgentPhase, GatewayDetails, MAX_AGENTS, Owed, Recorded, RecordedAgent,
    RecordedConnection,
};
pub use views::search::{Cursor, Found, Search, SearchError};
pub use views::slots::{Busy, Slots};
pub use views::stats::StatsBucket;
pub use views::summary::Summary;
pub use worker::claiming::NotClaiming;
pub use worker::workers::WorkerRecord;
pub use worker::{Consumer, Keep, Settings};

use crate::envelope::{Payload, SEALED_VERSION};
use crate::seal::Keyring;
use redis::connection::Connection;
use redis::scripts::Scripts;
use shards::Shards;
use views::following::Following;
use worker::claiming::{self, ClaimLoop, claim_loops};

/// The most jobs that one call may enqueue, because its script holds Redis for some milliseconds.
pub const MAX_ENQUEUE: usize = 50;
/// The most jobs on one page of a list.
pub const MAX_PAGE: usize = 200;

/// A queue, identified by its name. It is cheap to clone. Clones share one connection, which is
/// made by the first call and again whenever it breaks.
#[derive(Clone)]
pub struct Queue {
    name: Arc<str>,
    connection: Arc<Connection>,
    shards: Arc<Shards>,
    keyring: Arc<Keyring>,
    /// The state of the claims of each shard in this process.
    claims: Arc<[ClaimLoop]>,
    following: Arc<Following>,
}

/// The result of enqueueing one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Enqueued {
    /// The id of the stored job: that of the first job if the idempotency key was in use, else the
    /// envelope's.
    pub id: Uuid,
    /// The state of the job: `ready` or `scheduled` for a new one, the present state for one that
    /// was enqueued before. None if it has ended since and been removed.
    pub state: Option<State>,
    /// The ids of older jobs that this one replaced.
    pub superseded: Vec<Uuid>,
    /// `true` if the idempotency key was in use, so that nothing was stored.
    pub duplicate: bool,
    /// `true` if, besides, the first job has another document: what was sent is not in the queue.
    /// `false` if that is not known any more.
    pub other_document: bool,
    /// The number of replicas of Redis that have confirmed the job; none if that was not asked for.
    /// Fewer than asked for: the job is stored, but a failover may lose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
}

/// Selects the jobs of a list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The state that the jobs are in.
    pub state: State,
    /// Limits the list to this kind.
    pub kind: Option<Kind>,
    /// Limits the list to this lane, which is a gateway's id.
    pub lane: Option<Uuid>,
    /// The most jobs of the page, 1 to [`MAX_PAGE`]. The default is 50.
    pub limit: usize,
    /// The cursor from [`JobPage::next`] of the previous page: a place in each shard. Empty for the
    /// first page.
    pub cursor: Vec<u64>,
}

impl Filter {
    /// Selects the first 50 jobs in a state.
    #[must_use]
    pub const fn new(state: State) -> Self {
        Self { state, kind: None, lane: None, limit: 50, cursor: Vec::new() }
    }
}

/// A page of a list: ended jobs latest first, the others soonest first.
#[derive(Debug, Clone, Serialize)]
pub struct JobPage {
    /// The jobs, without history and document. May be empty although more follow.
    pub jobs: Vec<JobRecord>,
    /// The cursor of the next page; none after the last. Jobs that move meanwhile may appear twice
    /// or not at all.
    pub next: Option<Vec<u64>>,
}

/// The number of jobs in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Counts(HashMap<State, u64>);

impl Counts {
    /// Returns the number of jobs in this state.
    #[must_use]
    pub fn of(&self, state: State) -> u64 {
        self.0.get(&state).copied().unwrap_or_default()
    }

    /// Returns whether all jobs have ended or are blocked, so that nothing is left to do without a
    /// person.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        State::ALL
            .into_iter()
            .all(|state| state.is_terminal() || state == State::Blocked || self.of(state) == 0)
    }
}

impl Queue {
    /// Opens a queue after checking url and name. It does not connect, so a worker can start before
    /// its Redis does.
    ///
    /// `url` is `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://` or
    /// `redis+cluster://`, as docs/redis.md shows; `name` distinguishes queues in one Redis.
    pub fn open(url: &str, name: &str) -> Result<Self, QueueError> {
        Self::open_with(url, name, Tls::default())
    }

    /// Opens a queue like [`Self::open`], with files for TLS.
    pub fn open_with(url: &str, name: &str, tls: Tls) -> Result<Self, QueueError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(QueueError::Name { name: name.to_owned() });
        }
        let connection = Arc::new(Connection::open(url, tls)?);
        Ok(Self {
            name: name.into(),
            shards: Arc::new(Shards::new(name, &connection, 1)),
            connection,
            keyring: Arc::default(),
            claims: claim_loops(1),
            following: Arc::default(),
        })
    }

    /// Sets the number of shards, 1 to [`MAX_SHARDS`], which must be that of the queue in Redis. A
    /// queue that does not exist yet gets it with the first job or worker, for good.
    pub fn with_shards(mut self, count: usize) -> Result<Self, QueueError> {
        if !(1..=MAX_SHARDS).contains(&count) {
            return Err(QueueError::ShardCount { count });
        }
        self.shards = Arc::new(Shards::new(&self.name, &self.connection, count));
        self.claims = claim_loops(count);
        Ok(self)
    }

    /// Checks that the queue in Redis has as many shards as were set; one that does not exist yet
    /// has any number. Every call of the queue does this by itself.
    pub async fn check_shards(&self) -> Result<(), QueueError> {
        self.shards.check(false).await
    }

    /// Returns the number of shards that this process believes in.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.all().len()
    }

    /// Returns the numbers of the shards, from 0, that do not answer within this time.
    pub async fn shards_away(&self, within: Duration) -> Vec<usize> {
        self.shards.away(within).await
    }

    /// Sets the keys: secrets are sealed when jobs are enqueued, and opened when they are claimed.
    #[must_use]
    pub fn with_keys(mut self, keyring: Arc<Keyring>) -> Self {
        self.keyring = keyring;
        self
    }

    /// Returns the keys that seal and open secrets.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the queue's keys in Redis.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.shards.first().keys
    }

    /// Returns the name of the script that an entry of `SLOWLOG` calls by this name of a function, if
    /// it is one of the queue's.
    #[must_use]
    pub fn script_of<'a>(&self, function: &'a str) -> Option<&'a str> {
        self.shards.first().script_of(function)
    }

    /// Returns a job with everything that the queue knows about it; none if it does not exist.
    pub async fn get(&self, id: Uuid) -> Result<Option<JobRecord>, QueueError> {
        let (fields, history) = self.shards.of_job(id).await?.get(id).await?;
        Ok(JobRecord::read(id, &fields, &history))
    }

    /// Returns a job's document as it was enqueued, with its secrets; none if the job does not
    /// exist. Fails if the document is sealed with a key that this process does not have.
    pub async fn document(&self, id: Uuid) -> Result<Option<Payload>, QueueError> {
        let (mut fields, _) = self.shards.of_job(id).await?.get(id).await?;
        let Some(document) = fields.take("payload") else { return Ok(None) };
        let opened =
            self.keyring.open(&document).map_err(|reason| QueueError::Sealed { id, reason })?;
        Ok(Some(Payload::from(opened.to_vec())))
    }

    /// Seals a job's document with the first key, whether it was plain or sealed with another key
    /// of the keyring. Returns whether this changed anything. A document whose key is missing, or
    /// that is gone, is left alone. The document of a job that has been removed stays as long as a
    /// record needs it; [`Self::record_documents`] lists these too.
    pub async fn reseal(&self, gateway: Uuid, id: Uuid) -> Result<bool, QueueError> {
        let place = (gateway.to_string(), id);
        let shard = self.shards.of_lane(gateway).await?;
        let mut documents = shard.documents([place].into()).await?;
        let Some(document) = documents.remove(&id) else { return Ok(false) };
        let Some(sealed) = self.keyring.seal(&document) else { return Ok(false) };
        shard.reseal((gateway, id), &document, &sealed, SEALED_VERSION).await
    }

    /// Returns the jobs whose documents records of gateways or agents need, as ids of gateways and
    /// jobs, whether these jobs are kept or not.
    pub async fn record_documents(&self) -> Result<HashSet<(Uuid, Uuid)>, QueueError> {
        self.some_record_documents(usize::MAX).await
    }

    /// The same, but stops when each shard has found so many records of gateways or of agents.
    async fn some_record_documents(
        &self,
        most: usize,
    ) -> Result<HashSet<(Uuid, Uuid)>, QueueError> {
        let ask = |shard: Arc<Scripts>| async move { shard.record_documents(most).await };
        Ok(self.shards.ask(ask).await?.into_iter().flatten().collect())
    }

    /// Returns the pauses in force, oldest first.
    pub async fn paused(&self) -> Result<Vec<Pause>, QueueError> {
        Ok(Pause::read_all(&self.first().await?.paused().await?))
    }

    /// Returns the version and the durability of the Redis behind the queue.
    pub async fn server(&self) -> Result<Server, QueueError> {
        let (info, config) = self.shards.first().server().await?;
        Ok(Server::read(&info, config.as_ref()))
    }

    /// Returns the `maxmemory-policy` of the Redis behind the queue; none if it does not tell. See
    /// [`evicts`].
    pub async fn eviction(&self) -> Result<Option<String>, QueueError> {
        self.shards.first().eviction().await
    }

    /// Returns the number of jobs in each state.
    pub async fn counts(&self) -> Result<Counts, QueueError> {
        let counts = self.shards.ask(|shard| async move { shard.counts().await }).await?;
        Ok(counts.into_iter().map(Counts::read).sum())
    }

    /// Returns whether all jobs have ended or are blocked, so that nothing is left to do without a
    /// person.
    pub async fn is_idle(&self) -> Result<bool, QueueError> {
        Ok(self.counts().await?.is_idle())
    }

    /// Returns whether the consumers of this queue in this process claim jobs. While none has
    /// claimed yet, this waits for at most this time. Of several consumers, the last step of any
    /// counts.
    pub async fn claims_jobs(&self, wait: Duration) -> Result<(), NotClaiming> {
        claiming::read_all(&self.claims, wait).await
    }

    /// Returns the counters of this process's end of the queue.
    #[must_use]
    pub fn counters(&self) -> CounterSnapshot {
        self.shards.first().counters().read()
    }

    /// Returns the first shard, which has what concerns the whole queue.
    async fn first(&self) -> Result<&Arc<Scripts>, QueueError> {
        self.shards.check(false).await?;
        Ok(self.shards.first())
    }

    /// Returns a source of jobs for an apalis worker. Each consumer is a worker of its own in the
    /// queue.
    pub fn consumer(&self, settings: Settings) -> Consumer {
        Consumer::new(self.clone(), settings)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.name).finish_non_exhaustive()
    }
}
