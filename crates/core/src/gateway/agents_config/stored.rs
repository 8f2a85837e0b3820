//! Values as a gateway stores them, compared with the desired ones.

use serde_json::Value;

use super::config_text::escaped;
use super::folder::same_folder;

/// Returns whether two values mean the same. Numbers are compared by value, so 1 equals 1.0, as in
/// JavaScript.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && b.iter().all(|(key, b)| a.get(key).is_some_and(|a| same(a, b)))
        }
        _ => a == b,
    }
}

/// A value as a gateway stores it.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    /// The value as the gateway uses it.
    pub(super) present: Option<&'a Value>,
    /// The value as the file spells it, null if the file lacks it; `None` if the gateway does not
    /// return the file.
    pub(super) written: Option<&'a Value>,
}

impl<'a> Stored<'a> {
    /// Returns whether the value is as desired, at every level, since a merge patch can do no more.
    /// A member desired as null may be missing instead, because a merge patch removes it.
    pub(super) fn is(self, meant: &Value) -> bool {
        match (self.present, meant) {
            (None | Some(Value::Object(_)), Value::Object(meant))
                if self.present.is_some() || !meant.is_empty() =>
            {
                meant.iter().all(|(key, value)| self.member(key).is(value))
            }
            (None, meant) => meant.is_null(),
            (Some(Value::Null), Value::Null) => false,
            // A text that the file spells as a reference is right only as long as the variable is
            // not set.
            (Some(present), meant) => {
                same(present, meant)
                    && self.written.is_none_or(|written| !is_unescaped(written, meant))
            }
        }
    }

    /// Returns whether the value is the desired folder. Some gateways replace `~` when they write.
    pub(super) fn is_folder(self, meant: &str) -> bool {
        let is = |stored: Option<&Value>, meant: &str| {
            stored.and_then(Value::as_str).is_some_and(|stored| same_folder(stored, meant))
        };
        is(self.present, meant) || is(self.written, &escaped(meant))
    }

    fn member(self, key: &str) -> Stored<'a> {
        let member = |value: &'a Value| value.get(key);
        Stored {
            present: self.present.and_then(member),
            written: self.written.map(|written| member(written).unwrap_or(&Value::Null)),
        }
    }
}

/// Returns whether a text must be escaped and the file does not escape it.
fn is_unescaped(written: &Value, meant: &Value) -> bool {
    match (written, meant) {
        (Value::String(written), Value::String(meant)) => {
            *written == *meant && escaped(meant) != *meant
        }
        (Value::Array(written), Value::Array(meant)) => {
            written.iter().zip(meant).any(|(written, meant)| is_unescaped(written, meant))
        }
        (Value::Object(written), Value::Object(meant)) => meant.iter().any(|(key, meant)| {
            written.get(key).is_some_and(|written| is_unescaped(written, meant))
        }),
        _ => false,
    }
}
