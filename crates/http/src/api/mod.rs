//! The API at `/api/v1`. Its `OpenAPI` document is generated from the attributes of the handlers.

mod bulk;
pub(crate) mod docs;
mod events;
mod export;
mod gateways;
mod input;
mod job_actions;
mod jobs;
mod queue;
pub mod series;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use super::App;
use super::problem::Problem;
use docs::Common;

/// The path prefix of the API.
const BASE: &str = "/api/v1";

/// The `OpenAPI` document of all operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "mission-worker",
        description = "Jobs, gateways and workers of a queue. Send a token as `Authorization: \
            Bearer TOKEN`; `worker token` makes one. A body may have 1 MiB. An address may send 50 \
            requests per second, and 200 at once, unless http.requests_per_second sets another \
            limit; beyond it, the response is 429 with Retry-After. A response begins within \
            30 s. Lists have pages: send `next` as `after`. Errors are application/problem+json. \
            Times are milliseconds since 1970 by Redis's clock."
    ),
    servers((url = "/api/v1")),
    security(("token" = [])),
    components(schemas(Problem)),
    modifiers(&Common),
    paths(
        jobs::list, jobs::enqueue, jobs::show, jobs::attempts,
        job_actions::retry, job_actions::snooze, job_actions::cancel, job_actions::discard,
        job_actions::unblock,
        bulk::begin, bulk::progress,
        queue::summary, queue::failures, queue::pauses, queue::pause, queue::resume, queue::audit,
        series::series, series::kinds,
        gateways::list, gateways::show, gateways::put, gateways::forget, gateways::agents,
        workers::list, workers::drain, workers::undrain,
        events::events,
    )
)]
struct Api;

/// Returns the routes of the API.
pub(crate) fn router() -> Router<Arc<App>> {
    let api = Router::new()
        .route("/jobs", get(jobs::list).post(jobs::enqueue))
        .route("/jobs/{id}", get(jobs::show))
        .route("/jobs/{id}/attempts", get(jobs::attempts))
        .route("/jobs/{id}/retry", post(job_actions::retry))
        .route("/jobs/{id}/snooze", post(job_actions::snooze))
        .route("/jobs/{id}/cancel", post(job_actions::cancel))
        .route("/jobs/{id}/discard", post(job_actions::discard))
        .route("/jobs/{id}/unblock", post(job_actions::unblock))
        .route("/bulk", post(bulk::begin))
        .route("/bulk/{id}", get(bulk::progress))
        .route("/summary", get(queue::summary))
        .route("/failures", get(queue::failures))
        .route("/pauses", get(queue::pauses))
        .route("/pause", post(queue::pause))
        .route("/resume", post(queue::resume))
        .route("/audit", get(queue::audit))
        .route("/series", get(series::series))
        .route("/kinds", get(series::kinds))
        .route("/gateways", get(gateways::list))
        .route("/gateways/{id}", get(gateways::show).put(gateways::put).delete(gateways::forget))
        .route("/gateways/{id}/agents", get(gateways::agents))
        .route("/workers", get(workers::list))
        .route("/workers/{name}/drain", post(workers::drain))
        .route("/workers/{name}/undrain", post(workers::undrain))
        .route("/events", get(events::events))
        .route("/openapi.json", get(docs::document));
    Router::new().nest(BASE, api)
}
