//! The report of a successful run, on the page of its job.

use mission_core::humanize::count;
use serde_json::Value;

use super::html::Prose;

/// The report of a run.
#[derive(Debug, Default)]
pub(super) struct ReportView {
    /// The load on the gateway: requests, connections, config writes.
    pub cost: String,
    pub changes: Vec<Change>,
    /// The names of what was written and read back, if there is no diff of it.
    pub written: Vec<String>,
    /// The names of what the gateway reported as removed.
    pub removed: Vec<String>,
    pub skipped: Vec<Skipped>,
}

/// A change and its diff.
#[derive(Debug)]
pub(super) struct Change {
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
pub(super) struct Skipped {
    pub what: String,
    pub why: Prose,
}

impl ReportView {
    /// Makes the view of a stored report. Parts that cannot be read are left out.
    pub(super) fn of(report: &Value) -> Self {
        let number = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or_default();
        let changes: Vec<Change> = objects(report, "changes").filter_map(Change::of).collect();
        let told = |what: &String| changes.iter().any(|change| change.what == *what);
        let written = texts(report, "written").into_iter().filter(|what| !told(what)).collect();
        Self {
            cost: format!(
                "{}, {} in sequence, {}, {}.",
                count(number("rpc_count"), "request"),
                count(number("round_trips"), "round trip"),
                count(number("connections"), "connection"),
                count(number("config_writes"), "config write")
            ),
            changes,
            written,
            removed: texts(report, "removed"),
            skipped: objects(report, "skipped")
                .map(|skipped| Skipped {
                    what: text(skipped, "what"),
                    why: Prose(text(skipped, "why")),
                })
                .collect(),
        }
    }
}

impl Change {
    fn of(change: &Value) -> Option<Self> {
        let what = change.get("what")?.as_str()?.to_owned();
        let diff = change.get("diff").and_then(Value::as_str).unwrap_or_default();
        Some(Self {
            what,
            lines: diff.lines().filter(|line| !names_file(line)).map(DiffLine::of).collect(),
        })
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

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn objects<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    objects(value, name).filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
