//! The report of a successful run, on the page of its job.

use mission_core::Report;
use mission_core::humanize::count;
use mission_core::outcome::{Change, Skipped};

use super::html::Prose;

/// The report of a run.
#[derive(Debug, Default)]
pub(super) struct ReportView {
    /// The load on the gateway: requests, connections, config writes.
    pub cost: String,
    pub changes: Vec<ChangeView>,
    /// The names of what was written and read back, if there is no diff of it.
    pub written: Vec<String>,
    /// The names of what the gateway reported as removed.
    pub removed: Vec<String>,
    pub skipped: Vec<SkippedView>,
}

/// A change and its diff.
#[derive(Debug)]
pub(super) struct ChangeView {
    pub what: String,
    pub lines: Vec<DiffLine>,
}

/// A line of a diff.
#[derive(Debug)]
pub(super) struct DiffLine {
    /// `plus`, `minus`, `hunk`, or nothing.
    pub class: &'static str,
    pub text: String,
}

/// A step that the run skipped on purpose.
#[derive(Debug)]
pub(super) struct SkippedView {
    pub what: String,
    pub why: Prose,
}

impl ReportView {
    /// Makes the view of a report.
    pub(super) fn of(report: &Report) -> Self {
        let has_diff = |what: &String| report.changes.iter().any(|change| change.what == *what);
        let number = |number: u32| u64::from(number);
        Self {
            cost: format!(
                "{}, {} in sequence, {}, {}.",
                count(number(report.rpc_count), "request"),
                count(number(report.round_trips), "round trip"),
                count(number(report.connections), "connection"),
                count(number(report.config_writes), "config write")
            ),
            changes: report.changes.iter().map(ChangeView::of).collect(),
            written: report.written.iter().filter(|what| !has_diff(what)).cloned().collect(),
            removed: report.removed.clone(),
            skipped: report.skipped.iter().map(SkippedView::of).collect(),
        }
    }
}

impl ChangeView {
    fn of(change: &Change) -> Self {
        let lines = change.diff.lines().filter(|line| !names_file(line));
        Self { what: change.what.clone(), lines: lines.map(DiffLine::of).collect() }
    }
}

impl SkippedView {
    fn of(skipped: &Skipped) -> Self {
        Self { what: skipped.what.clone(), why: Prose(skipped.why.clone()) }
    }
}

/// Returns whether a line of a diff only names the file.
fn names_file(line: &str) -> bool {
    line.starts_with("--- ") || line.starts_with("+++ ")
}

impl DiffLine {
    fn of(line: &str) -> Self {
        let class = match line.as_bytes() {
            [b'@', b'@', ..] => "hunk",
            [b'+', ..] => "plus",
            [b'-', ..] => "minus",
            _ => "",
        };
        Self { class, text: line.to_owned() }
    }
}
