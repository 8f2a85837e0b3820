//! How Python prints values.
//!
//! Templates and agents show text that a Python backend used to print, so booleans, numbers and nested values have to
//! come out as they did there.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Whether Python's `str` methods count the character as white space: Unicode's, and four separators of ASCII.
#[must_use]
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text.strip()`.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The first word of a text; empty when there is none.
#[must_use]
pub fn first_word(text: &str) -> &str {
    text.split(is_space).find(|word| !word.is_empty()).unwrap_or_default()
}

/// Whether `if value:` would take the branch.
#[must_use]
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// `str(value)`: a string as it stands, everything else as `repr` prints it.
#[must_use]
pub fn str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => {
            let mut out = String::new();
            repr(other, &mut out);
            out
        }
    }
}

/// `json.dumps(value)`: ASCII only, `", "` and `": "` between the parts, members in their order.
#[must_use]
pub fn json_dumps(value: &Value) -> String {
    let mut out = String::new();
    dump(value, &mut out);
    out
}

fn repr(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number_repr(number)),
        Value::String(text) => repr_string(text, out),
        Value::Array(items) => join(items, "[]", out, repr),
        Value::Object(members) => join(members, "{}", out, |(key, value), out| {
            repr_string(key, out);
            out.push_str(": ");
            repr(value, out);
        }),
    }
}

fn dump(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_repr(number)),
        Value::String(text) => dump_string(text, out),
        Value::Array(items) => join(items, "[]", out, dump),
        Value::Object(members) => join(members, "{}", out, |(key, value), out| {
            dump_string(key, out);
            out.push_str(": ");
            dump(value, out);
        }),
    }
}

fn join<T>(
    parts: impl IntoIterator<Item = T>,
    brackets: &str,
    out: &mut String,
    mut print: impl FnMut(T, &mut String),
) {
    out.push_str(&brackets[..1]);
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        print(part, out);
    }
    out.push_str(&brackets[1..]);
}

fn number_repr(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_repr(float),
        _ => number.to_string(),
    }
}

/// Shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16 on.
fn float_repr(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`e` formatting has an exponent");
    let exponent: i32 = exponent.parse().expect("`e` formatting ends with an integer");
    if (-4..16).contains(&exponent) {
        // Rust prints the same shortest digits, but never with an exponent.
        let plain = float.to_string();
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
    }
}

fn repr_string(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            '\'' | '"' => out.push(c),
            c if is_printable(c) => out.push(c),
            c => write_escape(u32::from(c), out),
        }
    }
    out.push(quote);
}

fn write_escape(code: u32, out: &mut String) {
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    written.expect("writing to a string cannot fail");
}

/// Python and Rust's debug form leave the same characters as they are, once Rust's care for combining characters is
/// out of the way: it looks only at the first character of a text.
fn is_printable(c: char) -> bool {
    format!("a{c}").escape_debug().nth(1) == Some(c)
}

fn dump_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unprintable_characters_are_escaped_in_nested_strings() {
        let value = json!(["\u{0}\u{7f}\u{a0}\u{200b}\u{e0001}", "cafe\u{301}", "tab\t\"'"]);
        assert_eq!(str(&value), r#"['\x00\x7f\xa0\u200b\U000e0001', 'café', 'tab\t"\'']"#.replace('é', "e\u{301}"));
    }
}
