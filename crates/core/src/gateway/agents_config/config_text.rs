//! Text in the spelling of a config file.
//!
//! Gateways replace `${NAME}` in every string of their config with the environment variable of that
//! name, and `$${NAME}` with the text `${NAME}`. A name is an upper-case letter or an underscore,
//! followed by more of these or digits; any other dollar sign stands for itself. An unset variable
//! keeps 2026.2.9 from starting, and a set one would reveal the gateway's environment to an agent.
//! So all text from a job is escaped.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// A reference to a variable, and the `$` before it if there is one.
static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(\$?)(\$\{[A-Z_][A-Z0-9_]*\})").expect("the pattern is valid"));

/// Escapes a text so that a gateway reads it unchanged: adds one `$` before each `${NAME}`.
#[must_use]
pub fn escaped(text: &str) -> String {
    REFERENCE.replace_all(text, "$1$$$2").into_owned()
}

/// Undoes [`escaped`]: removes one `$` before each `${NAME}` that has one.
#[must_use]
pub fn unescaped(text: &str) -> String {
    REFERENCE.replace_all(text, "$2").into_owned()
}

/// Escapes every string in a value, see [`escaped`].
#[must_use]
pub fn escaped_value(value: &Value) -> Value {
    map_strings(value, &escaped)
}

/// Undoes [`escaped_value`].
#[must_use]
pub fn unescaped_value(value: &Value) -> Value {
    map_strings(value, &unescaped)
}

/// Changes every string in a value. Member names are left alone, because gateways do not expand
/// them.
fn map_strings(value: &Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(values) => values.iter().map(|value| map_strings(value, change)).collect(),
        Value::Object(members) => Value::Object(
            members.iter().map(|(key, value)| (key.clone(), map_strings(value, change))).collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns whether a text that begins with `${` begins with a reference to a variable.
    fn is_reference(text: &str) -> bool {
        let Some((name, _)) = text[2..].split_once('}') else { return false };
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name.chars().all(is_of_name)
    }

    /// Expands a text as gateways do, with a variable `A` that is set.
    fn read(text: &str) -> String {
        let mut read = String::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let end = |from: usize| from + rest[from..].find('}').map_or(0, |end| end + 1);
            if rest.starts_with("$${") && is_reference(&rest[1..]) {
                read.push_str(&rest[1..end(1)]);
                at += end(1);
            } else if rest.starts_with("${") && is_reference(rest) {
                read.push_str("VALUE");
                at += end(0);
            } else {
                let first = rest.chars().next().expect("it is not at the end");
                read.push(first);
                at += first.len_utf8();
            }
        }
        read
    }

    #[test]
    fn a_gateway_reads_what_was_meant() {
        for (text, expected) in [
            ("cd ${HOME}/x", "cd $${HOME}/x"),
            ("$${A}", "$$${A}"),
            ("$$${A}${_B2}", "$$$${A}$${_B2}"),
            ("${a} ${} ${A B} ${1A} $A ${A", "${a} ${} ${A B} ${1A} $A ${A"),
            ("${${A}}", "${$${A}}"),
            ("ü${Ü}${A}ü", "ü${Ü}$${A}ü"),
            ("", ""),
        ] {
            assert_eq!(escaped(text), expected, "{text}");
            assert_eq!(read(expected), text, "{text}");
            assert_eq!(unescaped(expected), text, "{text}");
        }
        let value = json!({ "${A}": ["${A}", 1, null, { "b": "${A}" }] });
        assert_eq!(escaped_value(&value), json!({ "${A}": ["$${A}", 1, null, { "b": "$${A}" }] }));
    }
}
