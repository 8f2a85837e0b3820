//! The differences between what is written and what was there, in plans and in reports.

use serde_json::{Map, Value};
use similar::TextDiff;

use crate::documents::Document;
use crate::gateway::agents_config::Part;
use crate::humanize::count;
use crate::outcome::Change;

/// The most lines that a report keeps of one diff.
const MAX_LINES: usize = 200;
/// The most bytes that a report keeps of all diffs.
const MAX_BYTES: usize = 64 * 1024;

impl Change {
    fn new(what: impl Into<String>, diff: impl Into<String>) -> Self {
        Self { what: what.into(), diff: diff.into(), document: None }
    }

    /// Returns a change of which there is nothing to show but its name.
    pub(super) fn plain(what: String) -> Self {
        Self::new(what, "")
    }

    /// Returns the change of a file, with the diff to its former text.
    pub(super) fn of_file(document: Document, present: Option<&str>, text: &str) -> Self {
        let name = document.file_name();
        let before = if present.is_some() { format!("a/{name}") } else { "/dev/null".to_owned() };
        let diff = TextDiff::from_lines(present.unwrap_or_default(), text);
        let diff =
            diff.unified_diff().context_radius(3).header(&before, &format!("b/{name}")).to_string();
        Self { document: Some(document), ..Self::new(format!("file {name}"), diff) }
    }

    /// Returns the change of a part of the config, with a line for each changed value.
    pub(super) fn of_config(part: &Part) -> Self {
        let mut lines = Vec::new();
        compare("", Some(&part.before), &part.after, &mut lines);
        Self::new(part.what.clone(), lines.join("\n"))
    }

    /// Returns the change for a deleted agent, and for the folder deleted with it.
    pub(super) fn of_deletion(agent: &str, folder: Option<&str>) -> Self {
        Self::new(
            format!("agent {agent} deleted"),
            folder.map(|folder| format!("-{folder}/*")).unwrap_or_default(),
        )
    }

    /// Returns the change of a session, with its label before and after.
    pub(super) fn of_session(key: &str, before: Option<String>, after: Option<String>) -> Self {
        let diff = after.map(|label| {
            difference("label", before.map(Value::String).as_ref(), &Value::String(label))
        });
        Self::new(format!("session {key}"), diff.unwrap_or_default())
    }
}

fn compare(
    path: &str,
    before: Option<&Map<String, Value>>,
    after: &Map<String, Value>,
    lines: &mut Vec<String>,
) {
    for (key, after) in after {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let before = before.and_then(|before| before.get(key));
        match after {
            Value::Object(after) => compare(&path, before.and_then(Value::as_object), after, lines),
            after if before.unwrap_or(&Value::Null) == after => {}
            Value::Null => lines.push(removal(&path, before)),
            after => lines.push(difference(&path, before, after)),
        }
    }
}

/// Returns the line of a value that is removed.
fn removal(path: &str, before: Option<&Value>) -> String {
    format!("{path}: {} → removed", before.unwrap_or(&Value::Null))
}

fn difference(path: &str, before: Option<&Value>, after: &Value) -> String {
    match before {
        Some(before) => format!("{path}: {before} → {after}"),
        None => format!("{path}: {after}"),
    }
}

/// Cuts long diffs to the limits of a report, and marks the cuts.
pub(super) fn shorten(changes: &mut [Change]) {
    let mut left = MAX_BYTES;
    for change in changes {
        let lines = change.diff.lines().count();
        let mut bytes = 0;
        let fits = |line: &&str| {
            bytes += line.len();
            bytes <= left
        };
        let shown = change.diff.split_inclusive('\n').take(MAX_LINES);
        let kept: Vec<&str> = shown.take_while(fits).collect();
        let cut = lines - kept.len();
        let kept = kept.concat();
        left -= kept.len();
        change.diff = match cut {
            0 => kept,
            _ => format!("{kept}… {} not kept", count(cut as u64, "more line")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_diff_of_an_entry_lists_each_changed_value() {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let part = Part {
            agent: Some("ada".into()),
            what: String::new(),
            before: map(serde_json::json!({ "heartbeat": { "every": "10m", "target": "none" } })),
            after: map(serde_json::json!({
                "name": "Ada", "heartbeat": { "every": "2h", "target": "none" },
            })),
        };
        assert_eq!(
            Change::of_config(&part).diff,
            "name: \"Ada\"\nheartbeat.every: \"10m\" → \"2h\""
        );
    }

    #[test]
    fn the_diff_of_an_entry_says_what_is_removed() {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let part = Part {
            agent: Some("ada".into()),
            what: String::new(),
            before: map(serde_json::json!({ "heartbeat": { "model": "x", "h": { "a": 1 } } })),
            after: map(serde_json::json!({ "heartbeat": {
                "model": null, "h": { "a": null }, "never": null,
            } })),
        };
        let expected = "heartbeat.model: \"x\" → removed\nheartbeat.h.a: 1 → removed";
        assert_eq!(Change::of_config(&part).diff, expected);
    }

    #[test]
    fn a_long_diff_is_cut_with_a_note() {
        let mut changes =
            vec![Change::new("a", "line\n".repeat(MAX_LINES + 7)), Change::new("b", "x\ny\n")];
        shorten(&mut changes);
        assert_eq!(changes[0].diff.lines().count(), MAX_LINES + 1);
        assert!(changes[0].diff.ends_with("… 7 more lines not kept"), "{}", changes[0].diff);
        assert_eq!(changes[1].diff, "x\ny\n");

        let mut changes = vec![Change::new("a", "ö".repeat(1000) + "\n"); 100];
        changes.push(Change::new("last", "z"));
        shorten(&mut changes);
        let kept: usize = changes.iter().map(|change| change.diff.len()).sum();
        assert!(kept < MAX_BYTES + 100 * 40, "{kept}");
        assert_eq!(changes[99].diff, "… 1 more line not kept");
    }
}
