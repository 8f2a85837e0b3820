//! How long the texts of a document may be, and how much there may be of anything. `clients/python`
//! has the same.
//!
//! The size of the document and its depth are limited before, see
//! [`Job::parse`](super::Job::parse).

use serde_json::{Map, Value};

use super::parse::Problem;
use crate::overrides::MAX_SOURCE_BYTES;
use crate::sanitize::is_unprintable;

/// Most characters of a name, a url, a path or a key.
pub const MAX_NAME: usize = 2_000;
/// Most characters of a token.
pub const MAX_TOKEN: usize = 8_000;
/// Most characters of a free text.
pub const MAX_TEXT: usize = 64_000;
/// Most values, all levels counted, in what a document may hold any JSON in.
pub const MAX_VALUES: usize = 1_000;
/// Most agents of a heartbeat-sync.
pub const MAX_AGENTS: usize = 5_000;

/// What may be in a field.
#[derive(Clone, Copy)]
enum Rule {
    /// A text of so many characters.
    Text(usize),
    /// A text of so many characters that people are shown on a line, without any that would change
    /// the line.
    Line(usize),
    /// A text of so many characters, without control characters but for blanks around it, which are
    /// left away.
    Token(usize),
    /// A text of so many bytes.
    Bytes(usize),
    /// Any JSON, with as many values and as long texts as a document may have.
    Any,
}

/// A field's name and what may be in it.
type Field = (&'static str, Rule);

const DOCUMENT: [Field; 2] =
    [("auth_token", Rule::Token(MAX_TOKEN)), ("session_key", Rule::Line(MAX_NAME))];
const GATEWAY: [Field; 4] = [
    ("name", Rule::Line(MAX_NAME)),
    ("url", Rule::Text(MAX_NAME)),
    ("token", Rule::Token(MAX_TOKEN)),
    ("workspace_root", Rule::Line(MAX_NAME)),
];
const AGENT: [Field; 6] = [
    ("name", Rule::Line(MAX_NAME)),
    ("openclaw_session_id", Rule::Line(MAX_NAME)),
    ("heartbeat_config", Rule::Any),
    ("identity_profile", Rule::Any),
    ("identity_template", Rule::Bytes(MAX_SOURCE_BYTES)),
    ("soul_template", Rule::Bytes(MAX_SOURCE_BYTES)),
];
const BOARD: [Field; 4] = [
    ("name", Rule::Line(MAX_NAME)),
    ("board_type", Rule::Text(MAX_NAME)),
    ("objective", Rule::Text(MAX_TEXT)),
    ("success_metrics", Rule::Any),
];
const USER: [Field; 6] = [
    ("name", Rule::Text(MAX_NAME)),
    ("preferred_name", Rule::Text(MAX_NAME)),
    ("pronouns", Rule::Text(MAX_NAME)),
    ("timezone", Rule::Text(MAX_NAME)),
    ("notes", Rule::Text(MAX_TEXT)),
    ("context", Rule::Text(MAX_TEXT)),
];

/// The first thing of which there is too much. What has a wrong type is not looked at.
pub(super) fn check(document: &Map<String, Value>) -> Result<(), Problem> {
    check_fields(document, "", &DOCUMENT)?;
    for (name, fields) in
        [("gateway", &GATEWAY[..]), ("agent", &AGENT), ("board", &BOARD), ("user", &USER)]
    {
        if let Some(Value::Object(part)) = document.get(name) {
            check_fields(part, &format!("{name}."), fields)?;
        }
    }
    let root = document
        .get("gateway")
        .and_then(|gateway| gateway.get("workspace_root"))
        .and_then(Value::as_str);
    if root.is_some_and(|root| root.split(['/', '\\']).any(|step| step == "..")) {
        let remedy = "give the folder's path as it is, without `..`";
        return Err(Problem::new("gateway.workspace_root", "`..` in it", remedy));
    }
    let agents = document.get("agents").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if agents.len() > MAX_AGENTS {
        let problem = format!("{} agents, more than {MAX_AGENTS}", agents.len());
        return Err(Problem::new("agents", problem, "send them in several jobs"));
    }
    for (index, agent) in agents.iter().enumerate() {
        if let Value::Object(agent) = agent {
            check_fields(agent, &format!("agents[{index}]."), &AGENT)?;
        }
    }
    Ok(())
}

fn check_fields(part: &Map<String, Value>, parent: &str, fields: &[Field]) -> Result<(), Problem> {
    for (name, rule) in fields {
        let fault = match (rule, part.get(*name)) {
            (Rule::Any, Some(value)) => fault_of_json(value),
            (_, Some(Value::String(text))) => fault_of_text(text, *rule),
            _ => None,
        };
        if let Some((problem, remedy)) = fault {
            return Err(Problem::new(format!("{parent}{name}"), problem, remedy));
        }
    }
    Ok(())
}

fn fault_of_text(text: &str, rule: Rule) -> Option<(String, &'static str)> {
    let (length, unit, limit) = match rule {
        Rule::Text(limit) | Rule::Line(limit) | Rule::Token(limit) => {
            (text.chars().count(), "characters", limit)
        }
        Rule::Bytes(limit) => (text.len(), "bytes", limit),
        Rule::Any => return None,
    };
    if length > limit {
        return Some((format!("{length} {unit}, more than {limit}"), "shorten it"));
    }
    let (control, remedy) = match rule {
        Rule::Line(_) => (text.chars().find(|c| is_unprintable(*c)), "remove them"),
        Rule::Token(_) => {
            (text.trim().chars().find(|c| c.is_control()), "give the token alone, as it was issued")
        }
        _ => return None,
    };
    control.map(|c| (format!("control characters in it (U+{:04X})", u32::from(c)), remedy))
}

fn fault_of_json(value: &Value) -> Option<(String, &'static str)> {
    let (mut rest, mut seen) = (vec![value], 0);
    while let Some(value) = rest.pop() {
        seen += 1;
        match value {
            Value::String(text) => {
                if let Some((problem, remedy)) = fault_of_text(text, Rule::Text(MAX_TEXT)) {
                    return Some((format!("a text of {problem}"), remedy));
                }
            }
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.values()),
            _ => {}
        }
        if seen + rest.len() > MAX_VALUES {
            return Some((format!("more than {MAX_VALUES} values"), "make it smaller"));
        }
    }
    None
}
