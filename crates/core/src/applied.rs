//! The things that a run has made true on a gateway, kept with the record of the agent for the next
//! run: the config keys of the agent's entry, and a digest of each file. It contains no values.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The version of the stored form. Other versions are not read.
const VERSION: u32 = 1;
/// The most bytes that are kept of one agent.
pub const MAX_BYTES: usize = 16 * 1024;

/// The keys and files that were last applied to one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Applied {
    /// The members of the agent's entry in the config that were wanted, at every level; those that
    /// are no objects are true.
    pub entry: Map<String, Value>,
    /// The SHA-256 of each file that was written or found as wanted, in hex digits, by its name.
    pub files: BTreeMap<String, String>,
}

impl Applied {
    /// Reads the stored form. Returns none if it is empty, or not a form that this version knows:
    /// then nothing is known of what was applied.
    #[must_use]
    pub fn read(stored: &str) -> Option<Self> {
        let is_known = |stored: &Value| stored["v"] == VERSION;
        let stored = Some(stored).filter(|stored| stored.len() <= MAX_BYTES)?;
        let stored = serde_json::from_str(stored).ok().filter(is_known)?;
        serde_json::from_value(stored).ok()
    }

    /// Returns the stored form. If it would be too large, the digests are left out, and then the
    /// keys, so that the next run removes nothing.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let all = json!({ "v": VERSION, "entry": self.entry, "files": self.files });
        let keys = json!({ "v": VERSION, "entry": self.entry });
        let forms = [all, keys].map(|form| form.to_string());
        let fitting = forms.into_iter().find(|form| form.len() <= MAX_BYTES);
        fitting.unwrap_or_else(|| json!({ "v": VERSION }).to_string())
    }

    /// Returns the members of the agent's heartbeat that were wanted.
    #[must_use]
    pub fn heartbeat(&self) -> Map<String, Value> {
        self.entry.get("heartbeat").and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(members: usize, files: usize) -> Applied {
        let heartbeat: Map<_, _> =
            (0..members).map(|n| (format!("member-{n:04}"), json!(true))).collect();
        let entry = json!({ "name": true, "heartbeat": heartbeat });
        Applied {
            entry: entry.as_object().expect("an object").clone(),
            files: (0..files).map(|n| (format!("{n}.md"), "0".repeat(64))).collect(),
        }
    }

    #[test]
    fn what_was_applied_is_read_as_it_was_stored() {
        let before = applied(3, 10);
        let stored = before.to_stored();
        assert_eq!(Applied::read(&stored), Some(before.clone()));
        assert_eq!(before.heartbeat().len(), 3);
        assert!(stored.starts_with(r#"{"v":1,"entry":{"#), "{stored}");
    }

    #[test]
    fn unknown_forms_mean_that_nothing_is_known() {
        let too_large = format!(r#"{{"v": 1{}}}"#, " ".repeat(MAX_BYTES));
        for stored in ["", "x", "[]", "{}", r#"{"v": 2}"#, r#"{"v": 1, "entry": 1}"#, &too_large] {
            assert_eq!(Applied::read(stored), None, "{stored:.40}");
        }
        let newer = Applied::read(r#"{"v": 1, "more": 1}"#);
        assert_eq!(newer, Some(Applied::default()), "a member was added");
    }

    #[test]
    fn the_stored_form_has_a_limit() {
        for (members, files, kept) in
            [(500, 10, (500, 10)), (840, 10, (840, 0)), (5000, 10, (0, 0)), (1, 500, (1, 0))]
        {
            let stored = applied(members, files).to_stored();
            let read = Applied::read(&stored).expect("it can be read");
            assert_eq!((read.heartbeat().len(), read.files.len()), kept, "{members} {files}");
        }
    }
}
