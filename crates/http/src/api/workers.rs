//! The workers of the queue.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use mission_jobs::queue::WorkerRecord;

use super::input::Body;
use super::job_actions::Why;
use super::queue::Changed;
use crate::App;
use crate::actions::Actions;
use crate::problem::Answer;

/// Lists the workers that sent a heartbeat in the last hour.
#[utoipa::path(get, path = "/workers", tag = "workers",
    responses((status = 200, description = "The workers", body = Vec<WorkerRecord>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<WorkerRecord>>> {
    Ok(Json(app.queue.workers().await?))
}

/// Stops a worker from claiming jobs. Its running jobs continue.
#[utoipa::path(post, path = "/workers/{name}/drain", tag = "workers",
    params(("name" = String, Path, description = "The name of the worker")),
    request_body = inline(Option<Why>),
    responses((status = 200, description = "The worker is draining", body = Changed)))]
pub(crate) async fn drain(
    actions: Actions,
    Path(name): Path<String>,
    Body(why): Body<Why>,
) -> Answer<Json<Changed>> {
    Ok(Json(Changed { changed: actions.drain(&name, true, &why.reason).await? }))
}

/// Lets a drained worker claim jobs again.
#[utoipa::path(post, path = "/workers/{name}/undrain", tag = "workers",
    params(("name" = String, Path, description = "The name of the worker")),
    request_body = inline(Option<Why>),
    responses((status = 200, description = "The worker claims jobs", body = Changed)))]
pub(crate) async fn undrain(
    actions: Actions,
    Path(name): Path<String>,
    Body(why): Body<Why>,
) -> Answer<Json<Changed>> {
    Ok(Json(Changed { changed: actions.drain(&name, false, &why.reason).await? }))
}
