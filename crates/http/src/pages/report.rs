//! What a run that succeeded found and did, as it is shown.

use serde_json::Value;

use super::html::Prose;
use mission_core::humanize::count;

/// A report.
#[derive(Debug, Default)]
pub struct Report {
    /// What it cost the gateway.
    pub cost: String,
    /// What was changed, with how it differs.
    pub changes: Vec<Change>,
    /// What was written and read back, where no difference tells it.
    pub written: Vec<String>,
    /// What the gateway says it removed.
    pub removed: Vec<String>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// Something that was changed.
#[derive(Debug)]
pub struct Change {
    /// What.
    pub what: String,
    /// How it differs.
    pub lines: Vec<DiffLine>,
}

/// A line of a difference.
#[derive(Debug)]
pub struct DiffLine {
    /// `plus`, `minus`, `hunk`, or nothing.
    pub class: &'static str,
    /// The line.
    pub text: String,
}

/// Something that was left out.
#[derive(Debug)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why.
    pub why: Prose,
}

impl Report {
    /// What is shown of a stored report. What cannot be read is left out.
    #[must_use]
    pub fn of(report: &Value) -> Self {
        let number = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or_default();
        let changes: Vec<Change> = objects(report, "changes").filter_map(Change::of).collect();
        let told = |what: &String| changes.iter().any(|change| change.what == *what);
        let written = texts(report, "written").into_iter().filter(|what| !told(what)).collect();
        Self {
            cost: format!(
                "{}, {} waited for, {}, {}.",
                count(number("rpc_count"), "request"),
                count(number("round_trips"), "answer"),
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

/// Whether the line of a difference only says which file it is of.
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
