//! The identity of an agent: the texts of its profile, and defaults for those that the profile
//! lacks.

use serde_json::Value;

use crate::python_format;

/// The role of an agent whose profile names none.
pub(crate) const DEFAULT_ROLE: &str = "Generalist";
/// The communication style of an agent whose profile names none.
pub(crate) const DEFAULT_COMMUNICATION_STYLE: &str = "direct, concise, practical";
/// The emoji of an agent whose profile names none.
pub(crate) const DEFAULT_EMOJI: &str = ":gear:";

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

/// Returns [`text`], or the default if the profile has nothing in this field.
pub(crate) fn text_or(profile: &Value, field: &str, default: &str) -> String {
    let text = text(profile, field);
    if text.is_empty() { default.to_owned() } else { text }
}

fn stripped(value: &Value) -> String {
    python_format::strip(&python_format::str(value)).to_owned()
}
