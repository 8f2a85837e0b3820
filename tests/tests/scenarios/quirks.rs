//! The table of intended differences: what happens instead of what was recorded.

use std::collections::BTreeSet;

use serde_json::Value;

/// A scenario that does not end as recorded, or that fails: how it ends instead, or how exactly it fails.
pub struct Quirk {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What we do, and why.
    pub why: &'static str,
    /// How each step ends, `done`, `OUTCOME CODE` or `refused PATH`.
    pub ends: &'static [&'static str],
    /// What the gateway is like at the end.
    pub state: State,
}

/// What a gateway is like at the end.
pub enum State {
    /// As recorded.
    AsRecorded,
    /// As it was at the start: nothing was written.
    AsBefore,
    /// As recorded, but with these values at these paths; an empty value stands for none.
    Edited(&'static [(&'static str, &'static str)]),
}

/// A scenario whose second run makes calls of methods that can change something.
pub struct Repeated {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Why they are made, though nothing changes.
    pub why: &'static str,
    /// Their methods, in order.
    pub calls: &'static [&'static str],
}

/// All intended differences.
pub const TABLE: &[Quirk] = &[];

/// All second runs that are not silent.
pub const REPEATED: &[Repeated] = &[];

/// Every name in the tables is a scenario's, once, and has a reason.
pub fn check_names(scenarios: &BTreeSet<String>) {
    let differing = TABLE.iter().map(|quirk| (quirk.scenario, quirk.why));
    let repeated = REPEATED.iter().map(|repeated| (repeated.scenario, repeated.why));
    for table in [differing.collect::<Vec<_>>(), repeated.collect()] {
        let names: BTreeSet<_> = table.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), table.len(), "a scenario is listed twice");
        for (name, why) in table {
            assert!(scenarios.contains(name), "{name} is no scenario");
            assert!(!why.is_empty(), "{name} has no reason");
        }
    }
}

/// Puts a value at a path, or takes away what is there.
pub fn edit(state: &mut Value, path: &str, value: &str) {
    let (parent, name) = path.rsplit_once('/').expect("a path begins with a slash");
    let name = name.replace("~1", "/");
    let parent = state.pointer_mut(parent).unwrap_or_else(|| panic!("{path}: nothing there to edit"));
    match (parent, value) {
        (Value::Object(parent), "") => drop(parent.shift_remove(&name).expect("there is something to take away")),
        (Value::Object(parent), value) => drop(parent.insert(name, serde_json::from_str(value).unwrap())),
        (Value::Array(parent), "") => drop(parent.remove(name.parse().unwrap())),
        (Value::Array(parent), value) => {
            let value = serde_json::from_str(value).unwrap();
            parent.insert(name.parse().unwrap(), value);
        }
        _ => panic!("{path}: neither object nor list"),
    }
}
