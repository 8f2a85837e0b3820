//! Statistics over time, in total and by kind of job.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mission_core::Kind;
use mission_jobs::queue::views::stats::{Histogram, KindStats};
use mission_jobs::queue::{MAX_PAGE, Restart, Search};
use mission_jobs::{Queue, State as JobState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::input::Query;
use crate::App;
use crate::problem::Answer;
pub use crate::stats_range::Range;

/// The range of statistics.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RangeQuery {
    /// The range: `1h` by minutes, `24h` by quarters of an hour, `7d` by hours.
    #[serde(default)]
    #[param(required = false, inline)]
    range: Range,
}

/// Statistics over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Series {
    /// The range of the statistics.
    pub range: Range,
    /// The length of a bucket in milliseconds.
    pub step_ms: u64,
    /// The buckets, oldest first, the present one included.
    pub buckets: Vec<Bucket>,
    /// The restarts of gateways that jobs noticed, latest first, 200 at most.
    pub restarts: Vec<Restart>,
}

/// The statistics of a bucket of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bucket {
    /// The beginning of the bucket in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// The number of transitions by name: `enqueued`, `done`, `dead`, `retrying`, `snoozed`,
    /// `blocked`, `superseded`, `cancelled`, `lost`, `released`.
    pub counts: BTreeMap<String, u64>,
    /// The time for which jobs were ready before they ran.
    pub waited: Times,
    /// The duration of runs.
    pub ran: Times,
}

/// Quantiles of times. They are upper bounds, exact to a factor of two, and none without data.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Times {
    /// The median in milliseconds.
    pub p50_ms: Option<u64>,
    /// The 95th percentile in milliseconds.
    pub p95_ms: Option<u64>,
    /// The 99th percentile in milliseconds.
    pub p99_ms: Option<u64>,
}

/// The statistics of a kind of job.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KindStatus {
    /// The name of the kind.
    pub kind: String,
    /// The number of transitions by name, as in a series.
    pub counts: BTreeMap<String, u64>,
    /// The share of ended runs that failed, from 0 to 1, or none if no run ended.
    pub failed_share: Option<f64>,
    /// The time for which jobs were ready before they ran.
    pub waited: Times,
    /// The duration of runs.
    pub ran: Times,
    /// The time at which the ready job that comes next was enqueued.
    pub oldest_ready_at_ms: Option<u64>,
}

/// Returns statistics over time.
#[utoipa::path(get, path = "/series", tag = "queue", params(RangeQuery),
    responses((status = 200, description = "The statistics", body = Series)))]
pub(crate) async fn series(
    State(app): State<Arc<App>>,
    Query(query): Query<RangeQuery>,
) -> Answer<Json<Series>> {
    Ok(Json(read(&app.queue, query.range).await?))
}

/// Returns the statistics of each kind of job.
#[utoipa::path(get, path = "/kinds", tag = "queue", params(RangeQuery),
    responses((status = 200, description = "The four kinds", body = Vec<KindStatus>)))]
pub(crate) async fn kinds(
    State(app): State<Arc<App>>,
    Query(query): Query<RangeQuery>,
) -> Answer<Json<Vec<KindStatus>>> {
    Ok(Json(read_kinds(&app.queue, query.range).await?))
}

/// Reads statistics over time.
async fn read(queue: &Queue, range: Range) -> Answer<Series> {
    let buckets = range.read(queue).await?.into_iter().map(|bucket| {
        let all: KindStats = bucket.kinds.values().sum();
        Bucket {
            at_ms: bucket.at_ms,
            waited: Times::of(&all.waited),
            ran: Times::of(&all.ran),
            counts: all.counts,
        }
    });
    let buckets: Vec<Bucket> = buckets.collect();
    let mut restarts = queue.restarts(MAX_PAGE).await?;
    restarts.retain(|restart| buckets.first().is_some_and(|first| restart.at_ms >= first.at_ms));
    Ok(Series { range, step_ms: range.bucket_ms(), buckets, restarts })
}

/// Reads the statistics of each kind of job.
pub async fn read_kinds(queue: &Queue, range: Range) -> Answer<Vec<KindStatus>> {
    let buckets = range.read(queue).await?;
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let all: KindStats =
            buckets.iter().filter_map(|bucket| bucket.kinds.get(kind.as_str())).sum();
        let ready = Search { states: vec![JobState::Ready], kind: Some(kind), ..Search::default() };
        let next = queue.search(&ready, None, 1).await?.jobs.pop();
        kinds.push(KindStatus {
            kind: kind.to_string(),
            failed_share: failed_share(&all.counts),
            waited: Times::of(&all.waited),
            ran: Times::of(&all.ran),
            counts: all.counts,
            oldest_ready_at_ms: next.map(|job| job.enqueued_at_ms),
        });
    }
    Ok(kinds)
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn failed_share(counts: &BTreeMap<String, u64>) -> Option<f64> {
    let sum = |names: &[&str]| names.iter().filter_map(|name| counts.get(*name)).sum::<u64>();
    let (failed, done) = (sum(&["retrying", "blocked", "dead"]), sum(&["done"]));
    (failed + done > 0).then(|| failed as f64 / (failed + done) as f64)
}

impl Times {
    fn of(times: &Histogram) -> Self {
        let below = |share| times.quantile_ms(share);
        Self { p50_ms: below(0.5), p95_ms: below(0.95), p99_ms: below(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ended_runs_count_for_the_share_of_failures() {
        let counts = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(failed_share(&counts(&[("enqueued", 9)])), None);
        assert_eq!(
            failed_share(&counts(&[("done", 3), ("retrying", 1), ("superseded", 5)])),
            Some(0.25)
        );
    }
}
