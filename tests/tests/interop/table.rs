//! What each case cost and what was left out, for people.

use std::fmt;

use serde_json::Value;

/// One job.
#[derive(Clone)]
pub struct Row {
    version: &'static str,
    case: &'static str,
    time: &'static str,
    /// Whether the gateway was changed.
    pub changed: bool,
    /// What was written.
    pub written: Vec<String>,
    /// What was left out, sorted.
    pub left_out: Vec<String>,
    /// Config writes sent.
    pub config_writes: u64,
    /// From the first run's begin to the last one's end.
    took_ms: u64,
    runs: usize,
    rpcs: u64,
}

impl Row {
    /// Reads the record of a job that is done.
    pub fn of(record: &Value, version: &'static str, case: &'static str, time: &'static str) -> Self {
        let report = &record["report"];
        let number = |value: &Value| value.as_u64().unwrap();
        let runs = record["history"].as_array().unwrap();
        let began = number(&runs[0]["started_at_ms"]);
        let mut left_out: Vec<_> = texts(&report["skipped"], |skipped| &skipped["what"]);
        left_out.sort();
        Self {
            version,
            case,
            time,
            changed: report["changed"].as_bool().unwrap(),
            written: texts(&report["written"], |written| written),
            left_out,
            config_writes: number(&report["config_writes"]),
            took_ms: number(&record["finished_at_ms"]) - began,
            runs: runs.len(),
            rpcs: number(&report["rpc_count"]),
        }
    }
}

fn texts(list: &Value, text: impl Fn(&Value) -> &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| text(item).as_str().unwrap().to_owned()).collect()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, case, time, took_ms, runs, rpcs, config_writes, .. } = self;
        let written = self.written.len();
        let names: Vec<_> =
            self.left_out.iter().map(|what| what.split_once(' ').map_or(&what[..], |(_, name)| name)).collect();
        let left_out = if names.is_empty() { "-".to_owned() } else { names.join(" ") };
        write!(
            f,
            "{version:8}  {case:16}  {time:5}  ok  {took_ms:6}  {runs:4}  {rpcs:4}  {config_writes:13}  {written:7}  {left_out}"
        )
    }
}

/// All jobs of all versions.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a job.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nversion   case              time       time/ms  runs  rpcs  config writes  written  left out")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}
