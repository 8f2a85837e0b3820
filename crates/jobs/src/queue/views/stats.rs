//! The figures of the queue by minute, quarter and hour: counters and histograms that the scripts
//! keep, so that nobody has to scan jobs.

use std::collections::{BTreeMap, HashMap};
use std::iter::Sum;

use serde::Serialize;

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
