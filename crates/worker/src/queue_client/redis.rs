//! The queue in Redis.

use std::time::Duration;

use futures_util::TryFutureExt;
use mission_jobs::queue::worker::workers::host;
use mission_jobs::queue::{
    AgentPage, AuditEntry, Author, Cursor, Found, GatewayConnection, GatewayDetails, GatewayRecord,
    Group, MAX_AGENTS, MAX_PAGE, Search, StoredConnection, Summary, WorkerRecord,
};
use mission_jobs::{JobRecord, PauseScope, QueueError, State};
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Answer, JobAction, QueueClient, QueueClientError};
use crate::environment;
use crate::open_queue::Store;
use mission_http::api::series::{self, KindStatus, Range};

/// Time that Redis waits for an event before it returns none.
const EVENT_WAIT: Duration = Duration::from_secs(5);

impl QueueClient for Store {
    fn summary(&self) -> Answer<'_, Summary> {
        Box::pin(self.queue.summary().err_into())
    }

    fn search<'a>(
        &'a self,
        search: &'a Search,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> Answer<'a, Found> {
        Box::pin(self.queue.search(search, after, limit.clamp(1, MAX_PAGE)).err_into())
    }

    fn job(&self, id: Uuid) -> Answer<'_, JobRecord> {
        Box::pin(async move { Ok(self.queue.get(id).await?.ok_or(QueueError::Missing { id })?) })
    }

    fn act<'a>(&'a self, id: Uuid, action: JobAction, reason: &'a str) -> Answer<'a, State> {
        Box::pin(async move {
            let (queue, by) = (&self.queue, author());
            Ok(match action {
                JobAction::Retry { force } => queue.retry(id, force, &by, reason).await?,
                JobAction::Unblock => match self.job(id).await?.state {
                    State::Blocked => queue.retry(id, false, &by, reason).await?,
                    state => return Err(QueueClientError::NotBlocked { id, state }),
                },
                JobAction::Snooze(time) => queue.snooze(id, time, &by, reason).await?,
                JobAction::Cancel => queue.cancel(id, &by, reason).await?,
                JobAction::Discard => {
                    queue.discard(id, &by, reason).await?;
                    State::Dead
                }
            })
        })
    }

    fn pause<'a>(
        &'a self,
        scope: &'a PauseScope,
        pause: bool,
        reason: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            if !pause {
                return Ok(self.queue.resume(scope, &author(), reason).await?);
            }
            self.queue.pause(scope, &author(), reason).await?;
            Ok(true)
        })
    }

    fn drain<'a>(&'a self, worker: &'a str, drain: bool, reason: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.queue.drain(worker, drain, &author(), reason).await?) })
    }

    fn failures(&self) -> Answer<'_, Vec<Group>> {
        Box::pin(self.queue.groups(MAX_PAGE).err_into())
    }

    fn gateways(&self) -> Answer<'_, Vec<GatewayRecord>> {
        Box::pin(self.queue.gateways(MAX_PAGE).err_into())
    }

    fn gateway(&self, id: Uuid) -> Answer<'_, GatewayDetails> {
        Box::pin(async move {
            let found = self.queue.gateway_details(id).await?;
            Ok(found.ok_or(QueueError::UnknownGateway { id })?)
        })
    }

    fn agents(&self, gateway: Uuid, after: u64) -> Answer<'_, AgentPage> {
        Box::pin(self.queue.recorded_agents(gateway, after, MAX_AGENTS).err_into())
    }

    fn put_gateway<'a>(
        &'a self,
        gateway: &'a Value,
        reason: &'a str,
    ) -> Answer<'a, StoredConnection> {
        Box::pin(async move {
            let connection = GatewayConnection::new(gateway)
                .map_err(|error| QueueClientError::Problem(error.to_string()))?;
            Ok(self.queue.put_gateway(&connection, &author(), reason).await?)
        })
    }

    fn forget_gateway<'a>(&'a self, id: Uuid, force: bool, reason: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { Ok(self.queue.forget_gateway(id, force, &author(), reason).await?) })
    }

    fn kinds(&self) -> Answer<'_, Vec<KindStatus>> {
        let kinds = series::read_kinds(&self.queue, Range::Hour);
        Box::pin(kinds.map_err(|problem| QueueClientError::Problem(problem.detail)))
    }

    fn workers(&self) -> Answer<'_, Vec<WorkerRecord>> {
        Box::pin(self.queue.workers().err_into())
    }

    fn audit<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AuditEntry>> {
        Box::pin(self.queue.audit(after, limit.clamp(1, MAX_PAGE)).err_into())
    }

    fn forward_events<'a>(&'a self, sender: &'a mpsc::Sender<Value>) -> Answer<'a, ()> {
        Box::pin(async {
            let mut after = self.queue.latest_event().await?;
            loop {
                for (id, event) in self.queue.events(&after, EVENT_WAIT).await? {
                    after = id;
                    let _ = sender.try_send(event);
                }
            }
        })
    }
}

/// Returns the user of the command line, for the audit and the jobs' records.
pub fn author() -> Author {
    let name = std::env::var(environment::USER).ok().filter(|name| !name.is_empty());
    Author::new(name.unwrap_or_else(|| "command line".to_owned()), format!("cli {}", host()))
}
