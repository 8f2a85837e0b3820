//! The actions of callers on the queue, one function each, for the API and for the pages.
//!
//! Each function first checks the caller's permission, and passes the caller to the queue for the
//! audit.

use std::time::Duration;

use axum::http::StatusCode;
use mission_jobs::queue::{Author, Scope};
use mission_jobs::{Enqueued, Envelope, JobRecord, QueueError, State};
use uuid::Uuid;

use super::App;
use super::auth::{Action, Caller};
use super::problem::Problem;

/// Returns a job, or 404 if there is none.
pub(crate) async fn job(app: &App, id: Uuid) -> Result<JobRecord, Problem> {
    Ok(app.queue.get(id).await?.ok_or(QueueError::Missing { id })?)
}

/// Enqueues jobs, all or none.
pub(crate) async fn enqueue(
    app: &App,
    caller: &Caller,
    jobs: &[Envelope],
) -> Result<Vec<Enqueued>, Problem> {
    caller.may(Action::Enqueue)?;
    Ok(app.queue.enqueue(jobs).await?)
}

/// Runs a dead, blocked or waiting job again now. `force` does so even if the run undoes what newer
/// jobs did. Returns the state that the job was in, as the following functions do.
pub(crate) async fn retry(
    app: &App,
    caller: &Caller,
    id: Uuid,
    force: bool,
    why: &str,
) -> Result<State, Problem> {
    caller.may(Action::Retry)?;
    Ok(app.queue.retry(id, force, &author(caller), why).await?)
}

/// Runs a blocked job again now. Fails with 409 if the job is not blocked.
pub(crate) async fn unblock(
    app: &App,
    caller: &Caller,
    id: Uuid,
    why: &str,
) -> Result<State, Problem> {
    caller.may(Action::Retry)?;
    let state = job(app, id).await?.state;
    if state != State::Blocked {
        let detail = format!("job {id} is {state}, not blocked; use retry");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    retry(app, caller, id, false, why).await
}

/// Delays a job for a time.
pub(crate) async fn snooze(
    app: &App,
    caller: &Caller,
    id: Uuid,
    time: Duration,
    why: &str,
) -> Result<State, Problem> {
    caller.may(Action::Snooze)?;
    Ok(app.queue.snooze(id, time, &author(caller), why).await?)
}

/// Ends a job. A running job stops within seconds.
pub(crate) async fn cancel(
    app: &App,
    caller: &Caller,
    id: Uuid,
    why: &str,
) -> Result<State, Problem> {
    caller.may(Action::Cancel)?;
    Ok(app.queue.cancel(id, &author(caller), why).await?)
}

/// Discards a dead job.
pub(crate) async fn discard(
    app: &App,
    caller: &Caller,
    id: Uuid,
    why: &str,
) -> Result<State, Problem> {
    caller.may(Action::Discard)?;
    app.queue.discard(id, &author(caller), why).await?;
    Ok(State::Dead)
}

/// Stops all workers from claiming the jobs of a scope.
pub(crate) async fn pause(
    app: &App,
    caller: &Caller,
    scope: &Scope,
    why: &str,
) -> Result<(), Problem> {
    caller.may(Action::Pause)?;
    Ok(app.queue.pause(scope, &author(caller), why).await?)
}

/// Lets workers claim the jobs of a scope again. Returns whether the scope was paused.
pub(crate) async fn resume(
    app: &App,
    caller: &Caller,
    scope: &Scope,
    why: &str,
) -> Result<bool, Problem> {
    caller.may(Action::Pause)?;
    Ok(app.queue.resume(scope, &author(caller), why).await?)
}

/// Stops a worker from claiming jobs, or lets it claim jobs again. Returns whether that changed
/// anything.
pub(crate) async fn drain(
    app: &App,
    caller: &Caller,
    worker: &str,
    drain: bool,
    why: &str,
) -> Result<bool, Problem> {
    caller.may(Action::Drain)?;
    Ok(app.queue.drain(worker, drain, &author(caller), why).await?)
}

fn author(caller: &Caller) -> Author {
    Author::new(&caller.name, &caller.from)
}
