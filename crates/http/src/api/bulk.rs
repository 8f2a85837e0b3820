//! Bulk actions: one action on all jobs that a search finds.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::input::{Body, Id, Whole, reason};
use super::jobs::time;
use crate::App;
use crate::actions::Actions;
use crate::bulk::{self, BulkAction, BulkRequest, MAX_JOBS, Progress};
use crate::problem::{Answer, Problem};

/// A bulk action and the search for its jobs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk {
    /// The search for the jobs, as in a list.
    #[schema(max_length = 500)]
    q: String,
    /// The action on each job.
    action: BulkAction,
    /// `true` to count the jobs and do nothing.
    #[serde(default)]
    #[schema(required = false)]
    preview: bool,
    /// The seconds for which to snooze the jobs.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 2_592_000)]
    seconds: Option<Whole>,
    /// The number of jobs that you expect. It is needed for more than 50 jobs, and must not be less
    /// than their number.
    #[schema(value_type = Option<u64>)]
    confirm: Option<Whole>,
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// The number of jobs that the action would affect.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// The number of jobs that are found.
    matched: usize,
    /// `true` if there are more: the action affects the first 10,000.
    more: bool,
}

/// Takes an action on all jobs that a search finds, in the background, or counts the jobs.
#[utoipa::path(post, path = "/bulk", tag = "jobs", request_body = Bulk, responses(
    (status = 200, description = "The number of jobs, with `preview`", body = Preview),
    (status = 202, description = "The action has begun", body = Progress),
))]
pub(crate) async fn begin(actions: Actions, Body(bulk): Body<Bulk>) -> Answer<Response> {
    let search = Problem::parse("q", &bulk.q)?;
    if bulk.preview {
        let matched = bulk::count(&actions, &search).await?;
        return Ok(Json(Preview { matched, more: matched == MAX_JOBS }).into_response());
    }
    let wait = match (bulk.action, bulk.seconds) {
        (BulkAction::Snooze, None) => {
            return Err(Problem::wrong("seconds", "set the seconds for which to snooze"));
        }
        (_, None) => Duration::ZERO,
        (_, Some(seconds)) => time("seconds", seconds.0)?,
    };
    let confirm = bulk.confirm.map(|Whole(confirm)| usize::try_from(confirm).unwrap_or(usize::MAX));
    let request = BulkRequest { search, action: bulk.action, wait, why: bulk.reason };
    let progress = bulk::begin(&actions, request, confirm).await?;
    Ok((StatusCode::ACCEPTED, Json(progress)).into_response())
}

/// Returns the progress of a bulk action. Ask the worker that began it.
#[utoipa::path(get, path = "/bulk/{id}", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the bulk action")),
    responses((status = 200, description = "The progress", body = Progress)))]
pub(crate) async fn progress(State(app): State<Arc<App>>, Id(id): Id) -> Answer<Json<Progress>> {
    app.bulks.get(id).map(Json)
}
