//! A chart no larger than a word: the results of a gateway's runs in the last hour.

use mission_core::humanize::number;
use mission_jobs::queue::Recent;

use super::chart::{Bar, real, round};

#[derive(Debug)]
pub(super) struct Sparkline {
    /// The chart in words.
    pub says: String,
    /// Bars of failed runs, each with a bar of successful runs on top.
    pub bars: Vec<Bar>,
}

/// The size of the chart in its own units, and its number of slots.
const WIDTH: f64 = 60.0;
const HEIGHT: f64 = 20.0;
const SLOTS: u64 = 12;
/// The least height of a bar, so that one failure among thousands is visible.
const LEAST: f64 = 2.0;

impl Sparkline {
    /// Draws the chart. Returns none if nothing ran in that hour.
    pub(super) fn draw(recent: &[Recent], now_ms: u64) -> Option<Self> {
        let slot = |at_ms: u64| at_ms / Recent::SPAN_MS;
        // The slot within the hour. A time in the future is from another clock.
        let place = |one: &Recent| {
            (slot(one.at_ms) + SLOTS).checked_sub(slot(now_ms) + 1).filter(|at| *at < SLOTS)
        };
        let shown: Vec<_> = recent.iter().filter_map(|one| Some((place(one)?, one))).collect();
        let most =
            shown.iter().map(|(_, one)| one.done + one.failed).max().filter(|most| *most > 0)?;
        let step = WIDTH / real(SLOTS);
        let bars = shown.iter().flat_map(|(at, one)| {
            let x = real(*at) * step;
            let height = |runs: u64| match runs {
                0 => 0.0,
                runs => round((real(runs) / real(most) * (HEIGHT - LEAST)).max(LEAST)),
            };
            let (failed, done) = (height(one.failed), height(one.done));
            let bar = |class, height, above| Bar {
                class,
                x,
                y: round(HEIGHT - above - height),
                width: step - 1.0,
                height,
            };
            [bar("dead", failed, 0.0), bar("done", done, failed)]
                .into_iter()
                .filter(|bar| bar.height > 0.0)
        });
        let sum = |of: fn(&Recent) -> u64| number(shown.iter().map(|(_, one)| of(one)).sum());
        let says =
            format!("last hour: {} done, {} failed", sum(|one| one.done), sum(|one| one.failed));
        Some(Self { says, bars: bars.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_the_last_hour_and_a_single_failure_is_visible() {
        let now_ms = 100 * Recent::SPAN_MS + 7;
        let at = |slot: u64, done, failed| Recent { at_ms: slot * Recent::SPAN_MS, done, failed };
        assert!(Sparkline::draw(&[], now_ms).is_none());
        assert!(
            Sparkline::draw(&[at(88, 5, 0), at(101, 5, 0)], now_ms).is_none(),
            "too old, and by another clock"
        );
        let spark = Sparkline::draw(&[at(88, 9, 9), at(89, 0, 1), at(100, 999, 1)], now_ms)
            .expect("a spark");
        assert_eq!(spark.says, "last hour: 999 done, 2 failed");
        let bars: Vec<_> = spark.bars.iter().map(|bar| (bar.class, bar.x.to_string())).collect();
        assert_eq!(
            bars,
            [("dead", "0"), ("dead", "55"), ("done", "55")].map(|(class, x)| (class, x.to_owned()))
        );
        assert!(
            spark
                .bars
                .iter()
                .all(|bar| bar.height >= LEAST && bar.y >= 0.0 && bar.y + bar.height <= HEIGHT)
        );
    }
}
