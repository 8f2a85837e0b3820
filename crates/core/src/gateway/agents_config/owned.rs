//! The three-way merge of a heartbeat: what an earlier run has set, what the config has, and what is
//! wanted. Members that were set and are not wanted any more are removed; those of others stay.

use serde_json::{Map, Value};

/// Returns the names of the members of an object, at every level, without their values: objects keep
/// their members, everything else becomes true. A member that is null is removed by a merge patch,
/// so it is no member.
#[must_use]
pub fn members_of(object: &Map<String, Value>) -> Map<String, Value> {
    let present = object.iter().filter(|(_, value)| !value.is_null());
    let name = |(key, value): (&String, &Value)| {
        let members = value.as_object().map(members_of);
        (key.clone(), members.map_or(Value::Bool(true), Value::Object))
    };
    present.map(name).collect()
}

/// Adds a null, which removes the member, for each member of `present` that is in `set_before` and
/// is not wanted any more.
pub(super) fn remove_unwanted(
    wanted: &mut Map<String, Value>,
    set_before: &Map<String, Value>,
    present: &Map<String, Value>,
) {
    for (key, set) in set_before {
        let Some(present) = present.get(key) else { continue };
        match (wanted.get_mut(key), set, present) {
            (None, set, present) => {
                wanted.extend(removal(set, present).map(|removal| (key.clone(), removal)));
            }
            (Some(Value::Object(wanted)), Value::Object(set), Value::Object(present)) => {
                remove_unwanted(wanted, set, present);
            }
            // It is replaced as a whole, or removed as the document says.
            (Some(_), ..) => {}
        }
    }
}

/// Returns the patch that removes what was set from a member: null, or an object if others have set
/// members in it. Returns `None` if nothing of it is left.
fn removal(set: &Value, present: &Value) -> Option<Value> {
    let (Value::Object(set), Value::Object(present)) = (set, present) else {
        return Some(Value::Null);
    };
    let members: Map<String, Value> = set
        .iter()
        .filter_map(|(key, set)| Some((key.clone(), removal(set, present.get(key)?)?)))
        .collect();
    let is_ours = |key: &String| members.get(key).is_some_and(Value::is_null);
    if present.keys().all(is_ours) {
        return Some(Value::Null);
    }
    (!members.is_empty()).then_some(Value::Object(members))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            other => panic!("{other}"),
        }
    }

    fn merged(set: Value, present: Value, wanted: Value) -> Value {
        let mut wanted = object(wanted);
        remove_unwanted(&mut wanted, &members_of(&object(set)), &object(present));
        Value::Object(wanted)
    }

    #[test]
    fn members_are_names_without_values() {
        let object = object(json!({
            "every": "5m", "to": null, "list": [{ "a": 1 }], "hours": { "from": 8, "to": null },
        }));
        let expected = json!({ "every": true, "list": true, "hours": { "from": true } });
        assert_eq!(Value::Object(members_of(&object)), expected);
    }

    #[test]
    fn only_what_was_set_and_is_not_wanted_is_removed() {
        // Set before, present, wanted, and what is written.
        let table = [
            (json!({ "a": 1 }), json!({ "a": 1 }), json!({}), json!({ "a": null })),
            (json!({ "a": 1 }), json!({ "a": 2 }), json!({}), json!({ "a": null })),
            (json!({ "a": 1 }), json!({}), json!({}), json!({})),
            (json!({}), json!({ "a": 1 }), json!({}), json!({})),
            (json!({ "a": 1 }), json!({ "a": 2 }), json!({ "a": 1 }), json!({ "a": 1 })),
            (
                json!({ "a": 1 }),
                json!({ "a": 1, "b": 2 }),
                json!({ "c": 3 }),
                json!({ "c": 3, "a": null }),
            ),
            (json!({ "a": 1 }), json!({ "a": 1 }), json!({ "a": null }), json!({ "a": null })),
            // In an object that is still wanted.
            (
                json!({ "h": { "a": 1, "b": 2 } }),
                json!({ "h": { "a": 1, "b": 2, "c": 3 } }),
                json!({ "h": { "a": 1 } }),
                json!({ "h": { "a": 1, "b": null } }),
            ),
            // In one that is not.
            (
                json!({ "h": { "a": 1 } }),
                json!({ "h": { "a": 1 } }),
                json!({}),
                json!({ "h": null }),
            ),
            (
                json!({ "h": { "a": 1 } }),
                json!({ "h": { "a": 1, "b": 2 } }),
                json!({}),
                json!({ "h": { "a": null } }),
            ),
            (json!({ "h": { "a": 1 } }), json!({ "h": { "b": 2 } }), json!({}), json!({})),
            (json!({ "h": {} }), json!({ "h": {} }), json!({}), json!({ "h": null })),
            (
                json!({ "h": { "i": { "a": 1 } } }),
                json!({ "h": { "i": { "a": 1 }, "b": 2 } }),
                json!({}),
                json!({ "h": { "i": null } }),
            ),
            // Values that have changed their form.
            (json!({ "h": { "a": 1 } }), json!({ "h": 1 }), json!({}), json!({ "h": null })),
            (json!({ "h": 1 }), json!({ "h": { "a": 1 } }), json!({}), json!({ "h": null })),
            (
                json!({ "h": { "a": 1 } }),
                json!({ "h": { "a": 1 } }),
                json!({ "h": 1 }),
                json!({ "h": 1 }),
            ),
            (
                json!({ "h": [1, 2] }),
                json!({ "h": [1, 2] }),
                json!({ "h": [1] }),
                json!({ "h": [1] }),
            ),
        ];
        for (set, present, wanted, expected) in table {
            let case = format!("set {set}, present {present}, wanted {wanted}");
            assert_eq!(merged(set, present, wanted), expected, "{case}");
        }
    }

    /// Every choice of who has set each of three members: after the write, the config has what is
    /// wanted and what others have set, and nothing else.
    #[test]
    fn what_is_left_is_wanted_or_of_others() {
        let choose = |choice: usize, value: &str| {
            let members = ["a", "b", "c"].into_iter().enumerate();
            let chosen = members.filter(|(at, _)| choice >> at & 1 == 1);
            chosen.map(|(_, key)| (key.to_owned(), json!(value))).collect::<Map<_, _>>()
        };
        for case in 0..512 {
            let (set, wanted) = (choose(case & 7, "ours"), choose(case >> 3 & 7, "wanted"));
            let present = choose(case >> 6, "present");
            let mut written = wanted.clone();
            remove_unwanted(&mut written, &members_of(&set), &present);
            let mut after = present.clone();
            after.extend(written);
            after.retain(|_, value| !value.is_null());
            let mut expected = present;
            expected.retain(|key, _| !set.contains_key(key));
            expected.extend(wanted);
            assert_eq!(after, expected, "{case}");
        }
    }
}
