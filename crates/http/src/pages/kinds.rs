//! The table of job kinds on the first page: throughput, failures and times.

use mission_core::Kind;
use mission_core::humanize::{number, rough, span};
use mission_jobs::JobRecord;
use mission_jobs::queue::StatsBucket;
use mission_jobs::queue::views::stats::{Histogram, KindStats};

use crate::stats_range::Range;

/// A kind in the table.
#[derive(Debug)]
pub(super) struct KindRow {
    pub name: &'static str,
    /// The number of jobs done.
    pub done: String,
    /// The number of jobs done per hour.
    pub rate: String,
    /// The number of failed runs, and of all runs.
    pub errors: String,
    pub has_errors: bool,
    /// The p50, p95 and p99 of the time that jobs were ready before a run.
    pub waited: [String; 3],
    /// The p50, p95 and p99 of the duration of runs.
    pub ran: [String; 3],
    /// The age of the oldest ready job.
    pub oldest: String,
    pub paused: bool,
}

/// Returns the rows of all kinds from the statistics of a range. `ready` are the jobs that have
/// waited longest.
pub(super) fn rows(
    range: Range,
    slices: &[StatsBucket],
    ready: &[JobRecord],
    paused: impl Fn(Kind) -> bool,
    now_ms: u64,
) -> Vec<KindRow> {
    let row = |kind: Kind| {
        let sum = slices.iter().filter_map(|slice| slice.kinds.get(kind.as_str())).sum();
        let waiting = ready.iter().filter(|job| job.kind == kind.as_str());
        let oldest = waiting.map(|job| now_ms.saturating_sub(job.enqueued_at_ms)).max();
        KindRow::of(kind, range, &sum, oldest, paused(kind))
    };
    Kind::ALL.into_iter().map(row).collect()
}

impl KindRow {
    fn of(kind: Kind, range: Range, sum: &KindStats, oldest: Option<u64>, paused: bool) -> Self {
        let of = |what: &str| sum.counts.get(what).copied().unwrap_or_default();
        let failed = of("retrying") + of("blocked") + of("dead") + of("lost");
        let runs = sum.ran.count().max(failed);
        Self {
            name: kind.as_str(),
            done: number(of("done")),
            rate: number(of("done") / range.hours()),
            errors: if runs == 0 {
                "–".to_owned()
            } else {
                format!("{} of {}", number(failed), number(runs))
            },
            has_errors: failed > 0,
            waited: quantiles(&sum.waited),
            ran: quantiles(&sum.ran),
            oldest: oldest.map_or_else(|| "–".to_owned(), rough),
            paused,
        }
    }
}

fn quantiles(times: &Histogram) -> [String; 3] {
    [0.5, 0.95, 0.99].map(|share| times.quantile_ms(share).map_or_else(|| "–".to_owned(), span))
}
