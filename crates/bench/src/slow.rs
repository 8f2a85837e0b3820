//! The time for which scripts hold Redis, from its slow log. All other clients wait meanwhile, so
//! it bounds their latency.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use serde::Serialize;

use super::arena::Arena;
use super::figures::{float, grouped};
use crate::error::BenchError;

/// The shortest call in the slow log, in microseconds.
const NOTED_US: i64 = 1000;

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
pub struct Slow(BTreeMap<&'static str, Calls>);

/// An entry: number, time, microseconds, words, address and name of the client.
type Entry = (i64, i64, i64, Vec<Vec<u8>>, String, String);

impl Slow {
    /// Begins to record slow calls.
    pub async fn begin(arena: &Arena) -> Result<(), BenchError> {
        let _: String = arena
            .command(&["CONFIG", "SET", "slowlog-log-slower-than", &NOTED_US.to_string()])
            .await?;
        let _: String = arena.command(&["CONFIG", "SET", "slowlog-max-len", "1000000"]).await?;
        arena.command(&["SLOWLOG", "RESET"]).await
    }

    /// Returns the calls that were recorded since.
    pub async fn end(arena: &Arena) -> Result<Self, BenchError> {
        let entries: Vec<Entry> = arena.command(&["SLOWLOG", "GET", "-1"]).await?;
        let scripts: HashMap<_, _> = arena.queue.script_names().into_iter().collect();
        let mut calls: BTreeMap<&'static str, Calls> = BTreeMap::new();
        for (_, _, micros, words, ..) in entries {
            let word = |index: usize| {
                words.get(index).map(|word| String::from_utf8_lossy(word)).unwrap_or_default()
            };
            // What a script calls is noted as well, but is part of the script's own time.
            if !word(0).eq_ignore_ascii_case("evalsha") {
                continue;
            }
            let name = scripts.get(&*word(1)).copied().unwrap_or("another script");
            let ms = f64::from(i32::try_from(micros).unwrap_or(i32::MAX)) / 1e3;
            let calls = calls.entry(name).or_default();
            calls.over_1_ms += 1;
            calls.over_10_ms += usize::from(ms > 10.0);
            calls.longest_ms = calls.longest_ms.max(ms);
        }
        Ok(Self(calls))
    }

    /// Formats the result for people.
    pub fn line(&self) -> String {
        let over_10: usize = self.0.values().map(|calls| calls.over_10_ms).sum();
        let mut text = format!("longest scripts: {} took over 10 ms", grouped(float(over_10)));
        let mut calls: Vec<_> = self.0.iter().collect();
        calls.sort_by(|(_, one), (_, other)| other.longest_ms.total_cmp(&one.longest_ms));
        for (name, calls) in calls {
            let _ = write!(
                text,
                "; {name} {:.1} ms ({} over 1 ms)",
                calls.longest_ms,
                grouped(float(calls.over_1_ms))
            );
        }
        text
    }
}
