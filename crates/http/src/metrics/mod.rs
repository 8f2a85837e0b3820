//! The metrics of `/metrics`: those of this process, and the present state of its queue.
//!
//! The state of the queue is read from Redis with each scrape and is the same at every worker.
//! While Redis is unavailable, these metrics are missing rather than old.

mod exposition;
mod queue;

use std::time::Duration;

use tokio::time::timeout;

use super::App;

/// The time within which Redis must answer a scrape.
const REDIS_WITHIN: Duration = Duration::from_secs(2);

/// Returns the metrics of this process in the text format of Prometheus.
pub type ProcessMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// Returns all metrics in the text format of Prometheus. `stopping` is whether the worker was told
/// to claim no more jobs.
pub(crate) async fn scrape(app: &App, stopping: bool) -> String {
    let state = timeout(REDIS_WITHIN, queue::read(&app.queue)).await;
    let mut text = (app.process_metrics)();
    let state = state.ok().and_then(Result::ok);
    let claims = app.queue.claims_jobs(Duration::ZERO).await;
    let is_ready = claims.is_ok() && state.is_some() && !stopping;
    let mut more = exposition::Exposition::default();
    more.gauge("mission_ready", "1 if this worker claims jobs and reaches Redis, else 0.")
        .sample(&[], u8::from(is_ready));
    if let Some(state) = state {
        queue::write(&mut more, &state);
    }
    text.push_str(&more.into_text());
    text
}
