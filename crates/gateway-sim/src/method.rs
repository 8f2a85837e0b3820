//! The table of methods: their scopes, their effects and their parameters.

use serde_json::{Map, Value};

use crate::{answer::Refusal, profile::Profile};

/// A method of the gateway.
#[derive(Clone, Copy)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// The scope that a connection needs, without its prefix `operator.`; empty for none.
    scope: &'static str,
    /// `true` if the method can change something.
    pub(crate) mutates: bool,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const fn reads(
    name: &'static str,
    scope: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Method {
    Method { name, scope, mutates: false, required, optional }
}

const fn changes(
    name: &'static str,
    scope: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Method {
    Method { name, scope, mutates: true, required, optional }
}

/// All methods. Where versions differ, the row is that of the old gateway, and [`Method::scope`]
/// and [`Method::check`] have the differences. `connect` is missing, because it is part of opening
/// a connection.
pub(crate) const METHODS: [Method; 17] = [
    reads("health", "", &[], &["probe"]),
    reads("status", "read", &[], &[]),
    reads("agents.list", "read", &[], &[]),
    changes("agents.create", "admin", &["name", "workspace"], &["emoji", "avatar"]),
    changes("agents.update", "admin", &["agentId"], &["name", "workspace", "model", "avatar"]),
    changes("agents.delete", "admin", &["agentId"], &["deleteFiles"]),
    reads("agents.files.list", "read", &["agentId"], &[]),
    reads("agents.files.get", "read", &["agentId", "name"], &[]),
    changes("agents.files.set", "admin", &["agentId", "name", "content"], &[]),
    reads("config.get", "admin", &[], &[]),
    changes(
        "config.patch",
        "admin",
        &["raw"],
        &["baseHash", "sessionKey", "note", "restartDelayMs"],
    ),
    reads(
        "sessions.list",
        "read",
        &[],
        &["limit", "activeMinutes", "includeGlobal", "includeUnknown", "agentId"],
    ),
    reads("sessions.resolve", "read", &["key"], &[]),
    changes(
        "sessions.patch",
        "admin",
        &["key"],
        &["label", "thinkingLevel", "verboseLevel", "model"],
    ),
    changes("sessions.reset", "admin", &["key"], &["reason"]),
    changes("sessions.delete", "admin", &["key"], &["deleteTranscript"]),
    changes(
        "chat.send",
        "write",
        &["sessionKey", "message", "idempotencyKey"],
        &["thinking", "deliver", "attachments", "timeoutMs"],
    ),
];

/// Returns the method with this name, if the gateway has it.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

impl Method {
    /// Returns the required scope in full, or `None` if none is required.
    pub(crate) fn scope(&self, profile: Profile) -> Option<String> {
        let scope = match (self.name, profile.is_new()) {
            ("config.get", true) => "read",
            ("sessions.patch", true) => "write",
            _ => self.scope,
        };
        (!scope.is_empty()).then(|| format!("operator.{scope}"))
    }

    /// Checks parameters as strictly as real gateways do, with their messages: all findings in one
    /// message.
    pub(crate) fn check(&self, profile: Profile, params: &Value) -> Result<(), Refusal> {
        let nothing = Map::new();
        let params = params.as_object().unwrap_or(&nothing);
        let mut findings = Vec::new();
        for name in self.required.iter().filter(|name| !(profile.is_new() && **name == "workspace"))
        {
            if !params.contains_key(*name) {
                findings.push(format!("must have required property '{name}'"));
            }
        }
        for (name, value) in params {
            let known =
                self.required.contains(&name.as_str()) || self.optional.contains(&name.as_str());
            let ignored =
                profile == Profile::Scenario && self.name == "agents.update" && value == "";
            if known && !ignored {
                findings.extend(value_findings(profile, name, value));
            } else if !known {
                findings.push(format!("at root: unexpected property '{name}'"));
            }
        }
        if findings.is_empty() {
            Ok(())
        } else {
            Err(Refusal::invalid(format!("invalid {} params: {}", self.name, findings.join("; "))))
        }
    }
}

/// Returns the findings for one parameter. A name has the same type in every method.
fn value_findings(profile: Profile, name: &str, value: &Value) -> Vec<String> {
    let not = profile.not();
    let typed = |fits: bool, kind: &str| {
        if fits { Vec::new() } else { vec![format!("at /{name}: must be {kind}")] }
    };
    match (name, value) {
        (
            "probe" | "deleteFiles" | "deleteTranscript" | "deliver" | "includeGlobal"
            | "includeUnknown",
            _,
        ) => typed(value.is_boolean(), "boolean"),
        ("limit" | "activeMinutes" | "restartDelayMs" | "timeoutMs", _) => {
            typed(value.is_u64(), "integer")
        }
        ("attachments", _) => typed(value.is_array(), "array"),
        ("label", Value::String(label)) if label.chars().count() > profile.label_max() => vec![
            format!("at /label: must {not} have more than {} characters", profile.label_max()),
            "at /label: must be null".into(),
            "at /label: must match a schema in anyOf".into(),
        ],
        (name, Value::String(text))
            if text.is_empty() && !matches!(name, "content" | "message" | "raw") =>
        {
            vec![format!("at /{name}: must {not} have fewer than 1 characters")]
        }
        ("label" | "thinkingLevel" | "verboseLevel", Value::Null) => Vec::new(),
        _ => typed(value.is_string(), "string"),
    }
}
