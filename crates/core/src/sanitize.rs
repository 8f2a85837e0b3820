//! Escaping of untrusted texts for a log line, a record or a page.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns whether a character can change how the text around it is displayed: control characters,
/// line separators and direction marks.
#[must_use]
pub const fn is_unprintable(c: char) -> bool {
    let is_control = matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}');
    let is_line_separator = matches!(c, '\u{2028}' | '\u{2029}');
    let is_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}');
    is_control || is_line_separator || is_direction
}

/// Escapes such characters as JSON does (`\u001b`), except those that `keep` accepts. Inside JSON
/// the text keeps its meaning.
#[must_use]
pub fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_kept = |c: char| !is_unprintable(c) || keep(c);
    if text.chars().all(is_kept) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_kept(c) {
            shown.push(c);
        } else {
            write!(shown, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail");
        }
    }
    Cow::Owned(shown)
}

/// Returns the text on one line, escaped and cut to `most` characters.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let escaped = escaped(text, |_| false);
    match escaped.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &escaped[..at]),
        None => escaped.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_forge_a_line_is_escaped_and_what_is_long_is_cut() {
        let forged = "no\n2026-11-23 INFO all well\r\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{202e}é";
        let plain = r"no\u000a2026-11-23 INFO all well\u000d\u001b[2J\u007f\u009b\u2028\u202eé";
        assert_eq!(one_line(forged, 400), plain);
        assert_eq!(one_line("\u{61c}\u{200e}\u{2066}", 400), r"\u061c\u200e\u2066");
        assert_eq!(escaped("a\nb\t", |c| c == '\n'), "a\nb\\u0009");
        assert_eq!((one_line("ééé", 3).as_str(), one_line("éééé", 3).as_str()), ("ééé", "ééé…"));
        assert!(matches!(escaped("plain", |_| false), Cow::Borrowed(_)));
    }
}
