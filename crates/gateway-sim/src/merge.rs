//! Parsing and merging of patches, and the paths that they change.

use serde_json::{Map, Value};

use crate::answer::Refusal;

/// Parses a patch. Only the JSON subset of JSON5 is understood; the error has the text of the
/// gateways' parser.
pub(crate) fn parse_patch(raw: &str) -> Result<Value, Refusal> {
    let patch: Value = serde_json::from_str(raw).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let character = raw
            .lines()
            .nth(line.saturating_sub(1))
            .and_then(|line| line.chars().nth(column.saturating_sub(1)));
        Refusal::invalid(match character {
            Some(c) if !error.is_eof() => {
                format!("SyntaxError: JSON5: invalid character '{c}' at {line}:{column}")
            }
            _ => format!("SyntaxError: JSON5: invalid end of input at {line}:{column}"),
        })
    })?;
    if patch.is_object() {
        Ok(patch)
    } else {
        Err(Refusal::invalid("config.patch raw must be an object"))
    }
}

/// Applies a merge patch that also merges lists of items with ids: existing items are changed in
/// place, and new items are appended.
pub(crate) fn merge_by_id(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                match target.get_mut(name) {
                    _ if value.is_null() => drop(target.shift_remove(name)),
                    Some(present) => merge_by_id(present, value),
                    None => drop(target.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(target), Value::Array(patch))
            if patch.iter().chain(&*target).all(|item| item["id"].is_string()) =>
        {
            for item in patch {
                match target.iter_mut().find(|present| present["id"] == item["id"]) {
                    Some(present) => merge_by_id(present, item),
                    None => target.push(item.clone()),
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// Applies a merge patch: objects merge, `null` removes, any other value replaces, including
/// arrays.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Map::new().into();
    }
    let target = target.as_object_mut().expect("made an object above");
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Returns the shortest paths that cover every difference between two documents.
pub(crate) fn changed_paths(before: &Value, after: &Value) -> Vec<String> {
    fn walk(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
        let (Value::Object(old), Value::Object(new)) = (before, after) else {
            if before != after {
                found.push(path.to_owned());
            }
            return;
        };
        let added = new.keys().filter(|name| !old.contains_key(*name));
        for name in old.keys().chain(added) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (old.get(name), new.get(name)) {
                (Some(before), Some(after)) => walk(&path, before, after, found),
                _ => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    walk("", before, after, &mut found);
    found
}

/// Returns the differences like [`changed_paths`], but splits lists of items with ids:
/// `agents.list.ada.heartbeat`.
pub(crate) fn differences(before: &Value, after: &Value) -> Vec<String> {
    changed_paths(&by_id(before), &by_id(after))
}

fn by_id(value: &Value) -> Value {
    let with_id = |item: &Value| Some((item["id"].as_str()?.to_owned(), by_id(item)));
    let items = value.as_array().filter(|items| !items.is_empty());
    match items.and_then(|items| items.iter().map(with_id).collect::<Option<Map<_, _>>>()) {
        Some(items) => items.into(),
        None => map_members(value, |_, member| by_id(member)),
    }
}

/// Returns the value with each of its members or items replaced, by name or index.
pub(crate) fn map_members(value: &Value, mut f: impl FnMut(&str, &Value) -> Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), f(name, value))).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, item)| f(&at.to_string(), item)).collect()
        }
        other => other.clone(),
    }
}

/// Returns the path of every value that a patch sets.
pub(crate) fn leaf_paths(patch: &Value) -> Vec<String> {
    let nothing = Map::new();
    let fields = patch.as_object().unwrap_or(&nothing).iter();
    let below = |(name, value): (&String, &Value)| match leaf_paths(value) {
        paths if paths.is_empty() => vec![name.clone()],
        paths => paths.into_iter().map(|path| format!("{name}.{path}")).collect(),
    };
    fields.flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic fails the test")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_merges_removes_and_replaces() {
        let mut config = json!({ "a": { "b": 1, "c": [1, 2] }, "d": 1 });
        merge(
            &mut config,
            &json!({ "a": { "b": null, "c": [3], "e": { "f": 1 } }, "d": { "g": 2 } }),
        );
        assert_eq!(config, json!({ "a": { "c": [3], "e": { "f": 1 } }, "d": { "g": 2 } }));
    }

    #[test]
    fn changed_paths_are_as_short_as_possible() {
        let before = json!({ "a": { "b": 1, "c": 1 }, "gone": 1 });
        let after = json!({ "a": { "b": 2, "c": 1, "d": { "e": 1 } } });
        assert_eq!(changed_paths(&before, &after), ["a.b", "a.d", "gone"]);
        assert_eq!(
            leaf_paths(&json!({ "ui": { "seamColor": "red" }, "x": {} })),
            ["ui.seamColor", "x"]
        );
    }

    #[test]
    fn items_with_ids_are_compared_by_id() {
        let before = json!({ "list": [{ "id": "a", "x": 1 }, { "id": "b" }], "tags": [1] });
        let after =
            json!({ "list": [{ "id": "b" }, { "id": "a", "x": 2 }, { "id": "c" }], "tags": [2] });
        assert_eq!(differences(&before, &after), ["list.a.x", "list.c", "tags"]);
    }

    #[test]
    fn a_patch_with_invalid_json_is_refused_with_the_place() {
        assert_eq!(
            parse_patch("{{{").unwrap_err().message,
            "SyntaxError: JSON5: invalid character '{' at 1:2"
        );
        assert_eq!(
            parse_patch("{").unwrap_err().message,
            "SyntaxError: JSON5: invalid end of input at 1:1"
        );
        assert_eq!(parse_patch("[1]").unwrap_err().message, "config.patch raw must be an object");
    }
}
