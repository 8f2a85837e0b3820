//! The rules for the heartbeats that a job may ask for. `clients/python` has the same.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Agent;
use super::parse::Problem;
use crate::heartbeat::{SHORTEST, interval};

/// A token that is shorter is in too many words that have nothing to do with it.
const MIN_TOKEN_CHARS: usize = 6;

/// Returns what is wrong with the heartbeat of an agent at that path.
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
            format!("give {}s or more, or set `options.allow_fast_heartbeat`", SHORTEST.as_secs()),
        ));
    }
    let token = token
        .map(ExposeSecret::expose_secret)
        .filter(|token| token.chars().count() >= MIN_TOKEN_CHARS);
    if token.is_some_and(|token| holds(&agent.heartbeat_config, token)) {
        problems.push(Problem::new(
            format!("{path}.heartbeat_config"),
            "the agent's `auth_token` is in it, and the gateway's config has other readers",
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
