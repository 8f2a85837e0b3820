//! Charts of activity as SVG: done jobs above the line, failures below it.

use mission_core::humanize::{number, utc};
use mission_jobs::queue::StatsBucket;
use mission_jobs::queue::views::stats::KindStats;

use crate::stats_range::Range;

/// The width of a chart in its own units. The browser stretches it to the page.
const WIDTH: f64 = 960.0;
/// The heights above the line and below it.
const ABOVE: f64 = 72.0;
const BELOW: f64 = 36.0;

/// The counts of a bucket of time.
struct ChartBucket {
    at_ms: u64,
    done: u64,
    dead: u64,
    tried_again: u64,
}

/// One bar of a chart.
#[derive(Debug)]
pub(super) struct Bar {
    /// The style class.
    pub class: &'static str,
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// A bucket as an area to point at.
#[derive(Debug)]
pub(super) struct Column {
    pub x: f64,
    pub width: f64,
    /// The counts of the bucket in words.
    pub says: String,
}

/// A restart of a gateway.
#[derive(Debug)]
pub(super) struct Mark {
    pub x: f64,
    /// The name of the gateway and the time.
    pub says: String,
}

/// A chart of activity.
#[derive(Debug)]
pub(super) struct Chart {
    pub range: Range,
    /// The chart in a sentence.
    pub says: String,
    pub bars: Vec<Bar>,
    pub columns: Vec<Column>,
    pub marks: Vec<Mark>,
    /// The times along the line.
    pub ticks: Vec<String>,
    /// The value at the top.
    pub top: u64,
    /// The value at the bottom.
    pub bottom: u64,
}

impl Chart {
    /// Draws the activity until now. `restarts` are names of gateways with times.
    pub(super) fn draw(
        range: Range,
        slices: &[StatsBucket],
        restarts: &[(String, u64)],
        now_ms: u64,
    ) -> Self {
        let step = range.bucket_ms();
        let first = (now_ms / step + 1).saturating_sub(range.buckets()) * step;
        let bucket = |index| {
            let at_ms = first + step * index;
            let within = |slice: &&StatsBucket| (at_ms..at_ms + step).contains(&slice.at_ms);
            let kinds: KindStats =
                slices.iter().filter(within).flat_map(|slice| slice.kinds.values()).sum();
            let of = |what: &str| kinds.counts.get(what).copied().unwrap_or_default();
            ChartBucket {
                at_ms,
                done: of("done"),
                dead: of("dead"),
                tried_again: of("retrying") + of("snoozed") + of("blocked") + of("lost"),
            }
        };
        let buckets: Vec<_> = (0..range.buckets()).map(bucket).collect();
        let top = round_up(buckets.iter().map(|bucket| bucket.done).max().unwrap_or_default());
        let bottom = round_up(
            buckets.iter().map(|bucket| bucket.dead + bucket.tried_again).max().unwrap_or_default(),
        );
        let width = WIDTH / real(range.buckets());
        let x =
            |at_ms: u64| WIDTH * real(at_ms.saturating_sub(first)) / real(step * range.buckets());
        Self {
            range,
            says: says(range, &buckets),
            bars: buckets
                .iter()
                .flat_map(|bucket| bars(bucket, x(bucket.at_ms), width, top, bottom))
                .collect(),
            columns: buckets.iter().map(|bucket| column(bucket, x(bucket.at_ms), width)).collect(),
            marks: restarts
                .iter()
                .filter(|(_, at_ms)| (first..=now_ms).contains(at_ms))
                .map(|(name, at_ms)| Mark {
                    x: x(*at_ms),
                    says: format!("{name} restarted {}", utc(*at_ms, "%d %b %H:%M:%S UTC")),
                })
                .collect(),
            ticks: (0..=4)
                .map(|tick| tick_at(range, first + step * range.buckets() * tick / 4))
                .collect(),
            top,
            bottom,
        }
    }

    /// Returns whether the chart has no bars.
    pub(super) fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }
}

fn tick_at(range: Range, at_ms: u64) -> String {
    utc(at_ms, if range == Range::Week { "%a %d" } else { "%H:%M" })
}

/// Returns the bars of a bucket that have a height.
fn bars(bucket: &ChartBucket, x: f64, width: f64, top: u64, bottom: u64) -> Vec<Bar> {
    let up = real(bucket.done) / real(top.max(1)) * ABOVE;
    let again = real(bucket.tried_again) / real(bottom.max(1)) * BELOW;
    let dead = real(bucket.dead) / real(bottom.max(1)) * BELOW;
    let bar = |class, y: f64, height: f64| Bar {
        class,
        x: round(x + 1.0),
        y: round(y),
        width: round(width - 2.0),
        height: round(height),
    };
    let all = [
        bar("done", ABOVE - up, up),
        bar("dead", ABOVE + 1.0, dead),
        bar("again", ABOVE + 1.0 + dead, again),
    ];
    all.into_iter().filter(|bar| bar.height > 0.0).collect()
}

fn column(bucket: &ChartBucket, x: f64, width: f64) -> Column {
    let ChartBucket { at_ms, done, dead, tried_again } = *bucket;
    let says = format!(
        "{} UTC: {done} done, {dead} dead, {tried_again} delayed or retried",
        utc(at_ms, "%d %b %H:%M")
    );
    Column { x: round(x), width: round(width), says }
}

fn says(range: Range, buckets: &[ChartBucket]) -> String {
    let sum = |of: fn(&ChartBucket) -> u64| buckets.iter().map(of).sum::<u64>();
    let (done, dead, again) = (sum(|b| b.done), sum(|b| b.dead), sum(|b| b.tried_again));
    if done + dead + again == 0 {
        return format!("No activity in {}.", range.words());
    }
    let worst = buckets
        .iter()
        .max_by_key(|bucket| (bucket.dead, bucket.tried_again))
        .filter(|bucket| bucket.dead + bucket.tried_again > 0);
    let worst = worst.map_or_else(String::new, |bucket| {
        let pattern = if range == Range::Week { "%a %d, %H:%M" } else { "%H:%M" };
        format!("; most failures at {} UTC", utc(bucket.at_ms, pattern))
    });
    format!(
        "In {}: {} done, {} dead, {} delayed or retried{worst}.",
        range.words(),
        number(done),
        number(dead),
        number(again)
    )
}

/// Returns the least of 1, 2, 3, 5, 10, 20, 30 … that is not below the value.
fn round_up(value: u64) -> u64 {
    let mut scale = 1;
    loop {
        for step in [1, 2, 3, 5] {
            if value <= step * scale {
                return step * scale;
            }
        }
        scale *= 10;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a drawing need not be exact")]
pub(super) fn real(value: u64) -> f64 {
    value as f64
}

/// Rounds to a tenth: nobody sees more, and pages are shorter.
pub(super) fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
