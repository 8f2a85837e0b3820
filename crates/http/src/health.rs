//! `/readyz`: the worker takes jobs, which needs Redis. `/metrics`: for Prometheus. Both are open
//! to everybody.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::App;

/// How long Redis may take to answer before the worker counts as not ready.
const REDIS_WITHIN: Duration = Duration::from_secs(2);

/// `/readyz`.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    if *app.stopping.borrow() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping: running jobs finish, no new ones are taken\n",
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
                format!("not ready: Redis does not answer within {} s\n", REDIS_WITHIN.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
        }
    }
}

/// `/metrics`.
pub async fn metrics(State(app): State<Arc<App>>) -> String {
    let stopping = *app.stopping.borrow();
    super::metrics::scrape(&app, stopping).await
}
