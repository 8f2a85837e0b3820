//! Figures and how they are shown.

use std::time::Duration;

use serde::Serialize;

/// Several values of one quantity, in order of size: the nearest value that was measured, nothing
/// in between.
#[derive(Debug, Clone, Serialize)]
pub struct Spread {
    /// How many values there are.
    pub count: usize,
    /// The least.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// Nine of ten are not above it.
    pub p90: f64,
    /// 95 of 100 are not above it.
    pub p95: f64,
    /// 99 of 100 are not above it.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| values[(values.len() * percent).div_ceil(100).saturating_sub(1)];
        Self {
            count: values.len(),
            min: at(0),
            p50: at(50),
            p90: at(90),
            p95: at(95),
            p99: at(99),
            max: at(100),
        }
    }

    /// Median, least and greatest, as whole numbers.
    pub fn whole(&self) -> String {
        format!("{} ({} to {})", grouped(self.p50), grouped(self.min), grouped(self.max))
    }
}

/// Reads a count from the command line.
pub fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=10_000_000).contains(count));
    count.ok_or_else(|| "use a whole number from 1 to 10000000".to_owned())
}

/// So many in that time, per second.
pub fn per_second(count: usize, took: Duration) -> f64 {
    float(count) / took.as_secs_f64()
}

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// Milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A number without its fraction, its digits in groups of three.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        let Spread { count, min, p50, p90, p95, p99, max } = spread;
        assert_eq!(count, 200);
        assert_eq!(
            [min, p50, p90, p95, p99, max].map(grouped),
            ["1", "100", "180", "190", "198", "200"]
        );
        let one = Spread::of(vec![7.0]);
        assert_eq!([one.min, one.p50, one.p99, one.max].map(grouped), ["7"; 4]);
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            [0.4, 999.0, 1000.0, 1_234_567.8].map(grouped),
            ["0", "999", "1,000", "1,234,568"]
        );
    }
}
