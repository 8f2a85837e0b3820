//! Values as a gateway keeps them, compared with what they are meant to be.

use serde_json::Value;

use super::config_text::spelt;
use super::folder::same_folder;

/// Whether two values mean the same: numbers by value, so that 1 is 1.0, as JavaScript has it.
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

/// A value as a gateway keeps it.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    /// As the gateway takes it.
    pub(super) present: Option<&'a Value>,
    /// As the file has it, null if it has none; none where the file is not shown.
    pub(super) written: Option<&'a Value>,
}

impl<'a> Kept<'a> {
    /// Returns whether it is as meant, on all levels: a merge patch can do no more. A member that
    /// is to be null may be missing instead, because a merge patch takes it away.
    pub(super) fn is(self, meant: &Value) -> bool {
        match (self.present, meant) {
            (Some(Value::Object(_)), Value::Object(meant)) => {
                meant.iter().all(|(key, value)| self.member(key).is(value))
            }
            (None, Value::Object(meant)) if !meant.is_empty() => {
                meant.iter().all(|(key, value)| self.member(key).is(value))
            }
            (None, meant) => meant.is_null(),
            (Some(Value::Null), Value::Null) => false,
            // A text that the file spells as a reference is right only as long as the variable is
            // not set.
            (Some(present), meant) => {
                same(present, meant)
                    && self.written.is_none_or(|written| !is_misspelt(written, meant))
            }
        }
    }

    /// Returns whether it is the folder that is meant. Some gateways replace `~` when they write.
    pub(super) fn is_folder(self, meant: &str) -> bool {
        let is = |kept: Option<&Value>, meant: &str| {
            kept.and_then(Value::as_str).is_some_and(|kept| same_folder(kept, meant))
        };
        is(self.present, meant) || is(self.written, &spelt(meant))
    }

    fn member(self, key: &str) -> Kept<'a> {
        let member = |value: &'a Value| value.get(key);
        Kept {
            present: self.present.and_then(member),
            written: self.written.map(|written| member(written).unwrap_or(&Value::Null)),
        }
    }
}

/// Returns whether a text has to be spelt in another way than it means, and the file does not do
/// so.
fn is_misspelt(written: &Value, meant: &Value) -> bool {
    match (written, meant) {
        (Value::String(written), Value::String(meant)) => {
            *written == *meant && spelt(meant) != *meant
        }
        (Value::Array(written), Value::Array(meant)) => {
            written.iter().zip(meant).any(|(written, meant)| is_misspelt(written, meant))
        }
        (Value::Object(written), Value::Object(meant)) => meant.iter().any(|(key, meant)| {
            written.get(key).is_some_and(|written| is_misspelt(written, meant))
        }),
        _ => false,
    }
}
