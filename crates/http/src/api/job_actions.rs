//! The actions on one job.

use axum::Json;
use mission_jobs::State as JobState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::{Body, Id, Whole, reason};
use super::jobs::time;
use crate::actions::{Actions, JobAction};
use crate::problem::Answer;

/// The reason for an action.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    pub reason: String,
}

/// The options of a retry.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// `true` to retry even if that undoes newer jobs of the same agent.
    #[serde(default)]
    #[schema(required = false)]
    force: bool,
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// The options of a snooze.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snooze {
    /// The seconds to wait.
    #[schema(value_type = u64, minimum = 1, maximum = 2_592_000)]
    seconds: Whole,
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// The result of an action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Acted {
    /// The id of the job.
    id: Uuid,
    /// The state of the job before.
    was: JobState,
}

async fn acted(actions: &Actions, id: Uuid, action: JobAction, why: &str) -> Answer<Json<Acted>> {
    Ok(Json(Acted { id, was: actions.act(id, action, why).await? }))
}

/// Runs a dead, blocked or waiting job again now.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Retry>), responses((status = 200, description = "The job is ready",
        body = Acted)))]
pub(crate) async fn retry(
    actions: Actions,
    Id(id): Id,
    Body(how): Body<Retry>,
) -> Answer<Json<Acted>> {
    acted(&actions, id, JobAction::Retry { force: how.force }, &how.reason).await
}

/// Delays a job for a time.
#[utoipa::path(post, path = "/jobs/{id}/snooze", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = Snooze,
    responses((status = 200, description = "The job is snoozed", body = Acted)))]
pub(crate) async fn snooze(
    actions: Actions,
    Id(id): Id,
    Body(how): Body<Snooze>,
) -> Answer<Json<Acted>> {
    acted(&actions, id, JobAction::Snooze(time("seconds", how.seconds.0)?), &how.reason).await
}

/// Ends a job.
///
/// A running job stops within seconds, and may have changed its gateway in part.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Why>), responses((status = 200,
        description = "The job is cancelled, or will be", body = Acted)))]
pub(crate) async fn cancel(
    actions: Actions,
    Id(id): Id,
    Body(why): Body<Why>,
) -> Answer<Json<Acted>> {
    acted(&actions, id, JobAction::Cancel, &why.reason).await
}

/// Discards a dead job.
#[utoipa::path(post, path = "/jobs/{id}/discard", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Why>), responses((status = 200,
        description = "The job is cancelled", body = Acted)))]
pub(crate) async fn discard(
    actions: Actions,
    Id(id): Id,
    Body(why): Body<Why>,
) -> Answer<Json<Acted>> {
    acted(&actions, id, JobAction::Discard, &why.reason).await
}

/// Runs a blocked job again now, after its cause was removed.
#[utoipa::path(post, path = "/jobs/{id}/unblock", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Why>), responses((status = 200, description = "The job is ready",
        body = Acted)))]
pub(crate) async fn unblock(
    actions: Actions,
    Id(id): Id,
    Body(why): Body<Why>,
) -> Answer<Json<Acted>> {
    acted(&actions, id, JobAction::Unblock, &why.reason).await
}
