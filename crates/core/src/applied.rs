//! What a run has made true on a gateway, kept with the record of the agent for the next run: the
//! config keys of the agent's entry, and a digest of each file. It contains no values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the stored form. Other versions are not read.
const VERSION: u32 = 1;
/// The most bytes that are kept of one agent.
pub const MAX_BYTES: usize = 16 * 1024;

/// What was last applied to one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    #[serde(rename = "v")]
    version: u32,
    /// The members of the agent's entry in the config that were wanted, at every level; those that
    /// are no objects are true.
    #[serde(default)]
    pub entry: Map<String, Value>,
    /// The SHA-256 of each file that was written or found as wanted, in hex digits, by its name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl Applied {
    /// Reads the stored form. Returns none if it is empty, or not a form that this version knows:
    /// then nothing is known of what was applied.
    #[must_use]
    pub fn read(stored: &str) -> Option<Self> {
        let applied: Self = serde_json::from_str(stored).ok()?;
        (applied.version == VERSION && stored.len() <= MAX_BYTES).then_some(applied)
    }

    /// Returns the stored form. If it would be too large, the digests are left out, and then the
    /// keys, so that the next run removes nothing.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let Self { entry, files, .. } = self;
        let stored = |entry: &Map<String, Value>, files: &BTreeMap<String, String>| {
            let kept = Self { version: VERSION, entry: entry.clone(), files: files.clone() };
            serde_json::to_string(&kept).expect("names and digests are JSON")
        };
        let none = BTreeMap::new();
        [stored(entry, files), stored(entry, &none)]
            .into_iter()
            .find(|stored| stored.len() <= MAX_BYTES)
            .unwrap_or_else(|| stored(&Map::new(), &none))
    }

    /// Returns the members of the agent's heartbeat that were wanted.
    #[must_use]
    pub fn heartbeat(&self) -> Map<String, Value> {
        self.entry.get("heartbeat").and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(members: usize, files: usize) -> Applied {
        let heartbeat: Map<_, _> =
            (0..members).map(|n| (format!("member-{n:04}"), json!(true))).collect();
        let entry = json!({ "name": true, "heartbeat": heartbeat });
        Applied {
            version: VERSION,
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
            assert_eq!(Applied::read(stored), None, "{:.40}", stored);
        }
        assert_eq!(
            Applied::read(r#"{"v": 1, "more": 1}"#),
            Some(applied(0, 0)).map(|known| { Applied { entry: Map::new(), ..known } })
        );
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
