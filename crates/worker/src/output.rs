//! Prints the output of commands: JSON for programs, a few lines for people.
//!
//! All output goes through this module, which escapes control characters: names and messages come
//! from jobs and gateways and may contain sequences that a terminal would obey.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use mission_core::sanitize::escaped;
use serde::Serialize;

/// The output format of a command.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Selects JSON if `json` is set or standard output is not a terminal.
    pub fn new(json: bool) -> Self {
        Self { json: json || !io::stdout().is_terminal() }
    }

    /// Prints a value as one line of JSON, or the text of `people`. A closed pipe is not an error.
    pub fn print(self, value: &impl Serialize, people: impl FnOnce() -> String) {
        let text = if self.json {
            serde_json::to_string(value).expect("output is plain data")
        } else {
            people()
        };
        // Escapes inside of JSON strings do not change their meaning.
        let _ = writeln!(io::stdout().lock(), "{}", printable(text.trim_end()));
    }

    /// Prints each of several values.
    pub fn print_all<T: Serialize>(self, values: &[T], people: impl Fn(&T) -> String) {
        for value in values {
            self.print(value, || people(value));
        }
    }
}

/// Prints a message for people to standard error.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// Escapes control characters, except line breaks and tabs.
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
