//! The problems of a document.

use std::fmt;

use serde_json::Value;

use crate::sanitize::one_line;

/// The maximum length of a path and of a description in a [`Problem`], in characters.
const MAX_PATH: usize = 200;
const MAX_WORDS: usize = 1000;

/// One problem of a document: its place, its description and its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field, such as `agent.heartbeat_config`; `$` is the document itself.
    pub path: String,
    /// The description of the problem.
    pub problem: String,
    /// The action that solves it.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(
        path: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        // The texts may contain names that were chosen by a user.
        Self {
            path: one_line(&path.into(), MAX_PATH),
            problem: one_line(&problem.into(), MAX_WORDS),
            remedy: one_line(&remedy.into(), MAX_WORDS),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.problem, self.remedy)
    }
}

/// The error for a job document that cannot be accepted. It never holds values of the document,
/// which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct DocumentError {
    /// The problems that were found; at least one.
    pub problems: Vec<Problem>,
}

impl From<Problem> for DocumentError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// Returns a short text for a value in a message.
pub(super) fn brief(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("\"{}\"", shorten(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Returns the first 40 characters of a text, without control characters.
pub(super) fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}
