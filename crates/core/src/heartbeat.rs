//! The interval at which an agent wakes up by itself, and the visibility of its heartbeats in
//! channels.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::model::Agent;

/// Returns the heartbeat of an agent: the defaults, overlaid one level deep with the members of its
/// own object.
#[must_use]
pub fn config(agent: &Agent) -> Map<String, Value> {
    let defaults =
        [("every", json!("10m")), ("target", json!("none")), ("includeReasoning", json!(false))];
    let own = agent.heartbeat_config.as_object().cloned().unwrap_or_default();
    defaults.map(|(key, value)| (key.to_owned(), value)).into_iter().chain(own).collect()
}

/// The shortest interval that a job may request without `options.allow_fast_heartbeat`. Gateways
/// keep the same pause between the turns of an agent that events wake.
pub const SHORTEST: Duration = Duration::from_secs(30);

/// The heartbeat keys that at least one gateway version knows.
const KEYS: [&str; 16] = [
    "accountId",
    "ackMaxChars",
    "activeHours",
    "directPolicy",
    "every",
    "includeReasoning",
    "isolatedSession",
    "lightContext",
    "model",
    "prompt",
    "session",
    "skipWhenBusy",
    "suppressToolErrorWarnings",
    "target",
    "timeoutSeconds",
    "to",
];

/// Returns the known key closest to an unknown one, if the unknown one is likely a misspelling: it
/// differs in case, in the separators between words, or in one or two letters.
#[must_use]
pub fn meant(key: &str) -> Option<&'static str> {
    let plain = |key: &str| key.to_lowercase().replace(['_', '-', ' '], "");
    let spelt = plain(key);
    if KEYS.contains(&key) || spelt.len() > 2 * KEYS.iter().map(|key| key.len()).max().unwrap_or(0)
    {
        return None;
    }
    let near = |known: &&str| {
        let distance = distance(&spelt, &plain(known));
        // With two letters changed, little of a short word is left.
        (distance <= if known.len() < 5 { 1 } else { 2 } && distance < known.len() - 1)
            .then_some(distance)
    };
    KEYS.into_iter().filter_map(|known| Some((near(&known)?, known))).min().map(|(_, known)| known)
}

/// Returns the heartbeat keys that may be misspelt, each with the closest known key.
#[must_use]
pub fn misspelt(heartbeat: &Map<String, Value>) -> Vec<(&str, &'static str)> {
    heartbeat.keys().filter_map(|key| Some((key.as_str(), meant(key)?))).collect()
}

/// Returns the edit distance of two words: the number of letters to insert, delete or replace. A
/// swap of two neighbours counts once.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least =
                (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

/// The interval that gateways use when none is set.
pub(crate) const UNTOLD: Duration = Duration::from_secs(30 * 60);

/// Parses an interval as gateways do: `10m`, `1h30m`, or a number of minutes. Returns `None` if it
/// never comes or is not understood.
#[must_use]
pub fn interval(text: &str) -> Option<Duration> {
    let text = text.trim().to_lowercase();
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut sum = Duration::ZERO;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_of_number(c)).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(is_of_number).unwrap_or(after.len()));
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "m" => 60.0,
            "" if number.len() == text.len() => 60.0,
            _ => return None,
        };
        sum = sum.checked_add(
            Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?,
        )?;
        rest = after;
    }
    (!sum.is_zero()).then_some(sum)
}

/// Returns the patch under `channels` that keeps routine heartbeats silent, or `None` if the
/// gateway's config already sets each of its members.
///
/// The patch repeats the config's `channels.defaults.KEY` and adds only what is missing. The key is
/// `heartbeat`, and `heartbeatVisibility` from 2026.8 on.
#[must_use]
pub fn visibility_patch(config: &Value, key: &str) -> Option<Value> {
    let present = config.pointer(&format!("/channels/defaults/{key}")).and_then(Value::as_object);
    let mut heartbeat = present.cloned().unwrap_or_default();
    let before = heartbeat.len();
    for (key, value) in [("showOk", false), ("showAlerts", true), ("useIndicator", true)] {
        heartbeat.entry(key).or_insert(Value::Bool(value));
    }
    (heartbeat.len() > before).then(|| json!({"defaults": {key: heartbeat}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_told_from_a_new_one() {
        for (key, known) in [
            ("evry", "every"),
            ("Every", "every"),
            ("eveyr", "every"),
            ("active_hours", "activeHours"),
            ("activehour", "activeHours"),
            ("timeoutSecs", "timeoutSeconds"),
            ("promt", "prompt"),
            ("lightcontext", "lightContext"),
            ("tagret", "target"),
            ("modell", "model"),
        ] {
            let expected = (key != "timeoutSecs").then_some(known);
            assert_eq!(meant(key), expected, "{key}");
        }
        for key in
            KEYS.iter().chain(&["cron", "retries", "jitter", "tz", "x", "", "on", "\u{1f600}"])
        {
            assert_eq!(meant(key), None, "{key}");
        }
        assert_eq!(meant(&"every".repeat(10_000)), None);
    }

    #[test]
    fn intervals_are_read_as_gateways_read_them() {
        let seconds = |text| interval(text).map(|interval| interval.as_secs());
        for (text, expected) in [
            ("10m", 600),
            ("90s", 90),
            ("1h30m", 5400),
            (" 2H ", 7200),
            ("5", 300),
            ("1.5h", 5400),
            ("1d", 86_400),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "0m", "0", "soon", "10 m", "1h30", "m", "-5m", "1e999h", "1.2.3h", "10ö"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
