//! The identity of an agent: the texts of its profile.

use serde_json::Value;

use crate::python_format;

/// Returns one field of a profile as trimmed text. Lists are joined with `", "`, and a missing
/// field is an empty text.
///
/// Anything but an object counts as a profile without fields. Numbers and nested values are
/// formatted as Python prints them.
pub(crate) fn text(profile: &Value, field: &str) -> String {
    match profile.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(items)) => {
            let items = items.iter().map(stripped).filter(|item| !item.is_empty());
            items.collect::<Vec<_>>().join(", ")
        }
        Some(value) => stripped(value),
    }
}

fn stripped(value: &Value) -> String {
    python_format::strip(&python_format::str(value)).to_owned()
}
