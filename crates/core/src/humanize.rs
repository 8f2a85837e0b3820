//! Times and numbers in words.

use jiff::Timestamp;

/// A length of time as people say it: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `6 d`.
#[must_use]
pub fn span(ms: u64) -> String {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let two = |value: u64, unit: &str, rest: u64, small: &str| match rest {
        0 => format!("{value} {unit}"),
        rest => format!("{value} {unit} {rest} {small}"),
    };
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..MINUTE => format!("{} s", ms / 1000),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => two(ms / HOUR, "h", ms % HOUR / MINUTE, "min"),
        _ => two(ms / DAY, "d", if ms < 3 * DAY { ms % DAY / HOUR } else { 0 }, "h"),
    }
}

/// A length of time in whole units, for what ticks: never milliseconds.
#[must_use]
pub fn rough(ms: u64) -> String {
    if ms < 60_000 { format!("{} s", ms / 1000) } else { span(ms) }
}

/// A time, to the millisecond: `2026-11-23T07:44:59.123Z`.
#[must_use]
pub fn utc_time(at_ms: u64) -> String {
    instant(at_ms).map_or_else(|| format!("{at_ms} ms"), |time| format!("{time:.3}"))
}

/// A time in the form that `pattern` says, in UTC.
#[must_use]
pub fn utc(at_ms: u64, pattern: &str) -> String {
    instant(at_ms).map_or_else(|| format!("{at_ms} ms"), |time| time.strftime(pattern).to_string())
}

fn instant(at_ms: u64) -> Option<Timestamp> {
    i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

/// A number with thin spaces between its thousands.
#[must_use]
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join("\u{202f}")
}

/// A number with its noun: `1 job`, `20 jobs`.
#[must_use]
pub fn count(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(value), if value == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_say_them() {
        let said = [0, 412, 1450, 12_345, 192_000, 7_500_000, 90_000_000, 600_000_000].map(span);
        assert_eq!(
            said,
            ["0 ms", "412 ms", "1.4 s", "12 s", "3 min", "2 h 5 min", "1 d 1 h", "6 d"]
        );
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!([count(1, "job"), count(20, "job")], ["1 job", "20 jobs"]);
    }
}
