//! The identity of an agent: the texts that its profile gives, and the defaults for those it does
//! not.

use serde_json::Value;

use crate::python_format;

/// Role of an agent whose profile names none.
pub const DEFAULT_ROLE: &str = "Generalist";
/// Communication style of an agent whose profile names none.
pub const DEFAULT_COMMUNICATION_STYLE: &str = "direct, concise, practical";
/// Emoji of an agent whose profile names none.
pub const DEFAULT_EMOJI: &str = ":gear:";

/// One field of a profile as text: trimmed, lists joined with `", "`, empty where there is nothing.
///
/// Anything but an object counts as a profile without fields. Numbers and nested values look as
/// Python prints them.
#[must_use]
pub fn text(profile: &Value, field: &str) -> String {
    match profile.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(items)) => {
            let items = items.iter().map(stripped).filter(|item| !item.is_empty());
            items.collect::<Vec<_>>().join(", ")
        }
        Some(value) => stripped(value),
    }
}

/// As [`text`], or the default where the profile gives nothing.
#[must_use]
pub fn text_or(profile: &Value, field: &str, default: &str) -> String {
    let text = text(profile, field);
    if text.is_empty() { default.to_owned() } else { text }
}

fn stripped(value: &Value) -> String {
    python_format::strip(&python_format::str(value)).to_owned()
}
