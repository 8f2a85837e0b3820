//! What commands print: JSON for programs, a few lines for people.

use std::io::{self, IsTerminal, Write};

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
        let text =
            if self.json { serde_json::to_string(value).expect("what is printed is plain data") } else { people() };
        let _ = writeln!(io::stdout().lock(), "{}", text.trim_end());
    }
}

/// Says a line to people, on standard error.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
