//! The gateways of the queue.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mission_jobs::queue::{GatewayRecord, MAX_PAGE};

use super::input::Id;
use crate::App;
use crate::problem::{Answer, Problem};

/// Lists the gateways that have jobs, most recently used first, 200 at most.
#[utoipa::path(get, path = "/gateways", tag = "gateways",
    responses((status = 200, description = "The gateways, each with its jobs by state",
        body = Vec<GatewayRecord>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<GatewayRecord>>> {
    Ok(Json(app.queue.gateways(MAX_PAGE).await?))
}

/// Returns a gateway by its id.
#[utoipa::path(get, path = "/gateways/{id}", tag = "gateways",
    params(("id" = Uuid, Path, description = "The id of the gateway")),
    responses((status = 200, description = "The gateway", body = GatewayRecord)))]
pub(crate) async fn show(State(app): State<Arc<App>>, Id(id): Id) -> Answer<Json<GatewayRecord>> {
    let missing = || Problem::missing(format!("no job was enqueued for gateway {id}"));
    app.queue.gateway(id).await?.map(Json).ok_or_else(missing)
}
