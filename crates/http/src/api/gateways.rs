//! The gateways of the queue.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mission_jobs::queue::{GatewayRecord, MAX_PAGE};

use super::input::Id;
use crate::App;
use crate::problem::Problem;

/// Lists the gateways that have jobs, most recently used first, 200 at most.
#[utoipa::path(get, path = "/gateways", tag = "gateways",
    responses((status = 200, description = "The gateways, each with its jobs by state",
        body = Vec<GatewayRecord>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<GatewayRecord>>, Problem> {
    Ok(Json(app.queue.gateways(MAX_PAGE).await?))
}

/// Returns a gateway by its id.
#[utoipa::path(get, path = "/gateways/{id}", tag = "gateways",
    params(("id" = Uuid, Path, description = "The id of the gateway")),
    responses((status = 200, description = "The gateway", body = GatewayRecord)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<GatewayRecord>, Problem> {
    let gateway = app.queue.gateway(id).await?;
    let missing =
        || Problem::new(StatusCode::NOT_FOUND, format!("no job was enqueued for gateway {id}"));
    gateway.map(Json).ok_or_else(missing)
}
