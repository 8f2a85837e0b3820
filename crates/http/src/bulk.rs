//! One action on all jobs that a search finds, in the background of this process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::StreamExt;
use futures_util::stream::iter;
use mission_jobs::State;
use mission_jobs::queue::Search;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::Caller;
use super::permissions::Action;
use super::problem::Problem;
use super::{App, actions};

/// Most jobs that one bulk acts on.
pub const MAX_JOBS: usize = 10_000;
/// With more than so many, whoever asks says how many.
pub const UNCONFIRMED: usize = 50;
/// Most bulks at once, and how many are remembered.
const AT_ONCE: usize = 4;
const REMEMBERED: usize = 100;
/// How many jobs a bulk acts on at the same time: few, so that Redis has time for others.
const ABREAST: usize = 4;
/// Most errors that are kept.
const ERRORS: usize = 20;

/// What is done to each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BulkAction)]
pub enum BulkAction {
    /// Runs it again now, unless it would undo newer ones.
    Retry,
    /// Lets it wait.
    Snooze,
    /// Ends it.
    Cancel,
    /// Takes it off the list; dead ones only.
    Discard,
    /// Runs it again now; blocked ones only.
    Unblock,
}

/// A bulk that somebody asks for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which jobs.
    pub search: Search,
    /// What is done to them.
    pub deed: BulkAction,
    /// For how long they are snoozed.
    pub wait: Duration,
    /// Why, for the audit.
    pub why: String,
}

/// How far a bulk has come.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Progress {
    /// Its id.
    pub id: Uuid,
    /// What is done.
    pub action: BulkAction,
    /// What was looked for.
    pub q: String,
    /// Who asked for it.
    pub by: String,
    /// How many jobs were found.
    pub matched: usize,
    /// To how many it has been done.
    pub done: usize,
    /// How many refused it, such as because they have got elsewhere meanwhile.
    pub refused: usize,
    /// Whether it has ended.
    pub finished: bool,
    /// What was wrong with the first of those that refused.
    pub errors: Vec<Refused>,
}

/// A job that an action was refused on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Refused {
    /// The job.
    pub id: Uuid,
    /// Why.
    pub message: String,
}

type Shared = Arc<Mutex<Progress>>;

/// The bulks of this process, the newest last.
#[derive(Default)]
pub struct Bulks(Mutex<VecDeque<Shared>>);

impl Bulks {
    /// How far that one has come; none if this process does not know it.
    pub fn get(&self, id: Uuid) -> Option<Progress> {
        let bulks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bulks.iter().map(now).find(|bulk| bulk.id == id)
    }

    /// Makes room and remembers it.
    fn begin(&self, progress: Progress) -> Result<Shared, Problem> {
        let mut bulks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bulks.iter().filter(|bulk| !now(bulk).finished).count() >= AT_ONCE {
            let detail = format!("{AT_ONCE} such actions are running already; wait for one to end");
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

/// How many jobs are found, [`MAX_JOBS`] at most.
pub async fn count(app: &App, caller: &Caller, search: &Search) -> Result<usize, Problem> {
    caller.may(Action::Bulk)?;
    Ok(find(app, search).await?.len())
}

/// Begins one. More than [`UNCONFIRMED`] jobs want a number that is not smaller than theirs, typed
/// by a person who has seen how many there are.
pub async fn begin(
    app: &Arc<App>,
    caller: &Caller,
    order: Order,
    confirm: Option<usize>,
) -> Result<Progress, Problem> {
    caller.may(Action::Bulk)?;
    caller.may(order.deed.action())?;
    let ids = find(app, &order.search).await?;
    if ids.len() > UNCONFIRMED && confirm.is_none_or(|confirmed| confirmed < ids.len()) {
        let detail =
            format!("this concerns {} jobs; send that number as `confirm` to go on", ids.len());
        return Err(Problem::new(StatusCode::CONFLICT, detail).named("/api/docs#confirm"));
    }
    let progress = Progress {
        id: Uuid::now_v7(),
        action: order.deed,
        q: order.search.to_string(),
        by: caller.name.clone(),
        matched: ids.len(),
        done: 0,
        refused: 0,
        finished: false,
        errors: Vec::new(),
    };
    let bulk = app.bulks.begin(progress.clone())?;
    tokio::spawn(run(app.clone(), caller.clone(), order, ids, bulk));
    Ok(progress)
}

async fn run(app: Arc<App>, caller: Caller, order: Order, ids: Vec<Uuid>, bulk: Shared) {
    let id = now(&bulk).id;
    let why = format!("{} (bulk {id})", order.why);
    let (app, caller, order, why) = (&app, &caller, &order, why.trim());
    let each = iter(ids)
        .map(|id| async move { (id, order.deed.to(app, caller, id, order.wait, why).await) });
    let mut each = std::pin::pin!(each.buffer_unordered(ABREAST));
    while let Some((id, done)) = each.next().await {
        let mut progress = bulk.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok(()) => progress.done += 1,
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

/// The jobs, all of them before anything is done, so that none is met twice because it has moved.
async fn find(app: &App, search: &Search) -> Result<Vec<Uuid>, Problem> {
    let found = app.scans.find(&app.queue, search, MAX_JOBS).await?;
    Ok(found.jobs.into_iter().map(|job| job.id).collect())
}

impl BulkAction {
    const fn action(self) -> Action {
        match self {
            Self::Retry | Self::Unblock => Action::Retry,
            Self::Snooze => Action::Snooze,
            Self::Cancel => Action::Cancel,
            Self::Discard => Action::Discard,
        }
    }

    async fn to(
        self,
        app: &App,
        caller: &Caller,
        id: Uuid,
        wait: Duration,
        why: &str,
    ) -> Result<(), Problem> {
        let was: Result<State, Problem> = match self {
            Self::Retry => actions::retry(app, caller, id, false, why).await,
            Self::Snooze => actions::snooze(app, caller, id, wait, why).await,
            Self::Cancel => actions::cancel(app, caller, id, why).await,
            Self::Discard => actions::discard(app, caller, id, why).await,
            Self::Unblock => actions::unblock(app, caller, id, why).await,
        };
        was.map(drop)
    }
}

fn now(bulk: &Shared) -> Progress {
    bulk.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
