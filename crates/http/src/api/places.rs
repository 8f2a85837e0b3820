//! Where jobs run: gateways and workers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mission_jobs::queue::{GatewayRecord, MAX_PAGE, WorkerRecord};

use super::input::{Body, Id};
use super::job_actions::Why;
use super::queue::Changed;
use crate::access::Caller;
use crate::problem::Problem;
use crate::{App, actions};

/// Gateways that jobs came for, the latest first; 200 at most.
#[utoipa::path(get, path = "/gateways", tag = "gateways",
    responses((status = 200, description = "Each with its jobs by \
        state", body = Vec<GatewayRecord>)))]
pub async fn gateways(State(app): State<Arc<App>>) -> Result<Json<Vec<GatewayRecord>>, Problem> {
    Ok(Json(app.queue.gateways(MAX_PAGE).await?))
}

/// One gateway.
#[utoipa::path(get, path = "/gateways/{id}", tag = "gateways", params(("id" = Uuid, Path, description = "The gateway's id")),
    responses((status = 200, description = "The gateway", body = GatewayRecord)))]
pub async fn gateway(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<GatewayRecord>, Problem> {
    let gateway = app.queue.gateway(id).await?;
    let missing =
        || Problem::new(StatusCode::NOT_FOUND, format!("no job has come for a gateway {id}"));
    gateway.map(Json).ok_or_else(missing)
}

/// Workers that have been heard of in the last hour.
#[utoipa::path(get, path = "/workers", tag = "workers",
    responses((status = 200, description = "All of them", body = Vec<WorkerRecord>)))]
pub async fn workers(State(app): State<Arc<App>>) -> Result<Json<Vec<WorkerRecord>>, Problem> {
    Ok(Json(app.queue.workers().await?))
}

/// Has a worker take no more jobs. What it runs goes on.
#[utoipa::path(post, path = "/workers/{name}/drain", tag = "workers", params(("name" = String, Path, description = "Its name")),
    request_body = inline(Option<Why>), responses((status = 200, description = "It takes no \
        more", body = Changed)))]
pub async fn drain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Body(why): Body<Why>,
) -> Result<Json<Changed>, Problem> {
    let changed = actions::drain(&app, &caller, &name, true, &why.reason).await?;
    Ok(Json(Changed { changed }))
}

/// Has a worker take jobs again.
#[utoipa::path(post, path = "/workers/{name}/undrain", tag = "workers", params(("name" = String, Path, description = "Its name")),
    request_body = inline(Option<Why>), responses((status = 200, description = "It takes \
        jobs", body = Changed)))]
pub async fn undrain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    Body(why): Body<Why>,
) -> Result<Json<Changed>, Problem> {
    let changed = actions::drain(&app, &caller, &name, false, &why.reason).await?;
    Ok(Json(Changed { changed }))
}
