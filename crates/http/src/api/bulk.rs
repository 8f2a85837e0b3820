//! One action on all jobs that a search finds.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::input::{Body, Id, Whole, reason};
use super::jobs::{search, time};
use crate::App;
use crate::access::Caller;
use crate::bulk::{self, BulkAction, MAX_JOBS, Order, Progress};
use crate::problem::Problem;

/// What to do to which jobs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// Which jobs: a search as in a list.
    #[schema(max_length = 500)]
    q: String,
    /// What is done to them.
    action: BulkAction,
    /// Only count them.
    #[serde(default)]
    #[schema(required = false)]
    preview: bool,
    /// For how long to snooze.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 2_592_000)]
    seconds: Option<Whole>,
    /// How many jobs you expect; needed for more than 50, and not less than there are.
    #[schema(value_type = Option<u64>)]
    confirm: Option<Whole>,
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// What it would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// How many jobs are found.
    matched: usize,
    /// There are more; it acts on the first 10,000.
    more: bool,
}

/// Does one thing to all jobs that a search finds, in the background; or counts them.
#[utoipa::path(post, path = "/bulk", tag = "jobs", request_body = Bulk, responses(
    (status = 200, description = "With `preview`: how many there are", body = Preview),
    (status = 202, description = "It has begun", body = Progress),
))]
pub async fn begin(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(bulk): Body<Bulk>,
) -> Result<Response, Problem> {
    let search = search(&bulk.q)?;
    if bulk.preview {
        let matched = bulk::count(&app, &caller, &search).await?;
        return Ok(Json(Preview { matched, more: matched == MAX_JOBS }).into_response());
    }
    let wait = match (bulk.action, bulk.seconds) {
        (BulkAction::Snooze, None) => {
            return Err(Problem::wrong("seconds", "say for how long to snooze"));
        }
        (_, None) => Duration::ZERO,
        (_, Some(seconds)) => time("seconds", seconds.0)?,
    };
    let confirm = bulk.confirm.map(|Whole(confirm)| usize::try_from(confirm).unwrap_or(usize::MAX));
    let order = Order { search, deed: bulk.action, wait, why: bulk.reason };
    let progress = bulk::begin(&app, &caller, order, confirm).await?;
    Ok((StatusCode::ACCEPTED, Json(progress)).into_response())
}

/// How far it has come. The worker that began it knows.
#[utoipa::path(get, path = "/bulk/{id}", tag = "jobs", params(("id" = Uuid, Path, description = "Its id")),
    responses((status = 200, description = "So far", body = Progress)))]
pub async fn progress(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Progress>, Problem> {
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "this worker knows no such action; it may have been started anew",
        )
    };
    app.bulks.get(id).map(Json).ok_or_else(missing)
}
