//! The API at `/api/v1`. Its description is made from what stands at each handler.

pub mod bulk;
pub mod docs;
mod events;
mod export;
pub mod input;
pub mod job_actions;
pub mod jobs;
mod places;
mod queue;
pub mod series;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use super::App;
use super::problem::Problem;
use docs::Common;

/// Where it begins.
pub const BASE: &str = "/api/v1";

/// The description of all of it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "mission-worker",
        description = "Jobs, gateways and workers of a queue. Send a token as `Authorization: \
            Bearer TOKEN`; `worker token` \
            makes one. A body has 1 MiB at most; one address may send 50 requests a second, 200 \
            at once, unless \
            http.requests_per_second says otherwise, and gets 429 with Retry-After beyond that; \
            an answer begins within 30 s. \
            Lists come in pages: send `next` as `after`. What is wrong is said as \
            application/problem+json. Times are \
            milliseconds since 1970 by Redis's clock."
    ),
    servers((url = "/api/v1")),
    security(("token" = [])),
    components(schemas(Problem)),
    modifiers(&Common),
    paths(
        jobs::list, jobs::enqueue, jobs::show, jobs::attempts,
        job_actions::retry, job_actions::snooze, job_actions::cancel, job_actions::discard, job_actions::unblock,
        bulk::begin, bulk::progress,
        queue::summary, queue::failures, queue::pauses, queue::pause, queue::resume, queue::audit,
        series::series, series::kinds,
        places::gateways, places::gateway, places::workers, places::drain, places::undrain,
        events::events,
    )
)]
struct Api;

/// All of it.
pub fn router() -> Router<Arc<App>> {
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
        .route("/gateways", get(places::gateways))
        .route("/gateways/{id}", get(places::gateway))
        .route("/workers", get(places::workers))
        .route("/workers/{name}/drain", post(places::drain))
        .route("/workers/{name}/undrain", post(places::undrain))
        .route("/events", get(events::events))
        .route("/openapi.json", get(docs::document));
    Router::new().nest(BASE, api)
}
