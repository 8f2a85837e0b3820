//! The rules for the heartbeats that a job may request. The Python client has the same rules.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Agent;
use super::problem::Problem;
use crate::heartbeat::{SHORTEST, interval};

/// The shortest token that is looked for. A shorter one occurs in too many unrelated words.
const MIN_TOKEN_CHARS: usize = 6;

/// Returns the problems with the heartbeat of the agent at `path`.
pub(super) fn problems(
    path: &str,
    agent: &Agent,
    token: Option<&SecretString>,
    allow_fast: bool,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let every = agent.heartbeat_config.get("every").and_then(Value::as_str).and_then(interval);
    if !allow_fast && every.is_some_and(|every| every < SHORTEST) {
        problems.push(Problem::new(
            format!("{path}.heartbeat_config.every"),
            format!("shorter than {} seconds", SHORTEST.as_secs()),
            format!("use {}s or more, or set `options.allow_fast_heartbeat`", SHORTEST.as_secs()),
        ));
    }
    let token = token
        .map(ExposeSecret::expose_secret)
        .filter(|token| token.chars().count() >= MIN_TOKEN_CHARS);
    if token.is_some_and(|token| holds(&agent.heartbeat_config, token)) {
        problems.push(Problem::new(
            format!("{path}.heartbeat_config"),
            "contains the agent's `auth_token`, and other people can read the gateway's config",
            "remove it; the agent finds its token in TOOLS.md or AGENTS.md",
        ));
    }
    problems
}

fn holds(value: &Value, token: &str) -> bool {
    match value {
        Value::String(text) => text.contains(token),
        Value::Array(items) => items.iter().any(|item| holds(item, token)),
        Value::Object(members) => {
            members.iter().any(|(key, value)| key.contains(token) || holds(value, token))
        }
        _ => false,
    }
}
