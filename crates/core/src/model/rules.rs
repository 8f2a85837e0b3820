//! The rules for the content of a document's fields: the lengths of texts, the number of parts,
//! and the forms of ids, dates and fingerprints. The schema that clients use has the same rules,
//! from the same tables.
//!
//! The size and the depth of the document are checked earlier, in
//! [`Job::parse`](super::Job::parse).

use serde_json::Value;
use uuid::Uuid;

use super::problem::Problem;
use crate::gateway::Fingerprint;
use crate::overrides::MAX_SOURCE_BYTES;
use crate::sanitize::is_unprintable;

/// The maximum length of a name, a URL, a path or a key, in characters.
pub(crate) const MAX_NAME: usize = 2_000;
/// The maximum length of a token, in characters.
const MAX_TOKEN: usize = 8_000;
/// The maximum length of a free text, in characters.
pub(crate) const MAX_TEXT: usize = 64_000;
/// The maximum length of the verb of a wake message, in characters.
const MAX_VERB: usize = 64;
/// The maximum number of values, over all levels, in a field that may hold any JSON.
pub(super) const MAX_VALUES: usize = 1_000;
/// The maximum number of agents in a heartbeat-sync.
const MAX_AGENTS: usize = 5_000;

/// The rule for the content of a field. Lengths are in characters unless noted.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// An object with its own fields.
    Part(&'static [Field]),
    /// A list of objects, with its maximum length.
    List(usize, &'static [Field]),
    /// A text with a maximum length.
    Text(usize),
    /// A text with a maximum length that is shown to people on one line. Characters that would
    /// change the line are refused.
    Line(usize),
    /// The path of a folder: a line without `..`.
    Folder(usize),
    /// A text with a maximum length that is not blank and has no control characters.
    Words(usize),
    /// A text with a maximum length and without control characters. Blanks around it are allowed
    /// and removed.
    Token(usize),
    /// A text with a maximum length in bytes.
    Bytes(usize),
    /// Any JSON, within the limits on values and texts.
    Any,
    /// A UUID in any of its forms.
    Uuid,
    /// A date or a date-time, or an empty text.
    Date,
    /// The fingerprint of a certificate.
    Fingerprint,
}

/// The name of a field and its rule. Switches and the choice of an action need none.
pub(super) type Field = (&'static str, Rule);

pub(super) const DOCUMENT: [Field; 8] = [
    ("gateway", Rule::Part(&GATEWAY)),
    ("agent", Rule::Part(&AGENT)),
    ("agents", Rule::List(MAX_AGENTS, &AGENT)),
    ("board", Rule::Part(&BOARD)),
    ("user", Rule::Part(&USER)),
    ("auth_token", Rule::Token(MAX_TOKEN)),
    ("session_key", Rule::Line(MAX_NAME)),
    ("options", Rule::Part(&[("wake", Rule::Part(&[("verb", Rule::Words(MAX_VERB))]))])),
];
const GATEWAY: [Field; 6] = [
    ("id", Rule::Uuid),
    ("name", Rule::Line(MAX_NAME)),
    ("url", Rule::Text(MAX_NAME)),
    ("token", Rule::Token(MAX_TOKEN)),
    ("workspace_root", Rule::Folder(MAX_NAME)),
    ("tls_fingerprint", Rule::Fingerprint),
];
const AGENT: [Field; 8] = [
    ("id", Rule::Uuid),
    ("name", Rule::Line(MAX_NAME)),
    ("board_id", Rule::Uuid),
    ("openclaw_session_id", Rule::Line(MAX_NAME)),
    ("heartbeat_config", Rule::Any),
    ("identity_profile", Rule::Any),
    ("identity_template", Rule::Bytes(MAX_SOURCE_BYTES)),
    ("soul_template", Rule::Bytes(MAX_SOURCE_BYTES)),
];
const BOARD: [Field; 6] = [
    ("id", Rule::Uuid),
    ("name", Rule::Line(MAX_NAME)),
    ("board_type", Rule::Text(MAX_NAME)),
    ("objective", Rule::Text(MAX_TEXT)),
    ("success_metrics", Rule::Any),
    ("target_date", Rule::Date),
];
const USER: [Field; 6] = [
    ("name", Rule::Text(MAX_NAME)),
    ("preferred_name", Rule::Text(MAX_NAME)),
    ("pronouns", Rule::Text(MAX_NAME)),
    ("timezone", Rule::Text(MAX_NAME)),
    ("notes", Rule::Text(MAX_TEXT)),
    ("context", Rule::Text(MAX_TEXT)),
];

/// The problem with a path to a parent folder, and its remedy.
pub(super) const PARENT_FOLDER: (&str, &str) =
    ("contains `..`", "use the folder's real path, without `..`");
/// The problem with a text that must not be blank.
pub(super) const BLANK: &str = "blank";

/// The problem with a value, and its remedy.
type Fault = (String, &'static str);

impl Rule {
    /// Returns the problem with a text that does not have the form which the rule requires, and
    /// its remedy.
    pub(super) const fn form(self) -> (&'static str, &'static str) {
        let control = "contains control characters";
        match self {
            Self::Words(_) => ("not printable", "use 1 to 64 printable characters"),
            Self::Token(_) => (control, "use only the token, as it was issued"),
            Self::Uuid => ("not a UUID", "use a UUID such as 0b9f7f0e-6d5c-4a55-8c5e-2f1f0a7b3d02"),
            Self::Date => ("not a date", "use ISO 8601 such as 2026-03-01T09:00:00+00:00"),
            Self::Fingerprint => (
                "not a fingerprint",
                "use `sha256:` and 64 hex digits, with or without colons between bytes",
            ),
            _ => (control, "remove them"),
        }
    }
}

/// Reports the first part of the document that is a list in place of an object, or else the first
/// field that breaks its rule. Values of a wrong type are skipped.
pub(super) fn check(document: &Value) -> Result<(), Problem> {
    let document = (document, Rule::Part(&DOCUMENT));
    let fault = walk(document, fault_of_part).or_else(|| walk(document, fault_of_content));
    fault.map_or(Ok(()), |(path, (problem, remedy))| {
        Err(Problem::new(path.trim_start_matches('.'), problem, remedy))
    })
}

/// Returns the first fault of a value and its fields, in the order of the document, with its path.
fn walk(
    (value, rule): (&Value, Rule),
    check: fn(&Value, Rule) -> Option<Fault>,
) -> Option<(String, Fault)> {
    if let Some(fault) = check(value, rule) {
        return Some((String::new(), fault));
    }
    match (rule, value) {
        (Rule::Part(fields), Value::Object(members)) => members.iter().find_map(|(name, value)| {
            let (_, rule) = fields.iter().find(|(known, _)| known == name)?;
            walk((value, *rule), check).map(|(path, fault)| (format!(".{name}{path}"), fault))
        }),
        (Rule::List(_, fields), Value::Array(items)) => {
            items.iter().enumerate().find_map(|(index, item)| {
                let (path, fault) = walk((item, Rule::Part(fields)), check)?;
                Some((format!("[{index}]{path}"), fault))
            })
        }
        _ => None,
    }
}

/// Finds a list in place of an object, which serde would take for the values of the fields. The
/// masking of secrets relies on field names.
fn fault_of_part(value: &Value, rule: Rule) -> Option<Fault> {
    let is_stand_in = matches!((rule, value), (Rule::Part(_), Value::Array(_)));
    is_stand_in.then(|| ("wrong type (sequence)".to_owned(), "use an object"))
}

fn fault_of_content(value: &Value, rule: Rule) -> Option<Fault> {
    match (rule, value) {
        (Rule::List(limit, _), Value::Array(items)) if items.len() > limit => {
            let problem = format!("{} agents, more than {limit}", items.len());
            Some((problem, "send them in several jobs"))
        }
        (Rule::Any, value) => fault_of_json(value),
        (_, Value::String(text)) => fault_of_text(text, rule),
        _ => None,
    }
}

fn fault_of_text(text: &str, rule: Rule) -> Option<Fault> {
    let (length, unit, limit) = match rule {
        Rule::Text(limit)
        | Rule::Line(limit)
        | Rule::Folder(limit)
        | Rule::Words(limit)
        | Rule::Token(limit) => (text.chars().count(), "characters", limit),
        Rule::Bytes(limit) => (text.len(), "bytes", limit),
        _ => (0, "", 0),
    };
    if length > limit {
        return Some((format!("{length} {unit}, more than {limit}"), "shorten it"));
    }
    let (problem, remedy) = rule.form();
    let (is_wrong, control) = match rule {
        Rule::Line(_) | Rule::Folder(_) => (false, text.chars().find(|c| is_unprintable(*c))),
        Rule::Words(_) => (false, text.chars().find(|c| c.is_control())),
        Rule::Token(_) => (false, text.trim().chars().find(|c| c.is_control())),
        Rule::Uuid => (Uuid::try_parse(text).is_err(), None),
        Rule::Date => (!text.is_empty() && !is_date(text), None),
        Rule::Fingerprint => (text.parse::<Fingerprint>().is_err(), None),
        _ => (false, None),
    };
    if matches!(rule, Rule::Words(_)) && text.trim().is_empty() {
        return Some((BLANK.to_owned(), remedy));
    }
    if let Some(c) = control {
        return Some((format!("{problem} (U+{:04X})", u32::from(c)), remedy));
    }
    if matches!(rule, Rule::Folder(_)) && text.split(['/', '\\']).any(|step| step == "..") {
        return Some((PARENT_FOLDER.0.to_owned(), PARENT_FOLDER.1));
    }
    is_wrong.then(|| (problem.to_owned(), remedy))
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::DateTime>().is_ok() || text.parse::<jiff::Timestamp>().is_ok()
}

fn fault_of_json(value: &Value) -> Option<Fault> {
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
