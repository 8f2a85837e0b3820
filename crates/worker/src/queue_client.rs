//! The queue as operators reach it: in Redis, or by the API of a worker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mission_jobs::queue::{
    AuditEntry, Cursor, Found, GatewayRecord, Group, MAX_PAGE, Search, Summary, WorkerRecord,
};
use mission_jobs::{JobRecord, QueueError, Scope, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use crate::client::{Client, ClientError};
use crate::commands::author;
use crate::exit::{Exit, OrExit};
use crate::http::api::series::{self, KindStatus, Range};
use crate::http::own_token;
use crate::open_queue::Store;
use crate::private_redis::RedisRole;
use crate::settings::Settings;

/// How long Redis is asked to wait for an event.
const EVENT_WAIT: Duration = Duration::from_secs(5);
/// Pause before events are asked for again after a fault.
const AFTER_FAULT: Duration = Duration::from_secs(2);

/// The queue of the settings.
pub enum Console {
    /// In Redis.
    Redis(Store),
    /// By the API.
    Api(Client),
}

/// Why something could not be shown or done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The API.
    #[error(transparent)]
    Api(#[from] ClientError),
    /// What the API would say, were it asked.
    #[error("{0}")]
    Problem(String),
    /// The job is not in a state for that.
    #[error("job {id} is {state}; only blocked jobs are unblocked, see worker jobs retry")]
    NotBlocked {
        /// The job.
        id: Uuid,
        /// The state that it is in.
        state: State,
    },
}

impl ConsoleError {
    /// Whether it is Redis, or the worker, that cannot be reached.
    pub const fn is_unavailable(&self) -> bool {
        match self {
            Self::Queue(error) => error.is_unavailable(),
            Self::Api(error) => {
                matches!(error, ClientError::Unreachable { .. } | ClientError::Unavailable { .. })
            }
            Self::NotBlocked { .. } | Self::Problem(_) => false,
        }
    }

    /// Whether it says something of one job, and others may fare better.
    pub const fn is_of_one_job(&self) -> bool {
        !self.is_unavailable()
            && !matches!(
                self,
                Self::Api(ClientError::Forbidden { .. } | ClientError::Strange { .. })
            )
    }

    /// The exit of a command that met it.
    pub fn exit(self) -> Exit {
        let (away, usage) =
            (self.is_unavailable(), !self.is_unavailable() && !self.is_of_one_job());
        let end: Result<(), Self> = Err(self);
        let end = if usage {
            end.or_usage()
        } else if away {
            end.or_unreachable()
        } else {
            end.or_failed()
        };
        end.expect_err("it is an error")
    }
}

type Answer<T> = Result<T, ConsoleError>;

/// What the API says of an action on a job.
#[derive(Deserialize)]
struct Acted {
    was: State,
}

/// What the API says of an action on something else.
#[derive(Deserialize)]
struct Changed {
    changed: bool,
}

impl Console {
    /// The API, if one is given; else the queue of the settings.
    pub async fn open(settings: &Settings, api: Option<&str>) -> Result<Self, Exit> {
        match api {
            Some(api) => {
                let client = Client::new(api).or_usage()?;
                let token = match &settings.access.api_token {
                    None if client.is_of_this_machine() => {
                        own_token::load(&settings.data_dir).or_usage()?
                    }
                    given => given.clone(),
                };
                Ok(Self::Api(client.with_token(token)))
            }
            None => Ok(Self::Redis(Store::open(settings, RedisRole::Command).await?)),
        }
    }

    /// Lets go of it.
    pub async fn close(self) {
        if let Self::Redis(store) = self {
            store.close().await;
        }
    }

    /// The queue at a glance.
    pub async fn summary(&self) -> Answer<Summary> {
        match self {
            Self::Redis(store) => Ok(store.queue.summary().await?),
            Self::Api(api) => Ok(api.get(&["summary"], &[]).await?),
        }
    }

    /// A page of jobs.
    pub async fn search(
        &self,
        search: &Search,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Answer<Found> {
        let limit = limit.clamp(1, MAX_PAGE);
        match self {
            Self::Redis(store) => Ok(store.queue.search(search, after, limit).await?),
            Self::Api(api) => {
                let mut query = vec![("q", search.to_string()), ("limit", limit.to_string())];
                query.extend(after.map(|after| ("after", after.to_string())));
                Ok(api.get(&["jobs"], &query).await?)
            }
        }
    }

    /// Everything about a job.
    pub async fn job(&self, id: Uuid) -> Answer<JobRecord> {
        match self {
            Self::Redis(store) => {
                Ok(store.queue.get(id).await?.ok_or(QueueError::Missing { id })?)
            }
            Self::Api(api) => Ok(api.get(&["jobs", &id.to_string()], &[]).await?),
        }
    }

    /// Runs a dead, blocked or waiting job again now. Returns the state that it was in, as the
    /// others do.
    pub async fn retry(&self, id: Uuid, force: bool, why: &str) -> Answer<State> {
        match self {
            Self::Redis(store) => Ok(store.queue.retry(id, force, &author(), why).await?),
            Self::Api(api) => {
                act(api, id, "retry", &json!({ "force": force, "reason": why })).await
            }
        }
    }

    /// The same of a blocked job, and no other.
    pub async fn unblock(&self, id: Uuid, why: &str) -> Answer<State> {
        match self {
            Self::Redis(_) => match self.job(id).await?.state {
                State::Blocked => self.retry(id, false, why).await,
                state => Err(ConsoleError::NotBlocked { id, state }),
            },
            Self::Api(api) => act(api, id, "unblock", &json!({ "reason": why })).await,
        }
    }

    /// Lets a job wait for that long.
    pub async fn snooze(&self, id: Uuid, time: Duration, why: &str) -> Answer<State> {
        match self {
            Self::Redis(store) => Ok(store.queue.snooze(id, time, &author(), why).await?),
            Self::Api(api) => {
                let seconds = time.as_secs().max(1);
                act(api, id, "snooze", &json!({ "seconds": seconds, "reason": why })).await
            }
        }
    }

    /// Ends a job that is not wanted any more.
    pub async fn cancel(&self, id: Uuid, why: &str) -> Answer<State> {
        match self {
            Self::Redis(store) => Ok(store.queue.cancel(id, &author(), why).await?),
            Self::Api(api) => act(api, id, "cancel", &json!({ "reason": why })).await,
        }
    }

    /// Takes a dead job off the list.
    pub async fn discard(&self, id: Uuid, why: &str) -> Answer<State> {
        match self {
            Self::Redis(store) => {
                store.queue.discard(id, &author(), why).await?;
                Ok(State::Dead)
            }
            Self::Api(api) => act(api, id, "discard", &json!({ "reason": why })).await,
        }
    }

    /// Stops all workers from taking such jobs, or lets them. Returns whether that is new, where
    /// that can be told.
    pub async fn pause(&self, scope: &Scope, pause: bool, why: &str) -> Answer<bool> {
        match self {
            Self::Redis(store) if pause => {
                store.queue.pause(scope, &author(), why).await?;
                Ok(true)
            }
            Self::Redis(store) => Ok(store.queue.resume(scope, &author(), why).await?),
            Self::Api(api) => {
                let action = if pause { "pause" } else { "resume" };
                changed(api, &[action], &json!({ "scope": scope, "reason": why })).await
            }
        }
    }

    /// Has a worker take no more jobs, or take them again. Returns whether that is new.
    pub async fn drain(&self, worker: &str, drain: bool, why: &str) -> Answer<bool> {
        match self {
            Self::Redis(store) => Ok(store.queue.drain(worker, drain, &author(), why).await?),
            Self::Api(api) => {
                let action = if drain { "drain" } else { "undrain" };
                changed(api, &["workers", worker, action], &json!({ "reason": why })).await
            }
        }
    }

    /// Failures that jobs have not got past, in groups.
    pub async fn failures(&self) -> Answer<Vec<Group>> {
        match self {
            Self::Redis(store) => Ok(store.queue.groups(MAX_PAGE).await?),
            Self::Api(api) => Ok(api.get(&["failures"], &[]).await?),
        }
    }

    /// The gateways that jobs came for latest.
    pub async fn gateways(&self) -> Answer<Vec<GatewayRecord>> {
        match self {
            Self::Redis(store) => Ok(store.queue.gateways(MAX_PAGE).await?),
            Self::Api(api) => Ok(api.get(&["gateways"], &[]).await?),
        }
    }

    /// How each kind of job fared in the last hour.
    pub async fn kinds(&self) -> Answer<Vec<KindStatus>> {
        match self {
            Self::Redis(store) => {
                let kinds = series::read_kinds(&store.queue, Range::Hour).await;
                kinds.map_err(|problem| ConsoleError::Problem(problem.detail))
            }
            Self::Api(api) => Ok(api.get(&["kinds"], &[]).await?),
        }
    }

    /// The workers that have been heard of lately.
    pub async fn workers(&self) -> Answer<Vec<WorkerRecord>> {
        match self {
            Self::Redis(store) => Ok(store.queue.workers().await?),
            Self::Api(api) => Ok(api.get(&["workers"], &[]).await?),
        }
    }

    /// What people did, newest first.
    pub async fn audit(&self, after: Option<&str>, limit: usize) -> Answer<Vec<AuditEntry>> {
        let limit = limit.clamp(1, MAX_PAGE);
        match self {
            Self::Redis(store) => Ok(store.queue.audit(after, limit).await?),
            Self::Api(api) => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(after.map(|after| ("after", after.to_owned())));
                Ok(api.get(&["audit"], &query).await?)
            }
        }
    }
}

/// How many events may wait for whoever reads them; more are left out.
const EVENTS_AHEAD: usize = 100;

impl Console {
    /// The events of the queue from now on, as they happen; ends when nobody takes them any more.
    /// After a fault, what happened meanwhile may be missing.
    pub fn listen(self: &Arc<Self>) -> mpsc::Receiver<Value> {
        let (sender, events) = mpsc::channel(EVENTS_AHEAD);
        let console = Arc::clone(self);
        tokio::spawn(async move {
            while !sender.is_closed() {
                if let Err(error) = console.pass_on(&sender).await {
                    tracing::debug!(%error, "events cannot be read");
                }
                sleep(AFTER_FAULT).await;
            }
        });
        events
    }

    async fn pass_on(&self, sender: &mpsc::Sender<Value>) -> Answer<()> {
        match self {
            Self::Redis(store) => {
                let mut after = store.queue.latest_event().await?;
                while !sender.is_closed() {
                    for (id, event) in store.queue.events(&after, EVENT_WAIT).await? {
                        after = id;
                        // One that does not fit is old by the time it is read.
                        let _ = sender.try_send(event);
                    }
                }
            }
            Self::Api(api) => {
                let mut events = std::pin::pin!(api.events().await?);
                while let (Some(event), false) = (events.next().await, sender.is_closed()) {
                    let _ = sender.try_send(event);
                }
            }
        }
        Ok(())
    }
}

async fn act(api: &Client, id: Uuid, action: &str, body: &Value) -> Answer<State> {
    let Acted { was } = api.post(&["jobs", &id.to_string(), action], body).await?;
    Ok(was)
}

async fn changed(api: &Client, path: &[&str], body: &Value) -> Answer<bool> {
    let Changed { changed } = api.post(path, body).await?;
    Ok(changed)
}
