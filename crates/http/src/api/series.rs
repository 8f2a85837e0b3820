//! What happened over time: charts, and how each kind of job fares.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mission_core::Kind;
use mission_jobs::queue::views::stats::{Histogram, KindStats};

use mission_jobs::queue::{MAX_PAGE, Restart, Search, StatsBucket};
use mission_jobs::{Queue, State as JobState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::input::Query;
use crate::App;
use crate::problem::Problem;

/// How far back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub enum Range {
    /// An hour, by minutes.
    #[default]
    #[serde(rename = "1h")]
    Hour,
    /// A day, by quarters of an hour.
    #[serde(rename = "24h")]
    Day,
    /// A week, by hours.
    #[serde(rename = "7d")]
    Week,
}

/// How far back.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RangeQuery {
    /// `1h` by minutes, `24h` by quarters of an hour, `7d` by hours.
    #[serde(default)]
    #[param(required = false, inline)]
    range: Range,
}

/// What happened, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Series {
    /// How far back.
    pub range: Range,
    /// How long each bucket lasts.
    pub step_ms: u64,
    /// The buckets, the present one included.
    pub buckets: Vec<Bucket>,
    /// Restarts of gateways that jobs met, the latest first; 200 at most.
    pub restarts: Vec<Restart>,
}

/// What happened in a minute, ten or an hour.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bucket {
    /// When it began, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// How often, by `enqueued`, `done`, `dead`, `retrying`, `snoozed`, `blocked`, `superseded`,
    /// `cancelled`, `lost`, `released`.
    pub counts: BTreeMap<String, u64>,
    /// How long jobs were ready before they ran.
    pub waited: Times,
    /// How long runs took.
    pub ran: Times,
}

/// Times, exact to a factor of two, upwards; none if there are none.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "each says its unit, as all times do")]
pub struct Times {
    /// Half of them are below this, in milliseconds.
    pub p50_ms: Option<u64>,
    /// 95 of 100 are.
    pub p95_ms: Option<u64>,
    /// 99 of 100 are.
    pub p99_ms: Option<u64>,
}

/// How a kind of job fares.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KindStatus {
    /// The kind.
    pub kind: String,
    /// How often things happened, as in a series.
    pub counts: BTreeMap<String, u64>,
    /// Runs that failed, of all that ended, from 0 to 1; none if none ended.
    pub failed_share: Option<f64>,
    /// How long its jobs were ready before they ran.
    pub waited: Times,
    /// How long its runs took.
    pub ran: Times,
    /// When the job of it was enqueued that is ready and comes next.
    pub oldest_ready_at_ms: Option<u64>,
}

/// What happened over time.
#[utoipa::path(get, path = "/series", tag = "queue", params(RangeQuery),
    responses((status = 200, description = "Buckets, oldest first", body = Series)))]
pub async fn series(
    State(app): State<Arc<App>>,
    Query(query): Query<RangeQuery>,
) -> Result<Json<Series>, Problem> {
    Ok(Json(read(&app.queue, query.range).await?))
}

/// How each kind of job fares.
#[utoipa::path(get, path = "/kinds", tag = "queue", params(RangeQuery),
    responses((status = 200, description = "The four kinds", body = Vec<KindStatus>)))]
pub async fn kinds(
    State(app): State<Arc<App>>,
    Query(query): Query<RangeQuery>,
) -> Result<Json<Vec<KindStatus>>, Problem> {
    Ok(Json(read_kinds(&app.queue, query.range).await?))
}

/// What happened over time.
pub async fn read(queue: &Queue, range: Range) -> Result<Series, Problem> {
    let buckets = minutes(queue, range).await?.into_iter().map(|minute| {
        let all = together(minute.kinds.values());
        Bucket {
            at_ms: minute.at_ms,
            waited: Times::of(&all.waited),
            ran: Times::of(&all.ran),
            counts: all.counts,
        }
    });
    let step_ms = match range {
        Range::Hour => 60_000,
        Range::Day => 900_000,
        Range::Week => 3_600_000,
    };
    let buckets: Vec<Bucket> = buckets.collect();
    let mut restarts = queue.restarts(MAX_PAGE).await?;
    restarts.retain(|restart| buckets.first().is_some_and(|first| restart.at_ms >= first.at_ms));
    Ok(Series { range, step_ms, buckets, restarts })
}

/// How each kind of job fares.
pub async fn read_kinds(queue: &Queue, range: Range) -> Result<Vec<KindStatus>, Problem> {
    let minutes = minutes(queue, range).await?;
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let all = together(minutes.iter().filter_map(|minute| minute.kinds.get(kind.as_str())));
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

async fn minutes(queue: &Queue, range: Range) -> Result<Vec<StatsBucket>, Problem> {
    Ok(match range {
        Range::Hour => queue.stats(60).await?,
        Range::Day => queue.quarters(24 * 4).await?,
        Range::Week => queue.hours(7 * 24).await?,
    })
}

fn together<'a>(all: impl Iterator<Item = &'a KindStats>) -> KindStats {
    all.fold(KindStats::default(), |mut sum, happened| {
        for (what, count) in &happened.counts {
            *sum.counts.entry(what.clone()).or_default() += count;
        }
        sum.waited.add(&happened.waited);
        sum.ran.add(&happened.ran);
        sum
    })
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
    fn the_share_of_failures_is_that_of_runs_that_ended() {
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
