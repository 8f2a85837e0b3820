//! What people and programs do over HTTP: one function for each action, the same for the API and
//! for the pages. Each one asks first whether the caller may, and passes on who they are for the
//! audit.

use std::time::Duration;

use axum::http::StatusCode;
use mission_jobs::queue::{Author, Scope};
use mission_jobs::{Enqueued, Envelope, JobRecord, QueueError, State};
use uuid::Uuid;

use super::App;
use super::access::Caller;
use super::permissions::Action;
use super::problem::Problem;

/// A job, if there is one.
pub async fn job(app: &App, id: Uuid) -> Result<JobRecord, Problem> {
    Ok(app.queue.get(id).await?.ok_or(QueueError::Missing { id })?)
}

/// Puts jobs on the queue, all or none.
pub async fn enqueue(
    app: &App,
    caller: &Caller,
    jobs: &[Envelope],
) -> Result<Vec<Enqueued>, Problem> {
    caller.may(Action::Enqueue)?;
    Ok(app.queue.enqueue(jobs).await?)
}

/// Runs a dead, blocked or waiting job again now. `force` does so even if it undoes what newer jobs
/// did. Returns the state that it was in, as all of these do.
pub async fn retry(
    app: &App,
    caller: &Caller,
    id: Uuid,
    force: bool,
    why: &str,
) -> Result<State, Problem> {
    caller.may(Action::Retry)?;
    Ok(app.queue.retry(id, force, &author(caller), why).await?)
}

/// The same of a blocked job, and no other.
pub async fn unblock(app: &App, caller: &Caller, id: Uuid, why: &str) -> Result<State, Problem> {
    caller.may(Action::Retry)?;
    let state = job(app, id).await?.state;
    if state != State::Blocked {
        let detail = format!("job {id} is {state} and not blocked; see retry");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    retry(app, caller, id, false, why).await
}

/// Lets a job wait for that time.
pub async fn snooze(
    app: &App,
    caller: &Caller,
    id: Uuid,
    time: Duration,
    why: &str,
) -> Result<State, Problem> {
    caller.may(Action::Snooze)?;
    Ok(app.queue.snooze(id, time, &author(caller), why).await?)
}

/// Ends a job that is not wanted any more; a running one is stopped within seconds.
pub async fn cancel(app: &App, caller: &Caller, id: Uuid, why: &str) -> Result<State, Problem> {
    caller.may(Action::Cancel)?;
    Ok(app.queue.cancel(id, &author(caller), why).await?)
}

/// Takes a dead job off the list.
pub async fn discard(app: &App, caller: &Caller, id: Uuid, why: &str) -> Result<State, Problem> {
    caller.may(Action::Discard)?;
    app.queue.discard(id, &author(caller), why).await?;
    Ok(State::Dead)
}

/// Stops all workers from taking such jobs.
pub async fn pause(app: &App, caller: &Caller, scope: &Scope, why: &str) -> Result<(), Problem> {
    caller.may(Action::Pause)?;
    Ok(app.queue.pause(scope, &author(caller), why).await?)
}

/// Lets workers take such jobs again. Returns whether they had been paused.
pub async fn resume(app: &App, caller: &Caller, scope: &Scope, why: &str) -> Result<bool, Problem> {
    caller.may(Action::Pause)?;
    Ok(app.queue.resume(scope, &author(caller), why).await?)
}

/// Has a worker take no more jobs, or take them again. Returns whether that is new.
pub async fn drain(
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
