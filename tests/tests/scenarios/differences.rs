//! The differences between two JSON documents.

use serde_json::{Value, json};

/// Returns the differences as lines, each with its path. Where the expected value is
/// `{ "present": true, "nonempty": true }`, any text that is not empty matches.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", Some(expected), Some(found), &mut lines);
    lines
}

fn compare(path: &str, expected: Option<&Value>, found: Option<&Value>, lines: &mut Vec<String>) {
    match (expected, found) {
        (Some(expected), Some(Value::String(text)))
            if *expected == json!({ "present": true, "nonempty": true }) =>
        {
            if text.is_empty() {
                lines.push(format!("{path}: expected a text, found an empty one"));
            }
        }
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            let added = found.keys().filter(|name| !expected.contains_key(*name));
            for name in expected.keys().chain(added) {
                compare(&format!("{path}/{name}"), expected.get(name), found.get(name), lines);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => {
            for index in 0..expected.len().max(found.len()) {
                compare(&format!("{path}/{index}"), expected.get(index), found.get(index), lines);
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => {
            lines.push(format!("{path}: expected {}, found {}", shown(expected), shown(found)));
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".into(), |value| value.to_string().chars().take(200).collect())
}

#[test]
fn every_kind_of_difference_is_found() {
    let expected = json!({
        "same": [1, { "a": null }], "gone": 1, "list": [1, 2],
        "text": { "present": true, "nonempty": true }
    });
    let found = json!({ "same": [1, { "a": null }], "new": 1, "list": [1, 3, 4], "text": "" });
    let lines = differences(&expected, &found);
    assert_eq!(
        lines,
        [
            "/gone: expected 1, found nothing",
            "/list/1: expected 2, found 3",
            "/list/2: expected nothing, found 4",
            "/text: expected a text, found an empty one",
            "/new: expected nothing, found 1",
        ]
    );
    assert!(differences(&expected["text"], &json!("x")).is_empty());
}
