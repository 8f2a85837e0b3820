//! The time for which scripts hold Redis, from its slow log. All other clients wait meanwhile, so
//! it bounds their latency.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::arena::Arena;
use super::figures::{float, grouped};

/// The shortest call in the slow log, in microseconds.
const NOTED_US: &str = "1000";

/// The calls of one script that took longer than 1 ms.
#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the number")]
struct Calls {
    over_1_ms: usize,
    over_10_ms: usize,
    longest_ms: f64,
}

/// The scripts with calls longer than 1 ms, by name.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Slow(BTreeMap<String, Calls>);

/// An entry: number, time, microseconds, words, address and name of the client.
type Entry = (i64, i64, i64, Vec<Vec<u8>>, String, String);

impl Slow {
    /// Begins to record slow calls.
    pub async fn begin(arena: &Arena) -> anyhow::Result<()> {
        let settings = ["slowlog-log-slower-than", NOTED_US, "slowlog-max-len", "1000000"];
        let _: String = arena.command(&[&["CONFIG", "SET"], &settings[..]].concat()).await?;
        arena.command(&["SLOWLOG", "RESET"]).await
    }

    /// Returns the calls that were recorded since, and begins anew.
    pub async fn take(arena: &Arena) -> anyhow::Result<Self> {
        let entries: Vec<Entry> = arena.command(&["SLOWLOG", "GET", "-1"]).await?;
        let _: String = arena.command(&["SLOWLOG", "RESET"]).await?;
        let mut calls: BTreeMap<String, Calls> = BTreeMap::new();
        for (_, _, micros, words, ..) in entries {
            let mut words = words.iter().map(|word| String::from_utf8_lossy(word));
            // What a script calls is noted as well, but is part of the script's own time.
            if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("fcall")) {
                continue;
            }
            let function = words.next().unwrap_or_default();
            let name = arena.queue.script_of(&function).unwrap_or("another function").to_owned();
            let ms = f64::from(i32::try_from(micros).unwrap_or(i32::MAX)) / 1e3;
            let calls = calls.entry(name).or_default();
            calls.over_1_ms += 1;
            calls.over_10_ms += usize::from(ms > 10.0);
            calls.longest_ms = calls.longest_ms.max(ms);
        }
        Ok(Self(calls))
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over_10: usize = self.0.values().map(|calls| calls.over_10_ms).sum();
        write!(f, "longest scripts: {} took over 10 ms", grouped(float(over_10)))?;
        let mut calls: Vec<_> = self.0.iter().collect();
        calls.sort_by(|(_, one), (_, other)| other.longest_ms.total_cmp(&one.longest_ms));
        for (name, Calls { longest_ms, over_1_ms, .. }) in calls {
            let over_1 = grouped(float(*over_1_ms));
            write!(f, "; {name} {longest_ms:.1} ms ({over_1} over 1 ms)")?;
        }
        Ok(())
    }
}
