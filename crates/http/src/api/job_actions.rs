//! The actions on one job.

use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mission_jobs::State as JobState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::{Body, Id, Whole, reason};
use super::jobs::time;
use crate::App;
use crate::actions::{Actions, JobAction};
use crate::problem::{Answer, Problem};

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

/// The job in the path, and the actions of the caller.
pub(crate) struct OnJob {
    id: Uuid,
    actions: Actions,
}

impl FromRequestParts<Arc<App>> for OnJob {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Answer<Self> {
        let actions = Actions::from_request_parts(parts, app).await?;
        Ok(Self { id: Id::from_request_parts(parts, app).await?.0, actions })
    }
}

impl OnJob {
    async fn act(&self, action: JobAction, why: &str) -> Answer<Json<Acted>> {
        Ok(Json(Acted { id: self.id, was: self.actions.act(self.id, action, why).await? }))
    }
}

/// Runs a dead, blocked or waiting job again now.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Retry>), responses((status = 200, description = "The job is ready",
        body = Acted)))]
pub(crate) async fn retry(job: OnJob, Body(how): Body<Retry>) -> Answer<Json<Acted>> {
    job.act(JobAction::Retry { force: how.force }, &how.reason).await
}

/// Delays a job for a time.
#[utoipa::path(post, path = "/jobs/{id}/snooze", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = Snooze,
    responses((status = 200, description = "The job is snoozed", body = Acted)))]
pub(crate) async fn snooze(job: OnJob, Body(how): Body<Snooze>) -> Answer<Json<Acted>> {
    job.act(JobAction::Snooze(time("seconds", how.seconds.0)?), &how.reason).await
}

/// Ends a job.
///
/// A running job stops within seconds, and may have changed its gateway in part.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Why>), responses((status = 200,
        description = "The job is cancelled, or will be", body = Acted)))]
pub(crate) async fn cancel(job: OnJob, Body(why): Body<Why>) -> Answer<Json<Acted>> {
    job.act(JobAction::Cancel, &why.reason).await
}

/// Discards a dead job.
#[utoipa::path(post, path = "/jobs/{id}/discard", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Why>), responses((status = 200,
        description = "The job is cancelled", body = Acted)))]
pub(crate) async fn discard(job: OnJob, Body(why): Body<Why>) -> Answer<Json<Acted>> {
    job.act(JobAction::Discard, &why.reason).await
}

/// Runs a blocked job again now, after its cause was removed.
#[utoipa::path(post, path = "/jobs/{id}/unblock", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    request_body = inline(Option<Why>), responses((status = 200, description = "The job is ready",
        body = Acted)))]
pub(crate) async fn unblock(job: OnJob, Body(why): Body<Why>) -> Answer<Json<Acted>> {
    job.act(JobAction::Unblock, &why.reason).await
}
