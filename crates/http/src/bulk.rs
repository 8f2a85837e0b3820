//! Bulk actions: one action on all jobs that a search finds, in the background of this process.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::StreamExt;
use futures_util::stream::iter;
use mission_jobs::queue::Search;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use super::actions::{Actions, JobAction};
use super::auth::Action;
use super::problem::{Answer, Problem};

/// The most jobs that one bulk action acts on.
pub(crate) const MAX_JOBS: usize = 10_000;
/// The most jobs that need no confirmation.
pub(crate) const UNCONFIRMED: usize = 50;
/// The most bulk actions at once, and the number that is remembered.
const AT_ONCE: usize = 4;
const REMEMBERED: usize = 100;
/// The number of jobs that a bulk action acts on at the same time: few, so that Redis has time for
/// others.
const ABREAST: usize = 4;
/// The most errors that are kept.
const ERRORS: usize = 20;

/// The action on each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BulkAction)]
pub(crate) enum BulkAction {
    /// Runs the job again now, unless that would undo newer jobs.
    Retry,
    /// Delays the job.
    Snooze,
    /// Ends the job.
    Cancel,
    /// Discards the job if it is dead.
    Discard,
    /// Runs the job again now if it is blocked.
    Unblock,
}

/// A request for a bulk action.
#[derive(Debug, Clone)]
pub(crate) struct BulkRequest {
    pub search: Search,
    pub action: BulkAction,
    /// The time for which jobs are snoozed.
    pub wait: Duration,
    /// The reason, for the audit.
    pub why: String,
}

/// The progress of a bulk action.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Progress {
    /// The id of the bulk action.
    pub id: Uuid,
    /// The action on each job.
    pub action: BulkAction,
    /// The search for the jobs.
    pub q: String,
    /// The name of the caller.
    pub by: String,
    /// The number of jobs that were found.
    pub matched: usize,
    /// The number of jobs on which the action succeeded.
    pub done: usize,
    /// The number of jobs that refused the action, such as because their state has changed.
    pub refused: usize,
    /// `true` if the bulk action has ended.
    pub finished: bool,
    /// The errors of the first jobs that refused the action.
    pub errors: Vec<Refused>,
}

/// A job that refused an action.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Refused {
    /// The id of the job.
    pub id: Uuid,
    /// The reason for the refusal.
    pub message: String,
}

type SharedProgress = Arc<Mutex<Progress>>;

/// The bulk actions of this process, newest last.
#[derive(Default)]
pub(crate) struct Bulks(Mutex<VecDeque<SharedProgress>>);

impl Bulks {
    /// Returns the progress of a bulk action of this process.
    pub(crate) fn get(&self, id: Uuid) -> Answer<Progress> {
        let bulks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bulks.iter().map(now).find(|bulk| bulk.id == id).ok_or_else(|| {
            Problem::missing("this worker has no such bulk action; it may have restarted since")
        })
    }

    /// Remembers a bulk action. Fails with 429 if too many are running.
    fn begin(&self, progress: Progress) -> Answer<SharedProgress> {
        let mut bulks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bulks.iter().filter(|bulk| !now(bulk).finished).count() >= AT_ONCE {
            let detail = format!("{AT_ONCE} bulk actions are running; wait until one has ended");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).for_seconds(5));
        }
        if bulks.len() >= REMEMBERED
            && let Some(oldest) = bulks.iter().position(|bulk| now(bulk).finished)
        {
            bulks.remove(oldest);
        }
        let bulk = Arc::new(Mutex::new(progress));
        bulks.push_back(bulk.clone());
        Ok(bulk)
    }
}

/// Counts the jobs that a search finds, [`MAX_JOBS`] at most.
pub(crate) async fn count(actions: &Actions, search: &Search) -> Answer<usize> {
    actions.caller.may(Action::Bulk)?;
    Ok(find(&actions.app, search).await?.len())
}

/// Begins a bulk action. With more than [`UNCONFIRMED`] jobs, `confirm` must not be less than their
/// number: a person who has seen the number types it.
pub(crate) async fn begin(
    actions: &Actions,
    request: BulkRequest,
    confirm: Option<usize>,
) -> Answer<Progress> {
    let Actions { app, caller } = actions;
    caller.may(Action::Bulk)?;
    caller.may(request.action.on_each(request.wait).permission())?;
    let ids = find(app, &request.search).await?;
    if ids.len() > UNCONFIRMED && confirm.is_none_or(|confirmed| confirmed < ids.len()) {
        let detail =
            format!("this affects {} jobs; send that number as `confirm` to continue", ids.len());
        return Err(Problem::new(StatusCode::CONFLICT, detail).named("/api/docs#confirm"));
    }
    let progress = Progress {
        id: Uuid::now_v7(),
        action: request.action,
        q: request.search.to_string(),
        by: caller.name.clone(),
        matched: ids.len(),
        done: 0,
        refused: 0,
        finished: false,
        errors: Vec::new(),
    };
    let bulk = app.bulks.begin(progress.clone())?;
    tokio::spawn(run(actions.clone(), request, ids, bulk));
    Ok(progress)
}

async fn run(actions: Actions, request: BulkRequest, ids: Vec<Uuid>, bulk: SharedProgress) {
    let why = format!("{} (bulk {})", request.why, now(&bulk).id);
    let (actions, action) = (&actions, request.action.on_each(request.wait));
    let why = why.trim();
    let each = iter(ids).map(|id| async move { (id, actions.act(id, action, why).await) });
    let mut each = std::pin::pin!(each.buffer_unordered(ABREAST));
    while let Some((id, done)) = each.next().await {
        let mut progress = bulk.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok(_) => progress.done += 1,
            Err(problem) => {
                progress.refused += 1;
                if progress.errors.len() < ERRORS {
                    progress.errors.push(Refused { id, message: problem.detail });
                }
            }
        }
    }
    bulk.lock().unwrap_or_else(PoisonError::into_inner).finished = true;
}

/// Finds all jobs before any action, so that no job is met twice because it has moved.
async fn find(app: &App, search: &Search) -> Answer<Vec<Uuid>> {
    let found = app.scans.find(&app.queue, search, MAX_JOBS).await?;
    Ok(found.jobs.into_iter().map(|job| job.id).collect())
}

impl BulkAction {
    /// Returns the action on each job. `wait` is the time for which jobs are snoozed.
    const fn on_each(self, wait: Duration) -> JobAction {
        match self {
            Self::Retry => JobAction::Retry { force: false },
            Self::Snooze => JobAction::Snooze(wait),
            Self::Cancel => JobAction::Cancel,
            Self::Discard => JobAction::Discard,
            Self::Unblock => JobAction::Unblock,
        }
    }
}

impl fmt::Display for BulkAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

fn now(bulk: &SharedProgress) -> Progress {
    bulk.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
