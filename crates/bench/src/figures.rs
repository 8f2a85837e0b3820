//! Statistics of measured values, and their formatting.

use std::time::Duration;

use serde::Serialize;

/// The quantiles of the values of one quantity. Each is a measured value, not an interpolation.
#[derive(Debug, Clone, Serialize)]
pub struct Spread {
    /// The number of values.
    pub count: usize,
    /// The least value.
    pub min: f64,
    /// The median value.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The greatest value.
    pub max: f64,
}

impl Spread {
    /// Computes the quantiles of at least one value.
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

    /// Formats median, least and greatest value as whole numbers.
    pub fn whole(&self) -> String {
        format!("{} ({} to {})", grouped(self.p50), grouped(self.min), grouped(self.max))
    }
}

/// Parses a count on the command line.
pub fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=10_000_000).contains(count));
    count.ok_or_else(|| "use a whole number from 1 to 10000000".to_owned())
}

/// Returns the rate per second.
pub fn per_second(count: usize, took: Duration) -> f64 {
    float(count) / took.as_secs_f64()
}

/// Converts a count to a float.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// Converts a duration to milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Formats a number without its fraction, with its digits in groups of three.
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
