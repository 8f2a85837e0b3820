//! The fields of a document and the rules for their content. A document that follows them can be
//! read into its types. The schema that clients use has the same rules, from the same tables.
//!
//! The size and the depth of the document are checked earlier, in
//! [`Job::parse`](super::Job::parse).

use serde_json::Value;
use uuid::Uuid;

use super::problem::Problem;
use crate::gateway::Fingerprint;
use crate::overrides::MAX_SOURCE_BYTES;
use crate::sanitize::is_unprintable;
use Form::{Date, Folder, Free, Hash, Id, Line, Token, Words};
use Need::{May, Must, NotNull};

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
pub(super) const MAX_AGENTS: usize = 5_000;

/// The largest generation or revision. Redis's scripts compute with doubles.
pub(super) const MAX_COUNT: u64 = 999_999_999_999_999;

/// The fields of an object, in the order of its type.
pub(super) type Fields = &'static [(&'static str, Need, Rule)];

/// The need for a field.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Need {
    /// The field is required.
    Must,
    /// The field may be null or left out.
    May,
    /// The field may be left out, but is never null.
    NotNull,
}

/// The rule for a value.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Part(Fields),
    /// A list of at most [`MAX_AGENTS`] agents.
    Agents,
    Switch,
    /// A whole number from 0 to [`MAX_COUNT`].
    Count,
    /// A text that is one of these names.
    Choice(&'static [&'static str]),
    /// A text with a maximum length in characters and a form.
    Text(usize, Form),
    /// A text with a maximum length in bytes.
    Bytes(usize),
    /// Any JSON, within the limits on values and texts.
    Any,
}

/// The form of a text.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    Free,
    /// A text that is shown to people on one line. Characters that would change the line are
    /// refused.
    Line,
    /// The path of a folder: a line without `..`.
    Folder,
    /// A text that is not blank and has no control characters.
    Words,
    /// A text without control characters. Blanks around it are allowed and removed.
    Token,
    /// A UUID in any of its forms.
    Id,
    /// A date or a date-time, or an empty text.
    Date,
    /// The fingerprint of a certificate.
    Hash,
}

pub(super) const DOCUMENT: Fields = &[
    ("version", Must, Rule::Any),
    ("kind", Must, Rule::Any),
    ("gateway", Must, Rule::Part(GATEWAY)),
    ("agent", May, Rule::Part(AGENT)),
    ("agents", May, Rule::Agents),
    ("board", May, Rule::Part(BOARD)),
    ("user", May, Rule::Part(USER)),
    ("auth_token", May, Rule::Text(MAX_TOKEN, Token)),
    ("session_key", May, Rule::Text(MAX_NAME, Line)),
    ("options", May, Rule::Part(OPTIONS)),
];
const GATEWAY: Fields = &[
    ("id", Must, Rule::Text(MAX_NAME, Id)),
    ("name", May, Rule::Text(MAX_NAME, Line)),
    ("url", May, Rule::Text(MAX_NAME, Free)),
    ("token", May, Rule::Text(MAX_TOKEN, Token)),
    ("workspace_root", May, Rule::Text(MAX_NAME, Folder)),
    ("allow_insecure_tls", May, Rule::Switch),
    ("tls_fingerprint", May, Rule::Text(MAX_NAME, Hash)),
    ("revision", May, Rule::Count),
];
pub(super) const AGENT: Fields = &[
    ("id", Must, Rule::Text(MAX_NAME, Id)),
    ("name", Must, Rule::Text(MAX_NAME, Line)),
    ("generation", May, Rule::Count),
    ("board_id", May, Rule::Text(MAX_NAME, Id)),
    ("openclaw_session_id", May, Rule::Text(MAX_NAME, Line)),
    ("is_board_lead", May, Rule::Switch),
    ("heartbeat_config", May, Rule::Any),
    ("identity_profile", May, Rule::Any),
    ("identity_template", May, Rule::Bytes(MAX_SOURCE_BYTES)),
    ("soul_template", May, Rule::Bytes(MAX_SOURCE_BYTES)),
];
const BOARD: Fields = &[
    ("id", Must, Rule::Text(MAX_NAME, Id)),
    ("name", Must, Rule::Text(MAX_NAME, Line)),
    ("board_type", NotNull, Rule::Text(MAX_NAME, Free)),
    ("objective", May, Rule::Text(MAX_TEXT, Free)),
    ("success_metrics", May, Rule::Any),
    ("target_date", May, Rule::Text(MAX_NAME, Date)),
    ("goal_confirmed", May, Rule::Switch),
];
const USER: Fields = &[
    ("name", May, Rule::Text(MAX_NAME, Free)),
    ("preferred_name", May, Rule::Text(MAX_NAME, Free)),
    ("pronouns", May, Rule::Text(MAX_NAME, Free)),
    ("timezone", May, Rule::Text(MAX_NAME, Free)),
    ("notes", May, Rule::Text(MAX_TEXT, Free)),
    ("context", May, Rule::Text(MAX_TEXT, Free)),
];
const OPTIONS: Fields = &[
    ("action", May, Rule::Choice(&["provision", "update"])),
    ("force_bootstrap", May, Rule::Switch),
    ("reset_session", May, Rule::Switch),
    ("adopt", May, Rule::Switch),
    ("move_workspace", May, Rule::Switch),
    ("wake", May, Rule::Part(WAKE)),
    ("allow_fast_heartbeat", May, Rule::Switch),
];
const WAKE: Fields = &[("deliver", May, Rule::Switch), ("verb", May, Rule::Text(MAX_VERB, Words))];

/// A problem and its remedy.
pub(super) type Texts = (&'static str, &'static str);
/// The texts for a path through a parent folder, a blank text, a number out of range, and too many
/// agents.
pub(super) const PARENT: Texts = ("contains `..`", "use the folder's real path, without `..`");
pub(super) const BLANK: Texts = ("blank", "use 1 to 64 printable characters");
pub(super) const OUT_OF_RANGE: Texts =
    ("out of range", "use a whole number from 0 to 999999999999999 that grows with each change");
pub(super) const SEVERAL_JOBS: &str = "send them in several jobs";

impl Form {
    /// Returns the texts for a text that does not have this form.
    pub(super) const fn texts(self) -> Texts {
        match self {
            Words => ("not printable", BLANK.1),
            Token => ("contains control characters", "use only the token, as it was issued"),
            Id => ("not a UUID", "use a UUID such as 0b9f7f0e-6d5c-4a55-8c5e-2f1f0a7b3d02"),
            Date => ("not a date", "use ISO 8601 such as 2026-03-01T09:00:00+00:00"),
            Hash => (
                "not a fingerprint",
                "use `sha256:` and 64 hex digits, with or without colons between bytes",
            ),
            Free | Line | Folder => ("contains control characters", "remove them"),
        }
    }

    /// Returns the test for characters that this form does not have.
    pub(super) const fn refused(self) -> Option<fn(char) -> bool> {
        match self {
            Line | Folder => Some(is_unprintable),
            Words | Token => Some(char::is_control),
            Free | Id | Date | Hash => None,
        }
    }
}

/// Reports the first fault of the document's content or else of its shape, in the order of the
/// document.
pub(super) fn check(document: &Value) -> Result<(), Problem> {
    let document = (document, Rule::Part(DOCUMENT));
    let fault = walk(document, fault_of_content).or_else(|| walk(document, fault_of_shape));
    fault.map_or(Ok(()), |Problem { path, problem, remedy }| {
        Err(Problem::new(path.trim_start_matches('.'), problem, remedy))
    })
}

/// Returns the first fault of a value and its fields. Its path begins at the value.
fn walk(
    (value, rule): (&Value, Rule),
    check: fn(&Value, Rule) -> Option<Problem>,
) -> Option<Problem> {
    let within = |place: String, inner: Problem| Problem { path: place + &inner.path, ..inner };
    check(value, rule).or_else(|| match (rule, value) {
        (Rule::Part(fields), Value::Object(members)) => members.iter().find_map(|(name, value)| {
            let (_, need, rule) = fields.iter().find(|(known, ..)| known == name)?;
            let is_absent = value.is_null() && *need == May;
            let fault = if is_absent { None } else { walk((value, *rule), check) };
            fault.map(|fault| within(format!(".{name}"), fault))
        }),
        (Rule::Agents, Value::Array(agents)) => {
            agents.iter().enumerate().find_map(|(index, agent)| {
                let fault = walk((agent, Rule::Part(AGENT)), check);
                fault.map(|fault| within(format!("[{index}]"), fault))
            })
        }
        _ => None,
    })
}

/// Makes a fault of a value itself.
fn fault(problem: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { path: String::new(), problem: problem.into(), remedy: remedy.into() }
}

/// Finds unknown fields, missing fields and wrong types, in this order.
fn fault_of_shape(value: &Value, rule: Rule) -> Option<Problem> {
    let (fits, wanted) = match rule {
        Rule::Part(_) => (value.is_object(), "an object"),
        Rule::Agents => (value.is_array(), "a list"),
        Rule::Switch => (value.is_boolean(), "a boolean"),
        Rule::Count => (value.is_i64() || value.is_u64(), "an integer"),
        Rule::Text(..) | Rule::Bytes(_) | Rule::Choice(_) => (value.is_string(), "a string"),
        Rule::Any => (true, ""),
    };
    if !fits {
        return Some(fault(format!("wrong type ({})", type_of(value)), format!("use {wanted}")));
    }
    match (rule, value) {
        (Rule::Part(fields), Value::Object(members)) => {
            let is_unknown = |name: &&String| fields.iter().all(|(known, ..)| known != name);
            if let Some(name) = members.keys().find(is_unknown) {
                let known: Vec<_> = fields.iter().map(|(known, ..)| *known).collect();
                let remedy = format!("remove it, or use one of `{}`", known.join("`, `"));
                return Some(Problem {
                    path: format!(".{name}"),
                    ..fault("unknown field", remedy)
                });
            }
            let (missing, ..) = fields
                .iter()
                .find(|(name, need, _)| *need == Must && !members.contains_key(*name))?;
            Some(Problem { path: format!(".{missing}"), ..fault("missing", "add it") })
        }
        (Rule::Choice(names), _) if names.iter().all(|name| value != name) => {
            Some(fault("unknown variant", format!("use one of `{}`", names.join("`, `"))))
        }
        _ => None,
    }
}

/// Returns the type of a value, which itself may be a secret.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "floating",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "sequence",
        Value::Object(_) => "map",
    }
}

/// Finds content against its rule, and lists in place of objects: serde would take them for the
/// values of the fields, and the masking of secrets relies on field names. Other values of a wrong
/// type are skipped.
fn fault_of_content(value: &Value, rule: Rule) -> Option<Problem> {
    match (rule, value) {
        (Rule::Part(_), Value::Array(_)) => fault_of_shape(value, rule),
        (Rule::Agents, Value::Array(agents)) if agents.len() > MAX_AGENTS => {
            let problem = format!("{} agents, more than {MAX_AGENTS}", agents.len());
            Some(fault(problem, SEVERAL_JOBS))
        }
        (Rule::Count, Value::Number(number)) if !number.is_f64() => {
            let is_within = number.as_u64().is_some_and(|number| number <= MAX_COUNT);
            (!is_within).then(|| fault(OUT_OF_RANGE.0, OUT_OF_RANGE.1))
        }
        (Rule::Any, value) => fault_of_json(value),
        (Rule::Bytes(limit), Value::String(text)) => too_long(text.len(), "bytes", limit),
        (Rule::Text(limit, form), Value::String(text)) => {
            let length = text.chars().count();
            too_long(length, "characters", limit).or_else(|| fault_of_form(text, form))
        }
        _ => None,
    }
}

fn too_long(length: usize, unit: &str, limit: usize) -> Option<Problem> {
    (length > limit).then(|| fault(format!("{length} {unit}, more than {limit}"), "shorten it"))
}

fn fault_of_form(text: &str, form: Form) -> Option<Problem> {
    if form == Words && text.trim().is_empty() {
        return Some(fault(BLANK.0, BLANK.1));
    }
    let (problem, remedy) = form.texts();
    let inner = if form == Token { text.trim() } else { text };
    if let Some(c) = form.refused().and_then(|refused| inner.chars().find(|c| refused(*c))) {
        return Some(fault(format!("{problem} (U+{:04X})", u32::from(c)), remedy));
    }
    match form {
        Folder if text.split(['/', '\\']).any(|step| step == "..") => {
            Some(fault(PARENT.0, PARENT.1))
        }
        Id if Uuid::try_parse(text).is_err() => Some(fault(problem, remedy)),
        Date if !text.is_empty() && !is_date(text) => Some(fault(problem, remedy)),
        Hash if text.parse::<Fingerprint>().is_err() => Some(fault(problem, remedy)),
        _ => None,
    }
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::DateTime>().is_ok() || text.parse::<jiff::Timestamp>().is_ok()
}

fn fault_of_json(value: &Value) -> Option<Problem> {
    let (mut rest, mut seen) = (vec![value], 0);
    while let Some(value) = rest.pop() {
        seen += 1;
        match value {
            Value::String(text) => {
                if let Some(inner) = too_long(text.chars().count(), "characters", MAX_TEXT) {
                    return Some(fault(format!("a text of {}", inner.problem), inner.remedy));
                }
            }
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.values()),
            _ => {}
        }
        if seen + rest.len() > MAX_VALUES {
            return Some(fault(format!("more than {MAX_VALUES} values"), "make it smaller"));
        }
    }
    None
}
