//! The queue as the operators' commands use it: one trait, implemented over Redis and over the
//! HTTP API of a worker.

mod api;
pub mod redis;

use std::time::Duration;

use futures_util::future::BoxFuture;
use mission_http::api::series::KindStatus;
use mission_http::own_token;
use mission_jobs::private_redis::RedisRole;
use mission_jobs::queue::{
    AgentPage, AuditEntry, Cursor, Found, GatewayDetails, GatewayRecord, Group, Search,
    StoredConnection, Summary, WorkerRecord,
};
use mission_jobs::{JobRecord, PauseScope, QueueError, State};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use crate::cli::ApiTarget;
use crate::client::{Client, ClientError};
use crate::exit::{Exit, OrExit};
use crate::open_queue::with_store;
use crate::settings::Settings;

/// Pause before the event stream is opened again after an error.
const AFTER_FAULT: Duration = Duration::from_secs(2);

/// The answer of a client, boxed so that the trait can be used as an object.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, QueueClientError>>;

/// Reads the queue and changes it on behalf of an operator.
pub trait QueueClient: Send + Sync {
    /// Returns the counts by state, the pauses, and the time of Redis.
    fn summary(&self) -> Answer<'_, Summary>;

    /// Returns the next jobs that match: at most `limit`, and no more than fit on a page.
    fn search<'a>(
        &'a self,
        search: &'a Search,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> Answer<'a, Found>;

    /// Returns all that is known of a job.
    fn job(&self, id: Uuid) -> Answer<'_, JobRecord>;

    /// Applies an action to a job. Returns the state that the job had before.
    fn act<'a>(&'a self, id: Uuid, action: JobAction, reason: &'a str) -> Answer<'a, State>;

    /// Stops all workers from claiming jobs of a scope, or lets them claim again. Returns whether
    /// this changed anything; over Redis, a pause always counts as a change.
    fn pause<'a>(&'a self, scope: &'a PauseScope, pause: bool, reason: &'a str)
    -> Answer<'a, bool>;

    /// Stops a worker from claiming jobs, or lets it claim again. Returns whether this changed
    /// anything.
    fn drain<'a>(&'a self, worker: &'a str, drain: bool, reason: &'a str) -> Answer<'a, bool>;

    /// Returns the groups of failures that jobs have not recovered from.
    fn failures(&self) -> Answer<'_, Vec<Group>>;

    /// Returns the gateways with the most recent jobs.
    fn gateways(&self) -> Answer<'_, Vec<GatewayRecord>>;

    /// Returns a gateway with its records.
    fn gateway(&self, id: Uuid) -> Answer<'_, GatewayDetails>;

    /// Returns a page of the agents that are recorded on a gateway.
    fn agents(&self, gateway: Uuid, after: u64) -> Answer<'_, AgentPage>;

    /// Stores the connection of a gateway, which must be valid.
    fn put_gateway<'a>(
        &'a self,
        gateway: &'a Value,
        reason: &'a str,
    ) -> Answer<'a, StoredConnection>;

    /// Forgets a gateway; by force even if agents are recorded on it or jobs wait for it.
    fn forget_gateway<'a>(&'a self, id: Uuid, force: bool, reason: &'a str) -> Answer<'a, ()>;

    /// Returns the figures of each kind of job for the last hour.
    fn kinds(&self) -> Answer<'_, Vec<KindStatus>>;

    /// Returns the workers with a heartbeat in the last hour.
    fn workers(&self) -> Answer<'_, Vec<WorkerRecord>>;

    /// Returns the newest actions of operators that are older than `after`: at most `limit`, and no
    /// more than fit on a page.
    fn audit<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AuditEntry>>;

    /// Sends events to `sender` as they happen, until an error occurs or the connection ends. An
    /// event that does not fit is dropped: it would be outdated when read.
    fn forward_events<'a>(&'a self, sender: &'a mpsc::Sender<Value>) -> Answer<'a, ()>;
}

/// An action of an operator on one job.
#[derive(Debug, Clone, Copy)]
pub enum JobAction {
    /// Runs a dead, blocked or waiting job again now.
    Retry {
        /// Retries even if that would undo newer jobs of the same agent.
        force: bool,
    },
    /// Retries a job if it is blocked, and fails otherwise.
    Unblock,
    /// Postpones a job by this time.
    Snooze(Duration),
    /// Cancels a job; a running job is stopped within seconds.
    Cancel,
    /// Cancels a job if it is dead, and fails otherwise.
    Discard,
}

/// The reason why a request to the queue failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueClientError {
    /// The queue in Redis failed or refused the request.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The API failed or refused the request.
    #[error(transparent)]
    Api(#[from] ClientError),
    /// A request to Redis failed with the problem that the API would report.
    #[error("{0}")]
    Problem(String),
    /// The job is not blocked.
    #[error("job {id} is {state} and not blocked; use `worker jobs retry {id}`")]
    NotBlocked {
        /// The id of the job.
        id: Uuid,
        /// The state of the job.
        state: State,
    },
}

impl QueueClientError {
    /// Returns whether Redis or the worker is unreachable.
    pub const fn is_unavailable(&self) -> bool {
        match self {
            Self::Queue(error) => error.is_unavailable(),
            Self::Api(error) => {
                matches!(error, ClientError::Unreachable { .. } | ClientError::Unavailable(_))
            }
            Self::NotBlocked { .. } | Self::Problem(_) => false,
        }
    }

    /// Returns whether the error concerns one job, so that the same request may succeed for others.
    pub const fn is_of_one_job(&self) -> bool {
        !self.is_unavailable()
            && !matches!(self, Self::Queue(error) if error.is_about_shards())
            && !matches!(self, Self::Api(ClientError::Forbidden(_) | ClientError::Strange { .. }))
    }
}

impl From<QueueClientError> for Exit {
    fn from(error: QueueClientError) -> Self {
        if error.is_unavailable() {
            Self::unreachable(error)
        } else if error.is_of_one_job() {
            Self::failed(error)
        } else {
            Self::usage(error)
        }
    }
}

/// Runs a command with a client of the API in `at`, or of Redis if there is none.
pub async fn with_client<T>(
    settings: &Settings,
    at: &ApiTarget,
    command: impl AsyncFnOnce(&dyn QueueClient) -> Result<T, Exit>,
) -> Result<T, Exit> {
    match &at.api {
        Some(api) => command(&api_client(settings, api)?).await,
        None => with_store(settings, RedisRole::Command, async |store| command(store).await).await,
    }
}

fn api_client(settings: &Settings, api: &str) -> Result<Client, Exit> {
    let mut client = Client::new(api).or_usage()?;
    client.token = match &settings.api_token {
        None if client.is_of_this_machine() => own_token::load(&settings.data_dir).or_usage()?,
        given => given.clone(),
    };
    Ok(client)
}

/// Sends the events of the queue from now on. The stream is opened again after an error, and
/// events of the time between are missing.
pub async fn listen(client: &dyn QueueClient, sender: &mpsc::Sender<Value>) -> ! {
    loop {
        if let Err(error) = client.forward_events(sender).await {
            tracing::debug!(%error, "event stream failed");
        }
        sleep(AFTER_FAULT).await;
    }
}
