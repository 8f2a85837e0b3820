//! The table of methods: their scopes, their effects and their parameters.

use serde_json::{Map, Value};

use crate::{answer::Refusal, profile::Profile};

/// A method of the gateway.
#[derive(Clone, Copy)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// The scope that a connection needs, without its prefix `operator.`; empty for none.
    scope: &'static str,
    /// The names of the required parameters, and of the optional ones.
    required: &'static str,
    optional: &'static str,
}

const fn method(
    name: &'static str,
    scope: &'static str,
    required: &'static str,
    optional: &'static str,
) -> Method {
    Method { name, scope, required, optional }
}

/// All methods. Where versions differ, the row is that of the old gateway, and [`Method::scope`]
/// and [`Method::check`] have the differences. `connect` is missing, because it is part of opening
/// a connection.
pub(crate) const METHODS: [Method; 17] = [
    method("health", "", "", "probe"),
    method("status", "read", "", ""),
    method("agents.list", "read", "", ""),
    method("agents.create", "admin", "name workspace", "emoji avatar"),
    method("agents.update", "admin", "agentId", "name workspace model avatar"),
    method("agents.delete", "admin", "agentId", "deleteFiles"),
    method("agents.files.list", "read", "agentId", ""),
    method("agents.files.get", "read", "agentId name", ""),
    method("agents.files.set", "admin", "agentId name content", ""),
    method("config.get", "admin", "", ""),
    method("config.patch", "admin", "raw", "baseHash sessionKey note restartDelayMs"),
    method("sessions.list", "read", "", LIMITS),
    method("sessions.resolve", "read", "key", ""),
    method("sessions.patch", "admin", "key", "label thinkingLevel verboseLevel model"),
    method("sessions.reset", "admin", "key", "reason"),
    method("sessions.delete", "admin", "key", "deleteTranscript"),
    method("chat.send", "write", "sessionKey message idempotencyKey", CHAT),
];
const LIMITS: &str = "limit activeMinutes includeGlobal includeUnknown agentId";
const CHAT: &str = "thinking deliver attachments timeoutMs";

/// Returns the method with this name, if the gateway has it.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// Returns whether the gateway has this method and it can change something.
pub(crate) fn mutates(name: &str) -> bool {
    // The scope of `config.get` protects the secrets in the configuration.
    name != "config.get" && find(name).is_some_and(|method| !matches!(method.scope, "" | "read"))
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
        let may_miss = if profile.is_new() { "workspace" } else { "" };
        let required = self.required.split_whitespace().filter(|name| *name != may_miss);
        let known = format!("{} {}", self.required, self.optional);
        let is_ignored = profile == Profile::Scenario && self.name == "agents.update";
        let findings = properties("", params, required, &known, |name, value| {
            if is_ignored && value == "" { vec![] } else { value_findings(profile, name, value) }
        });
        refuse_params(self.name, &findings)
    }
}

/// Lists the missing and the unexpected properties of an object in the words of the gateways, and
/// the findings of `check` in the others. `path` is empty for the root.
pub(crate) fn properties<'a>(
    path: &str,
    value: &Value,
    required: impl Iterator<Item = &'a str>,
    known: &str,
    check: impl Fn(&str, &Value) -> Vec<String>,
) -> Vec<String> {
    let nothing = Map::new();
    let value = value.as_object().unwrap_or(&nothing);
    let (at, place) =
        if path.is_empty() { (String::new(), "root") } else { (format!("at {path}: "), path) };
    let missing = required.filter(|name| !value.contains_key(*name));
    let missing = missing.map(|name| format!("{at}must have required property '{name}'"));
    let of_values = value.iter().flat_map(|(name, value)| {
        if known.split_whitespace().any(|known| known == name) {
            check(name, value)
        } else {
            vec![format!("at {place}: unexpected property '{name}'")]
        }
    });
    missing.chain(of_values).collect()
}

/// Refuses the parameters of a method if there are findings: all in one message.
pub(crate) fn refuse_params(method: &str, findings: &[String]) -> Result<(), Refusal> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(format!("invalid {method} params: {}", findings.join("; "))))
}

/// Returns the findings for one parameter. A name has the same type in every method.
fn value_findings(profile: Profile, name: &str, value: &Value) -> Vec<String> {
    let not = profile.not();
    let typed = |fits: bool, kind: &str| {
        if fits { Vec::new() } else { vec![format!("at /{name}: must be {kind}")] }
    };
    match (name, value) {
        ("probe" | "deliver" | "includeGlobal" | "includeUnknown", _) => {
            typed(value.is_boolean(), "boolean")
        }
        ("deleteFiles" | "deleteTranscript", _) => typed(value.is_boolean(), "boolean"),
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
