//! `/readyz`, which reports whether the worker claims jobs, and `/metrics` for Prometheus. Both
//! need no authentication.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::join;
use mission_jobs::queue::NotClaiming;
use tokio::time::timeout;

use super::App;

/// The time within which Redis must answer for the worker to be ready.
const REDIS_WITHIN: Duration = Duration::from_secs(2);

/// The time to find out afterwards which shard it is.
const AWAY_WITHIN: Duration = Duration::from_millis(300);

/// The time to wait for the first claim of a worker that has just started.
const FIRST_CLAIM_WITHIN: Duration = REDIS_WITHIN;

/// Handles `/readyz`: 200 if the worker claims jobs, 503 with the reason if not. A worker whose slots
/// are all taken is ready, and says so.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<String, (StatusCode, String)> {
    let not = |reason: String| Err((StatusCode::SERVICE_UNAVAILABLE, reason + "\n"));
    if *app.stopping.borrow() {
        return not("stopping: running jobs finish, no new jobs are claimed".to_owned());
    }
    // A worker whose slots are full claims nothing, and one that waits may not see for a while that
    // Redis hangs.
    let (claims, redis) =
        join(app.queue.claims_jobs(FIRST_CLAIM_WITHIN), timeout(REDIS_WITHIN, app.queue.slots()))
            .await;
    match (claims, redis) {
        (Ok(()), Ok(Ok(slots))) => {
            Ok(slots.in_words().map_or_else(|| "ready\n".into(), |full| format!("ready; {full}\n")))
        }
        // Before the first claim, Redis itself says more.
        (Err(NotClaiming::NotBegun) | Ok(()), Ok(Err(error))) => not(format!("not ready: {error}")),
        (Err(reason), Ok(_)) | (Err(reason @ NotClaiming::Failing { .. }), Err(_)) => {
            not(format!("not ready: {reason}"))
        }
        (_, Err(_)) => {
            let away = app.queue.shards_away(AWAY_WITHIN).await;
            let what = match (away.first(), app.queue.shard_count()) {
                (Some(shard), 2..) => format!("Redis did not answer for shard {shard}"),
                _ => "Redis did not answer".to_owned(),
            };
            not(format!("not ready: {what} within {} s", REDIS_WITHIN.as_secs()))
        }
    }
}

/// Returns why the claims of this process fail, as `/readyz` says it; none if they do not fail.
pub(crate) async fn not_claiming(app: &App) -> Option<String> {
    let reason = app.queue.claims_jobs(Duration::ZERO).await.err()?;
    matches!(reason, NotClaiming::Failing { .. }).then(|| format!("not ready: {reason}"))
}

/// Handles `/metrics`: the metrics in the text format of Prometheus.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> String {
    let stopping = *app.stopping.borrow();
    super::metrics::scrape(&app, stopping).await
}
