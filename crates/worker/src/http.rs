//! Health and metrics over HTTP.
//!
//! `/healthz`: the process is alive. `/readyz`: it takes jobs, which needs Redis. `/metrics`: for Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use mission_jobs::Queue;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::events::QueueCounted;
use crate::exit::{Exit, OrExit};

/// How long Redis may take to answer before the worker counts as not ready.
const REDIS_WITHIN: Duration = Duration::from_secs(2);

/// What the pages show.
pub struct Pages {
    /// The queue.
    pub queue: Queue,
    /// The numbers.
    pub metrics: PrometheusHandle,
    /// True once the worker stops taking jobs.
    pub stopping: watch::Receiver<bool>,
}

/// Begins to listen; serves until the process ends. Returns the address, whose port may have been chosen by the system.
pub async fn serve(addr: SocketAddr, pages: Pages) -> Result<SocketAddr, Exit> {
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}; set another http.addr (MISSION_HTTP_ADDR)"))
        .or_usage()?;
    let addr = listener.local_addr().or_usage()?;
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(pages));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "http ended");
        }
    });
    Ok(addr)
}

async fn ready(State(pages): State<Arc<Pages>>) -> Response {
    if *pages.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping: running jobs finish, no new ones are taken\n")
            .into_response();
    }
    match timeout(REDIS_WITHIN, pages.queue.counts()).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")).into_response(),
        Err(_) => {
            let reason = format!("not ready: Redis does not answer within {} s\n", REDIS_WITHIN.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
        }
    }
}

async fn metrics(State(pages): State<Arc<Pages>>) -> String {
    // Without Redis the other numbers still count.
    if let Ok(Ok(counts)) = timeout(REDIS_WITHIN, pages.queue.counts()).await {
        QueueCounted(&counts).emit();
    }
    pages.metrics.render()
}
