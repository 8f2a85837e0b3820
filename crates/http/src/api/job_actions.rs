//! What can be done to one job.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mission_jobs::State as JobState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::{Body, Id, Whole, reason};
use super::jobs::time;
use crate::access::Caller;
use crate::problem::Problem;
use crate::{App, actions};

/// Why something is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    pub reason: String,
}

/// How to retry.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Even if newer jobs of the same agent have come since, which it would undo.
    #[serde(default)]
    #[schema(required = false)]
    force: bool,
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// How long to snooze.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Snooze {
    /// For so many seconds.
    #[schema(value_type = u64, minimum = 1, maximum = 2_592_000)]
    seconds: Whole,
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// What was done to which job.
#[derive(Debug, Serialize, ToSchema)]
pub struct Acted {
    /// The job.
    id: Uuid,
    /// The state that it was in.
    was: JobState,
}

/// Runs a dead, blocked or waiting job again now.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = Uuid, Path, description = "The job's id")),
    request_body = inline(Option<Retry>), responses((status = 200, description = "It is \
        ready", body = Acted)))]
pub async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
    Body(how): Body<Retry>,
) -> Result<Json<Acted>, Problem> {
    let was = actions::retry(&app, &caller, id, how.force, &how.reason).await?;
    Ok(Json(Acted { id, was }))
}

/// Lets a job wait for a time.
#[utoipa::path(post, path = "/jobs/{id}/snooze", tag = "jobs", params(("id" = Uuid, Path, description = "The job's id")),
    request_body = Snooze, responses((status = 200, description = "It is snoozed", body = Acted)))]
pub async fn snooze(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
    Body(how): Body<Snooze>,
) -> Result<Json<Acted>, Problem> {
    let was =
        actions::snooze(&app, &caller, id, time("seconds", how.seconds.0)?, &how.reason).await?;
    Ok(Json(Acted { id, was }))
}

/// Ends a job that is not wanted any more.
///
/// A running one is stopped within seconds, and its gateway may have been changed in part.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = Uuid, Path, description = "The job's id")),
    request_body = inline(Option<Why>), responses((status = 200, description = "It is cancelled, \
        or will be", body = Acted)))]
pub async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
    Body(why): Body<Why>,
) -> Result<Json<Acted>, Problem> {
    let was = actions::cancel(&app, &caller, id, &why.reason).await?;
    Ok(Json(Acted { id, was }))
}

/// Takes a dead job off the list.
#[utoipa::path(post, path = "/jobs/{id}/discard", tag = "jobs", params(("id" = Uuid, Path, description = "The job's id")),
    request_body = inline(Option<Why>), responses((status = 200, description = "It is \
        cancelled", body = Acted)))]
pub async fn discard(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
    Body(why): Body<Why>,
) -> Result<Json<Acted>, Problem> {
    let was = actions::discard(&app, &caller, id, &why.reason).await?;
    Ok(Json(Acted { id, was }))
}

/// Runs a blocked job again now, because what it waited for has been done.
#[utoipa::path(post, path = "/jobs/{id}/unblock", tag = "jobs", params(("id" = Uuid, Path, description = "The job's id")),
    request_body = inline(Option<Why>), responses((status = 200, description = "It is \
        ready", body = Acted)))]
pub async fn unblock(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
    Body(why): Body<Why>,
) -> Result<Json<Acted>, Problem> {
    let was = actions::unblock(&app, &caller, id, &why.reason).await?;
    Ok(Json(Acted { id, was }))
}
