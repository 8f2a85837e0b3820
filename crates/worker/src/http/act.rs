//! What people and programs do over HTTP: one function for each action, the same for the API and for the pages. Each one
//! asks first whether the caller may.

use mission_jobs::queue::{Pause, Scope};
use mission_jobs::{Enqueued, Envelope, State};
use uuid::Uuid;

use super::App;
use super::access::Caller;
use super::action::Action;
use super::problem::Problem;

/// Puts jobs on the queue, all or none.
pub async fn enqueue(app: &App, caller: &Caller, jobs: &[Envelope]) -> Result<Vec<Enqueued>, Problem> {
    caller.may(Action::Enqueue)?;
    Ok(app.queue.enqueue(jobs).await?)
}

/// Runs a dead, blocked or waiting job again now. `force` does so even if it undoes what newer jobs did.
pub async fn retry(app: &App, caller: &Caller, id: Uuid, force: bool, _why: &str) -> Result<State, Problem> {
    caller.may(Action::Retry)?;
    app.queue.retry(id, force, &caller.name).await?;
    Ok(State::Ready)
}

/// Ends a job that is not wanted any more. Returns the state that it was in; a running one is stopped within seconds.
pub async fn cancel(app: &App, caller: &Caller, id: Uuid, why: &str) -> Result<State, Problem> {
    caller.may(Action::Cancel)?;
    Ok(app.queue.cancel(id, &caller.name, why).await?)
}

/// Takes a dead job off the list.
pub async fn discard(app: &App, caller: &Caller, id: Uuid, why: &str) -> Result<State, Problem> {
    caller.may(Action::Discard)?;
    Ok(app.queue.cancel(id, &caller.name, why).await?)
}

/// Stops all workers from taking such jobs.
pub async fn pause(app: &App, caller: &Caller, scope: &Scope, why: &str) -> Result<(), Problem> {
    caller.may(Action::Pause)?;
    Ok(app.queue.pause(scope, &caller.name, why).await?)
}

/// Lets workers take such jobs again. Returns whether they had been paused.
pub async fn resume(app: &App, caller: &Caller, scope: &Scope, why: &str) -> Result<bool, Problem> {
    caller.may(Action::Pause)?;
    Ok(app.queue.resume(scope, &caller.name, why).await?)
}

/// What is paused.
pub async fn pauses(app: &App, caller: &Caller) -> Result<Vec<Pause>, Problem> {
    caller.may(Action::Read)?;
    Ok(app.queue.paused().await?)
}
