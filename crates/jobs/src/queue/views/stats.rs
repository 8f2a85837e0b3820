//! The figures of the queue by minute, quarter and hour: counters and histograms that the scripts
//! keep, so that nobody has to scan jobs.

use std::collections::{BTreeMap, HashMap};
use std::iter::Sum;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Serialize;

use crate::queue::Queue;
use crate::queue::error::QueueError;
use crate::queue::redis::scripts::Scripts;

/// The number of minutes that are kept: a day.
pub const MAX_MINUTES: u64 = 24 * 60;
/// The number of hours that are kept: a week.
pub const MAX_HOURS: u64 = 7 * 24;
/// The number of buckets of a histogram. The last one holds everything from about 12 days on.
const BUCKETS: usize = 32;

/// The figures of one minute, one quarter or one hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatsBucket {
    /// The start of the span, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// The figures by kind of job; `other` is for kinds that this version does not know.
    pub kinds: BTreeMap<String, KindStats>,
}

/// The figures of the jobs of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KindStats {
    /// Counts of `enqueued`, `done`, `dead`, `retrying`, `snoozed`, `blocked`, `superseded`,
    /// `cancelled`, `lost`, `released` and `restart` (a job met a gateway that was restarting; once
    /// a minute for each gateway).
    pub counts: BTreeMap<String, u64>,
    /// The times that jobs were ready before they ran.
    pub waited: Histogram,
    /// The durations of runs.
    pub ran: Histogram,
}

/// Times by size: bucket 0 holds those below 1 ms, bucket n those from 2^(n-1) ms to below 2^n ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Histogram([u64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Histogram {
    /// Returns the number of times in the histogram.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the time, in milliseconds, below which this share (0 to 1) of all times lies,
    /// rounded up by a factor of two at most. Returns none if the histogram is empty.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> Option<u64> {
        let count = self.count();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are small"
        )]
        let wanted = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        self.0
            .iter()
            .position(|bucket| {
                seen += bucket;
                seen >= wanted
            })
            .map(|bucket| 1 << bucket)
    }

    /// Adds another histogram to this one.
    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(bucket, more)| *bucket += more);
    }
}

impl KindStats {
    /// Adds the figures of another span to these.
    fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
        self.waited.add(&other.waited);
        self.ran.add(&other.ran);
    }
}

impl<'a> Sum<&'a Self> for KindStats {
    fn sum<I: Iterator<Item = &'a Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, stats| {
            sum.add(stats);
            sum
        })
    }
}

impl StatsBucket {
    /// Adds the figures of another span to this one.
    pub fn add(&mut self, other: &Self) {
        for (kind, more) in &other.kinds {
            self.kinds.entry(kind.clone()).or_default().add(more);
        }
    }

    /// Reads counters named `<kind>|<what>` and `<kind>|wait|<bucket>`.
    pub(crate) fn read(at_ms: u64, counters: &HashMap<String, u64>) -> Self {
        let mut minute = Self { at_ms, ..Self::default() };
        for (name, count) in counters {
            let mut parts = name.split('|');
            let (Some(kind), Some(what)) = (parts.next(), parts.next()) else { continue };
            let stats = minute.kinds.entry(kind.to_owned()).or_default();
            let bucket = parts
                .next()
                .and_then(|bucket| bucket.parse::<usize>().ok())
                .filter(|bucket| *bucket < BUCKETS);
            match (what, bucket) {
                ("wait", Some(bucket)) => stats.waited.0[bucket] += count,
                ("run", Some(bucket)) => stats.ran.0[bucket] += count,
                _ => *stats.counts.entry(what.to_owned()).or_default() += count,
            }
        }
        minute
    }
}

impl Queue {
    /// Returns the figures of the last minutes, the present one included, oldest first.
    pub async fn stats(&self, minutes: u64) -> Result<Vec<StatsBucket>, QueueError> {
        let now = self.now_in_minutes().await?;
        let minutes = now.saturating_sub(minutes.clamp(1, MAX_MINUTES) - 1)..=now;
        self.sum_of_shards(|shard| stored(shard, 1, minutes.clone())).await
    }

    /// Returns the figures of the last hours, the present one included, oldest first; at most
    /// [`MAX_HOURS`].
    pub async fn hours(&self, hours: u64) -> Result<Vec<StatsBucket>, QueueError> {
        self.spans(60, hours.clamp(1, MAX_HOURS)).await
    }

    /// Returns the figures of the last quarters of an hour, the present one included, oldest first;
    /// at most a day.
    pub async fn quarters(&self, quarters: u64) -> Result<Vec<StatsBucket>, QueueError> {
        self.spans(15, quarters.clamp(1, MAX_MINUTES / 15)).await
    }

    /// Returns the figures of `count` spans of `minutes` minutes each.
    async fn spans(&self, minutes: u64, count: u64) -> Result<Vec<StatsBucket>, QueueError> {
        let now = self.now_in_minutes().await?;
        self.sum_of_shards(|shard| spans(shard, minutes, count, now)).await
    }

    async fn now_in_minutes(&self) -> Result<u64, QueueError> {
        self.first().await?.minute().await
    }

    /// Returns the sums of the figures that all shards have of the same spans.
    async fn sum_of_shards<F>(
        &self,
        read: impl Fn(Arc<Scripts>) -> F,
    ) -> Result<Vec<StatsBucket>, QueueError>
    where
        F: Future<Output = Result<Vec<StatsBucket>, QueueError>>,
    {
        let all = self.shards.ask(read).await?.into_iter();
        let sum = all.reduce(|mut sum, more| {
            sum.iter_mut().zip(&more).for_each(|(span, more)| span.add(more));
            sum
        });
        Ok(sum.unwrap_or_default())
    }
}

/// Returns the figures that a shard has of `count` spans of `minutes` minutes each, up to now.
async fn spans(
    shard: Arc<Scripts>,
    minutes: u64,
    count: u64,
    now: u64,
) -> Result<Vec<StatsBucket>, QueueError> {
    let first = (now / minutes).saturating_sub(count - 1);
    let mut found = stored(Arc::clone(&shard), minutes, first..=now / minutes).await?;
    // The minutes that have not been added up yet follow. A worker adds them up every few seconds.
    let rolled = shard.rolled().await?.unwrap_or_default();
    let not_yet = (rolled + 1).max(first * minutes).max(now.saturating_sub(MAX_MINUTES));
    for minute in stored(shard, 1, not_yet..=now).await? {
        let span = usize::try_from(minute.at_ms / 60_000 / minutes - first).unwrap_or(usize::MAX);
        if let Some(span) = found.get_mut(span) {
            span.add(&minute);
        }
    }
    Ok(found)
}

/// Returns the stored figures of spans of `minutes` minutes each, by their numbers since 1970.
async fn stored(
    shard: Arc<Scripts>,
    minutes: u64,
    spans: RangeInclusive<u64>,
) -> Result<Vec<StatsBucket>, QueueError> {
    let keys = spans.clone().map(|number| shard.keys.span(minutes, number));
    let counters = shard.stats_counters(&keys.collect::<Vec<_>>()).await?;
    let read = |(number, of)| StatsBucket::read(number * minutes * 60_000, of);
    Ok(spans.zip(&counters).map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_kind() {
        let counters = [
            ("cleanup|done", 3),
            ("cleanup|wait|0", 2),
            ("cleanup|wait|4", 1),
            ("other|dead", 1),
            ("x", 9),
        ];
        let minute = StatsBucket::read(
            60_000,
            &counters.map(|(name, count)| (name.to_owned(), count)).into(),
        );
        assert_eq!(minute.kinds["cleanup"].counts, BTreeMap::from([("done".to_owned(), 3)]));
        assert_eq!(minute.kinds["other"].counts["dead"], 1);
        assert_eq!(minute.kinds.len(), 2);
        let waited = &minute.kinds["cleanup"].waited;
        assert_eq!(
            (waited.count(), waited.quantile_ms(0.5), waited.quantile_ms(0.99)),
            (3, Some(1), Some(16))
        );
    }

    #[test]
    fn a_histogram_of_nothing_has_no_quantile() {
        assert_eq!(Histogram::default().quantile_ms(0.5), None);
    }
}
