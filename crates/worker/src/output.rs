//! What commands print: JSON for programs, a few lines for people. All that people read goes
//! through here, and is made fit for a terminal: names and messages come from elsewhere, and may
//! have characters that a terminal obeys.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use mission_core::sanitize::escaped;
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON if asked for, or if standard output is no terminal.
    pub fn new(json: bool) -> Self {
        Self { json: json || !io::stdout().is_terminal() }
    }

    /// Prints one document. A reader that has gone away is no error.
    pub fn print(self, value: &impl Serialize, people: impl FnOnce() -> String) {
        let text = if self.json {
            serde_json::to_string(value).expect("what is printed is plain data")
        } else {
            people()
        };
        // JSON has its own escapes for some of these characters, and means the same with all of
        // them escaped.
        let _ = writeln!(io::stdout().lock(), "{}", printable(text.trim_end()));
    }
}

/// Says something to people, on standard error.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// The text without what a terminal would obey, but for line breaks and tabs.
fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_to_obey_and_json_stays_json() {
        let evil = "a\u{1b}]0;t\u{7}\u{9b}2K\u{7f}\r\u{202e}\u{61c}\nb\tc";
        assert_eq!(
            printable(evil),
            "a\\u001b]0;t\\u0007\\u009b2K\\u007f\\u000d\\u202e\\u061c\nb\tc"
        );
        let json = serde_json::to_string(evil).expect("a text");
        let shown = printable(&json);
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), evil);
    }
}
