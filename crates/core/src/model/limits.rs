//! The limits on the length of a document's texts and on the number of its parts. `clients/python`
//! has the same limits.
//!
//! The size and the depth of the document are checked earlier, in
//! [`Job::parse`](super::Job::parse).

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::overrides::MAX_SOURCE_BYTES;
use crate::sanitize::is_unprintable;

/// The maximum length of a name, a URL, a path or a key, in characters.
pub(crate) const MAX_NAME: usize = 2_000;
/// The maximum length of a token, in characters.
const MAX_TOKEN: usize = 8_000;
/// The maximum length of a free text, in characters.
pub(crate) const MAX_TEXT: usize = 64_000;
/// The maximum number of values, over all levels, in a field that may hold any JSON.
const MAX_VALUES: usize = 1_000;
/// The maximum number of agents in a heartbeat-sync.
const MAX_AGENTS: usize = 5_000;

/// The rule for the content of a field.
#[derive(Clone, Copy)]
enum Rule {
    /// A text with a maximum length in characters.
    Text(usize),
    /// A text with a maximum length in characters that is shown to people on one line. Characters
    /// that would change the line are refused.
    Line(usize),
    /// A text with a maximum length in characters and without control characters. Blanks around it
    /// are allowed and removed.
    Token(usize),
    /// A text with a maximum length in bytes.
    Bytes(usize),
    /// Any JSON, within the limits on values and texts.
    Any,
}

/// The name of a field and its rule.
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

/// Reports the first part of the document that exceeds a limit. Values of a wrong type are skipped.
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
        let remedy = "use the folder's real path, without `..`";
        return Err(Problem::new("gateway.workspace_root", "contains `..`", remedy));
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
            (text.trim().chars().find(|c| c.is_control()), "use only the token, as it was issued")
        }
        _ => return None,
    };
    control.map(|c| (format!("contains control characters (U+{:04X})", u32::from(c)), remedy))
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
