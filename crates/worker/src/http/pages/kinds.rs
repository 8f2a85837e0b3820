//! The kinds of job: how much each does, how often it fails, how long it takes.

use std::collections::BTreeMap;

use mission_core::Kind;
use mission_jobs::queue::Minute;
use mission_jobs::queue::stats::{Happened, Histogram};

use super::chart::Range;
use crate::words::{number, span};

/// What is shown of a kind.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Jobs that wait or run, if that is known.
    pub live: String,
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
    /// For how long the oldest has waited.
    pub oldest: String,
    /// Whether the kind is paused.
    pub paused: bool,
}

/// What is known of a kind besides what happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Present {
    /// Jobs that wait or run.
    pub live: Option<u64>,
    /// Since when the oldest ready one has waited.
    pub oldest_at_ms: Option<u64>,
    /// Whether the kind is paused.
    pub paused: bool,
}

/// The rows of all kinds, for what happened in those slices of time.
#[must_use]
pub fn rows(range: Range, slices: &[Minute], present: &BTreeMap<Kind, Present>, now_ms: u64) -> Vec<Row> {
    let row = |kind: Kind| {
        let mut sum = Happened::default();
        for happened in slices.iter().filter_map(|slice| slice.kinds.get(kind.as_str())) {
            for (what, count) in &happened.counts {
                *sum.counts.entry(what.clone()).or_default() += count;
            }
            sum.waited.add(&happened.waited);
            sum.ran.add(&happened.ran);
        }
        Row::of(kind, range, &sum, present.get(&kind).copied().unwrap_or_default(), now_ms)
    };
    Kind::ALL.into_iter().map(row).collect()
}

impl Row {
    fn of(kind: Kind, range: Range, sum: &Happened, present: Present, now_ms: u64) -> Self {
        let of = |what: &str| sum.counts.get(what).copied().unwrap_or_default();
        let failed = of("retrying") + of("blocked") + of("dead") + of("lost");
        let runs = sum.ran.count().max(failed);
        let dash = || "–".to_owned();
        Self {
            name: kind.as_str(),
            live: present.live.map_or_else(dash, number),
            done: number(of("done")),
            rate: number(of("done") / range.hours()),
            errors: if runs == 0 { dash() } else { format!("{} of {}", number(failed), number(runs)) },
            has_errors: failed > 0,
            waited: quantiles(&sum.waited),
            ran: quantiles(&sum.ran),
            oldest: present.oldest_at_ms.map_or_else(dash, |at| span(now_ms.saturating_sub(at))),
            paused: present.paused,
        }
    }
}

fn quantiles(times: &Histogram) -> [String; 3] {
    [0.5, 0.95, 0.99].map(|share| times.quantile_ms(share).map_or_else(|| "–".to_owned(), |ms| format!("≤ {}", span(ms))))
}
