//! The report of a successful run, on the page of its job.

use mission_core::Report;
use mission_core::humanize::count;
use mission_core::outcome::Change;

/// Returns the load on the gateway: requests, connections, config writes.
pub(super) fn cost(report: &Report) -> String {
    format!(
        "{}, {} in sequence, {}, {}.",
        count(report.rpc_count.into(), "request"),
        count(report.round_trips.into(), "round trip"),
        count(report.connections.into(), "connection"),
        count(report.config_writes.into(), "config write")
    )
}

/// Returns the names of what was written and read back, if there is no diff of it.
pub(super) fn written(report: &Report) -> Vec<&String> {
    let has_diff = |what: &str| report.changes.iter().any(|change| change.what == what);
    report.written.iter().filter(|what| !has_diff(what)).collect()
}

/// Returns the lines of a diff, each after its style class, without those that only name the file.
pub(super) fn lines(change: &Change) -> Vec<(&'static str, &str)> {
    let names_file = |line: &str| line.starts_with("--- ") || line.starts_with("+++ ");
    let class = |line: &str| match line.as_bytes() {
        [b'@', b'@', ..] => "hunk",
        [b'+', ..] => "plus",
        [b'-', ..] => "minus",
        _ => "",
    };
    let lines = change.diff.lines().filter(|line| !names_file(line));
    lines.map(|line| (class(line), line)).collect()
}
