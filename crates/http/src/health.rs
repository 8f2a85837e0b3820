//! `/readyz`, which reports whether the worker claims jobs, and `/metrics` for Prometheus. Both
//! need no authentication.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::App;

/// The time within which Redis must answer for the worker to be ready.
const REDIS_WITHIN: Duration = Duration::from_secs(2);

/// Handles `/readyz`: 200 if the worker claims jobs, 503 with the reason if not.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    if *app.stopping.borrow() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping: running jobs finish, no new jobs are claimed\n",
        )
            .into_response();
    }
    match timeout(REDIS_WITHIN, app.queue.counts()).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(error)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")).into_response()
        }
        Err(_) => {
            let reason =
                format!("not ready: Redis did not answer within {} s\n", REDIS_WITHIN.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
        }
    }
}

/// Handles `/metrics`: the metrics in the text format of Prometheus.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> String {
    let stopping = *app.stopping.borrow();
    super::metrics::scrape(&app, stopping).await
}
