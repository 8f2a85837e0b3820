//! The formatting of values as Python prints them.
//!
//! Templates and agents show text that a Python backend used to print, so booleans, numbers and
//! nested values must look the same.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Returns whether Python's `str` methods treat the character as white space: Unicode's white space
/// and four ASCII separators.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Computes `text.strip()` of Python.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Returns the first word of a text, or an empty text if there is none.
pub(crate) fn first_word(text: &str) -> &str {
    text.split(is_space).find(|word| !word.is_empty()).unwrap_or_default()
}

/// Computes `text.center(width, fill)` of Python.
pub(crate) fn center(text: &str, width: usize, fill: char) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width & 1);
    let padding = |count| std::iter::repeat_n(fill, count);
    padding(left).chain(text.chars()).chain(padding(missing - left)).collect()
}

/// Computes `text.splitlines(keep_ends)` of Python.
pub(crate) fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let is_end = |c: char| {
        let is_ascii = matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}');
        is_ascii || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        let width = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        lines.push(&rest[..if keep_ends { at + width } else { at }]);
        rest = &rest[at + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Computes `text.title()`: each letter that does not follow a letter becomes a capital.
pub(crate) fn title(text: &str) -> String {
    let mut after_letter = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if after_letter {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        after_letter = c.is_alphabetic();
    }
    out
}

/// Escapes all characters of a JSON text that Python escapes and other writers leave.
pub(crate) fn ascii_only(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail");
        }
    }
    out
}

/// Computes `ascii(value)` from the output of `repr`.
pub(crate) fn ascii_repr(repr: &str) -> String {
    let mut out = String::with_capacity(repr.len());
    for c in repr.chars() {
        if c.is_ascii() { out.push(c) } else { write_escape(u32::from(c), &mut out) }
    }
    out
}

/// Returns whether `if value:` would take the branch.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Computes `str(value)`: a string unchanged, any other value as `repr` prints it.
pub(crate) fn str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => REPR.print(other),
    }
}

/// Computes `json.dumps(value)`: ASCII only, with `", "` and `": "` as separators and the members
/// in their order.
pub(crate) fn json_dumps(value: &Value) -> String {
    JSON.print(value)
}

/// A way to print values: its constants, and its form of strings.
struct Style {
    none: &'static str,
    yes: &'static str,
    no: &'static str,
    string: fn(&str) -> String,
}

const REPR: Style = Style { none: "None", yes: "True", no: "False", string: repr_string };
const JSON: Style = Style {
    none: "null",
    yes: "true",
    no: "false",
    string: |text| ascii_only(&Value::from(text).to_string()),
};

impl Style {
    fn print(&self, value: &Value) -> String {
        let member = |(name, value): (&String, &Value)| {
            format!("{}: {}", (self.string)(name), self.print(value))
        };
        match value {
            Value::Null => self.none.to_owned(),
            Value::Bool(true) => self.yes.to_owned(),
            Value::Bool(false) => self.no.to_owned(),
            Value::Number(number) => number_repr(number),
            Value::String(text) => (self.string)(text),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.print(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Object(members) => {
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn number_repr(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_repr(float),
        _ => number.to_string(),
    }
}

/// Returns the shortest digits that read back as the same number, with an exponent below 1e-4 and
/// from 1e16 on.
pub(crate) fn float_repr(float: f64) -> String {
    // Rust's debug form has the same digits and limits. Python also signs and pads the exponent.
    let text = format!("{float:?}").to_lowercase();
    let exponent = text.split_once('e').and_then(|(digits, exponent)| {
        Some(format!("{digits}e{:+03}", exponent.parse::<i32>().ok()?))
    });
    exponent.unwrap_or(text)
}

fn repr_string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            '\'' | '"' => out.push(c),
            c if is_printable(c) => out.push(c),
            c => write_escape(u32::from(c), &mut out),
        }
    }
    out.push(quote);
    out
}

fn write_escape(code: u32, out: &mut String) {
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    written.expect("writing to a string cannot fail");
}

/// Returns whether `repr` prints the character unescaped. Rust's debug form agrees with Python,
/// except that it escapes a combining character at the start of a text; the letter before it avoids
/// that.
fn is_printable(c: char) -> bool {
    format!("a{c}").escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unprintable_characters_are_escaped_in_nested_strings() {
        let value = json!(["\u{0}\u{7f}\u{a0}\u{200b}\u{e0001}", "cafe\u{301}", "tab\t\"'"]);
        assert_eq!(
            str(&value),
            r#"['\x00\x7f\xa0\u200b\U000e0001', 'café', 'tab\t"\'']"#.replace('é', "e\u{301}")
        );
    }
}
