//! The actions of callers on the queue, for the API and for the pages.
//!
//! Each first checks the caller's permission, and passes the caller to the queue for the audit.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use mission_jobs::queue::{Author, GatewayConnection, PauseScope, StoredConnection};
use mission_jobs::{Enqueued, Envelope, JobRecord, QueueError, State};
use uuid::Uuid;

use super::App;
use super::auth::{Action, Caller};
use super::problem::{Answer, Problem};

/// Returns a job, or 404 if there is none.
pub(crate) async fn job(app: &App, id: Uuid) -> Answer<JobRecord> {
    Ok(app.queue.get(id).await?.ok_or(QueueError::Missing { id })?)
}

/// The actions that a caller may take. Handlers take them as an argument.
#[derive(Clone)]
pub(crate) struct Actions {
    pub app: Arc<App>,
    pub caller: Caller,
}

/// An action on one job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JobAction {
    /// Runs a dead, blocked, waiting or scheduled job now; by force even if the run undoes what newer
    /// jobs did.
    Retry { force: bool },
    /// Runs a blocked job again now. Fails with 409 if the job is not blocked.
    Unblock,
    /// Delays a job for a time.
    Snooze(Duration),
    /// Ends a job. A running job stops within seconds.
    Cancel,
    /// Discards a dead job.
    Discard,
}

impl JobAction {
    /// Returns the action as the table of permissions names it.
    pub(crate) const fn permission(self) -> Action {
        match self {
            Self::Retry { .. } | Self::Unblock => Action::Retry,
            Self::Snooze(_) => Action::Snooze,
            Self::Cancel => Action::Cancel,
            Self::Discard => Action::Discard,
        }
    }
}

impl FromRequestParts<Arc<App>> for Actions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Answer<Self> {
        Ok(Self { app: app.clone(), caller: Caller::from_request_parts(parts, app).await? })
    }
}

impl Actions {
    /// Enqueues jobs, all or none.
    pub(crate) async fn enqueue(&self, jobs: &[Envelope], replicas: u8) -> Answer<Vec<Enqueued>> {
        self.caller.may(Action::Enqueue)?;
        Ok(self.app.queue.enqueue_to_replicas(jobs, replicas).await?)
    }

    /// Acts on a job. Returns the state that the job was in.
    pub(crate) async fn act(&self, id: Uuid, action: JobAction, why: &str) -> Answer<State> {
        self.caller.may(action.permission())?;
        let (queue, by) = (&self.app.queue, self.author());
        Ok(match action {
            JobAction::Retry { force } => queue.retry(id, force, &by, why).await?,
            JobAction::Unblock => {
                let state = job(&self.app, id).await?.state;
                if state != State::Blocked {
                    let detail = format!("job {id} is {state}, not blocked; use retry");
                    return Err(Problem::new(StatusCode::CONFLICT, detail));
                }
                queue.retry(id, false, &by, why).await?
            }
            JobAction::Snooze(time) => queue.snooze(id, time, &by, why).await?,
            JobAction::Cancel => queue.cancel(id, &by, why).await?,
            JobAction::Discard => {
                queue.discard(id, &by, why).await?;
                State::Dead
            }
        })
    }

    /// Stops all workers from claiming the jobs of a scope.
    pub(crate) async fn pause(&self, scope: &PauseScope, why: &str) -> Answer<()> {
        self.caller.may(Action::Pause)?;
        Ok(self.app.queue.pause(scope, &self.author(), why).await?)
    }

    /// Lets workers claim the jobs of a scope again. Returns whether the scope was paused.
    pub(crate) async fn resume(&self, scope: &PauseScope, why: &str) -> Answer<bool> {
        self.caller.may(Action::Pause)?;
        Ok(self.app.queue.resume(scope, &self.author(), why).await?)
    }

    /// Stores the connection of a gateway.
    pub(crate) async fn put_gateway(
        &self,
        connection: &GatewayConnection,
        why: &str,
    ) -> Answer<StoredConnection> {
        self.caller.may(Action::PutGateway)?;
        Ok(self.app.queue.put_gateway(connection, &self.author(), why).await?)
    }

    /// Forgets a gateway; by force even if agents are recorded on it or jobs wait for it.
    pub(crate) async fn forget_gateway(&self, id: Uuid, force: bool, why: &str) -> Answer<()> {
        self.caller.may(Action::ForgetGateway)?;
        Ok(self.app.queue.forget_gateway(id, force, &self.author(), why).await?)
    }

    /// Stops a worker from claiming jobs, or lets it claim jobs again. Returns whether that changed
    /// anything.
    pub(crate) async fn drain(&self, worker: &str, drain: bool, why: &str) -> Answer<bool> {
        self.caller.may(Action::Drain)?;
        Ok(self.app.queue.drain(worker, drain, &self.author(), why).await?)
    }

    fn author(&self) -> Author {
        Author::new(&self.caller.name, &self.caller.from)
    }
}
