//! The kinds of job: how much each does, how often it fails, how long it takes.

use mission_core::Kind;
use mission_jobs::JobRecord;
use mission_jobs::queue::StatsBucket;
use mission_jobs::queue::views::stats::{Histogram, KindStats};

use super::chart::Range;
use mission_core::humanize::{number, rough, span};

/// What is shown of a kind.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Jobs done.
    pub done: String,
    /// Jobs done in an hour.
    pub rate: String,
    /// How many runs failed, of how many.
    pub errors: String,
    /// Whether any did.
    pub has_errors: bool,
    /// How long jobs waited: p50, p95, p99.
    pub waited: [String; 3],
    /// How long runs took.
    pub ran: [String; 3],
    /// For how long the oldest has been waiting to run.
    pub oldest: String,
    /// Whether the kind is paused.
    pub paused: bool,
}

/// The rows of all kinds, for what happened in those slices of time. `ready` are the jobs that have
/// waited the longest.
#[must_use]
pub fn rows(
    range: Range,
    slices: &[StatsBucket],
    ready: &[JobRecord],
    paused: impl Fn(Kind) -> bool,
    now_ms: u64,
) -> Vec<Row> {
    let row = |kind: Kind| {
        let mut sum = KindStats::default();
        for happened in slices.iter().filter_map(|slice| slice.kinds.get(kind.as_str())) {
            for (what, count) in &happened.counts {
                *sum.counts.entry(what.clone()).or_default() += count;
            }
            sum.waited.add(&happened.waited);
            sum.ran.add(&happened.ran);
        }
        let waiting = ready.iter().filter(|job| job.kind == kind.as_str());
        let oldest = waiting.map(|job| now_ms.saturating_sub(job.enqueued_at_ms)).max();
        Row::of(kind, range, &sum, oldest, paused(kind))
    };
    Kind::ALL.into_iter().map(row).collect()
}

impl Row {
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
