//! The problems of a document, with the conversion of serde's messages.

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

/// Converts serde's message into a path, a problem and a remedy. Serde names the parent of a
/// missing or unknown field. The expected values come last in the message; the text before them may
/// contain a name or value that looks the same.
pub(super) fn shape_problem(path: &str, message: &str) -> Problem {
    let parent = if path == "." { "" } else { path };
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let join = |field: &str| match parent {
        "" => field.to_owned(),
        parent if parent == field || parent.ends_with(&format!(".{field}")) => parent.to_owned(),
        parent => format!("{parent}.{field}"),
    };
    if message.starts_with("missing field") {
        return Problem::new(join(quoted), "missing", "add it");
    }
    if message.starts_with("unknown field") {
        let known = message.rsplit_once("`, expected ").map_or("", |(_, known)| known);
        let remedy = if known.is_empty() {
            "remove it".to_owned()
        } else {
            format!("remove it, or use {known}")
        };
        return Problem::new(join(quoted), "unknown field", remedy);
    }
    let path = if parent.is_empty() { "$" } else { parent };
    let (problem, remedy) = message
        .rsplit_once(", expected ")
        .map_or((message, ""), |(problem, wanted)| (problem, wanted));
    let problem = without_value(problem);
    if remedy.is_empty() {
        Problem::new(path, problem, "correct it")
    } else {
        Problem::new(path, problem, format!("use {remedy}"))
    }
}

/// Removes the offending value from serde's message. It may be a secret, so only its type is kept.
fn without_value(message: &str) -> String {
    let type_of = |found: &str| found.split([' ', ':']).next().unwrap_or("value").to_owned();
    if let Some(found) = message.strip_prefix("invalid type: ") {
        return format!("wrong type ({})", type_of(found));
    }
    if let Some(found) = message.strip_prefix("invalid value: ") {
        return format!("wrong value ({})", type_of(found));
    }
    for (said, kept) in
        [("unknown variant", "unknown variant"), ("UUID parsing failed", "not a UUID")]
    {
        if message.starts_with(said) {
            return kept.to_owned();
        }
    }
    message.to_owned()
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
