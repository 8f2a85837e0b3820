//! What a gateway says when it refuses a request, and what its words mean.
//!
//! A gateway's codes count where it gives them. Versions tell most refusals apart by their words
//! only; so those are compared as a whole with the sentences that gateways were seen to say, never
//! searched for a word: they quote names and paths, in which any word may stand.

use serde::Deserialize;
use serde_json::Value;

use crate::sanitize::one_line;

/// Longest piece of a gateway's own words that is kept, in characters.
const MAX_QUOTE: usize = 400;
/// Most faults of a config that are named.
const MAX_ISSUES: usize = 5;

/// An error answer, in the gateway's own words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RpcError {
    /// `INVALID_REQUEST` for nearly everything; `UNAVAILABLE`, `NOT_PAIRED`, `FORBIDDEN` for the
    /// rest.
    #[serde(default)]
    pub code: String,
    /// Often the only thing that tells errors apart.
    #[serde(default)]
    pub message: String,
    /// Machine-readable parts, on newer gateways.
    #[serde(default)]
    pub details: Value,
    /// How long to wait, in milliseconds.
    #[serde(default, rename = "retryAfterMs")]
    pub retry_after_ms: Option<u64>,
}

impl RpcError {
    /// Returns whether the message has one of these forms as a whole, in any case. A `*` stands for
    /// any text: what a gateway quotes, such as an agent's id or a path, must not decide what it
    /// means.
    #[must_use]
    pub fn is_form(&self, forms: &[&str]) -> bool {
        let message = self.cause().text.to_lowercase();
        forms.iter().any(|form| fits(&message, form))
    }

    /// The parts of a message that newer gateways build from an error of their program:
    /// `NameError: text: code=CODE`.
    #[must_use]
    pub fn cause(&self) -> Cause<'_> {
        let (text, code) = match self.message.trim().rsplit_once(": code=") {
            Some((text, code)) if code.chars().all(is_of_code) => (text, code),
            _ => (self.message.trim(), ""),
        };
        let (name, text) = match text.split_once(": ") {
            Some((name, text))
                if name.ends_with("Error") && name.chars().all(char::is_alphanumeric) =>
            {
                (name, text)
            }
            _ => ("", text),
        };
        Cause { name, text, code: self.detail("code").unwrap_or(code) }
    }

    /// No agent of that id: never there, deleted, or not yet loaded after a config write.
    #[must_use]
    pub fn is_agent_unknown(&self) -> bool {
        self.is_form(&[
            "unknown agent id*",
            "agent \"*\" not found*",
            "agent \"*\" no longer exists in configuration*",
        ])
    }

    /// An agent of that id is there already.
    #[must_use]
    pub fn is_agent_known(&self) -> bool {
        self.is_form(&["agent \"*\" already exists*"])
    }

    /// The gateway does not keep a file of that name.
    #[must_use]
    pub fn is_file_unsupported(&self) -> bool {
        self.is_form(&["unsupported file*"])
    }

    /// The file is a link or no plain file, or one that came or went while the gateway looked at
    /// it.
    #[must_use]
    pub fn is_file_unsafe(&self) -> bool {
        self.is_form(&["unsafe workspace file \"*\""])
    }

    /// Somebody else changed the config since it was read.
    #[must_use]
    pub fn is_config_stale(&self) -> bool {
        self.is_form(&["config changed since last load*"])
    }

    /// Another session of the agent has that label.
    #[must_use]
    pub fn is_label_taken(&self) -> bool {
        self.is_form(&["label already in use: *"])
    }

    /// The gateway has had as many requests of that kind as it takes for now.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.code == "UNAVAILABLE" && self.is_form(&["rate limit exceeded*"])
    }

    /// The session has not the rights for that request.
    #[must_use]
    pub fn is_scope_missing(&self) -> bool {
        self.detail("code") == Some("MISSING_SCOPE") || self.is_form(&["missing scope: *"])
    }

    /// The gateway is starting, restarting or has too much to do, as opposed to refusing the
    /// request itself. It says so in one of few sentences, or by when to come again.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        const FORMS: [&str; 9] = [
            "gateway starting*",
            "* unavailable during gateway startup",
            "* unavailable during gateway restart",
            "gateway is restarting*",
            "gateway is draining*",
            "the server is busy*",
            "session * is still active; try again in a moment.",
            "plugin was reloaded or disabled*",
            // Of an agent that is being deleted.
            "session history database read was revoked",
        ];
        self.code == "UNAVAILABLE"
            && self.needs_a_person().is_none()
            && (matches!(self.detail("reason"), Some("startup-sidecars" | "gateway-restarting"))
                || self.is_form(&FORMS))
    }

    /// What a person has to do on the gateway before it takes this request; none if the gateway
    /// does not say that there is such a thing.
    #[must_use]
    pub fn needs_a_person(&self) -> Option<Need> {
        let cause = self.cause();
        let code = if cause.code.is_empty() { self.code.as_str() } else { cause.code };
        match (code, cause.name) {
            ("gateway.maintenance_required", _) | (_, "StartupMaintenanceRequiredError") => {
                Some(Need::Maintenance)
            }
            ("CONFIG_INCLUDE_OWNERSHIP", _) => Some(Need::Include),
            (_, name) if name.starts_with("AuthProfileMigrationRequired") => {
                Some(Need::Maintenance)
            }
            _ if self.is_form(&["AuthProfileMigrationRequired*"]) => Some(Need::Maintenance),
            _ if self.is_form(&INCLUDED) => Some(Need::Include),
            _ => None,
        }
    }

    /// The gateway finds fault with the config that would result, or with the one that it has.
    #[must_use]
    pub fn is_config_invalid(&self) -> bool {
        self.is_form(&["invalid config*", "config validation failed*"])
    }

    /// The gateway protects its config against a write that makes it much smaller.
    #[must_use]
    pub fn is_size_drop(&self) -> bool {
        self.is_form(&["config write rejected: *(size-drop:*"])
    }

    /// The longest label that the gateway takes, when the one sent was too long.
    #[must_use]
    pub fn label_limit(&self) -> Option<usize> {
        let message = self.message.to_lowercase();
        let (_, limit) = message.split_once("not have more than ")?;
        if !message.contains("/label") {
            return None;
        }
        limit.split_whitespace().find_map(|word| word.parse().ok())
    }

    /// The config keys that the gateway does not know, as dotted paths.
    #[must_use]
    pub fn unrecognized_keys(&self) -> Vec<String> {
        self.issues()
            .iter()
            .filter_map(|issue| {
                let path = issue.get("path")?.as_str()?;
                let (_, keys) = issue.get("message")?.as_str()?.split_once("nrecognized key")?;
                Some(keys.split('"').skip(1).step_by(2).map(move |key| format!("{path}.{key}")))
            })
            .flatten()
            .collect()
    }

    /// Returns whether all that is wrong with a config is in heartbeats of single agents, which
    /// jobs write.
    pub(crate) fn is_about_heartbeats(&self) -> bool {
        let paths = self.issue_paths();
        let of_agent =
            |path: &str| path.starts_with("agents.list.") || path.starts_with("agents.entries.");
        !paths.is_empty() && paths.iter().all(|path| of_agent(path) && path.contains(".heartbeat"))
    }

    /// Where the gateway finds fault with a config, as dotted paths; empty if it does not say.
    #[must_use]
    pub fn issue_paths(&self) -> Vec<&str> {
        let issues = self.issues();
        if !issues.is_empty() {
            return issues
                .iter()
                .map(|issue| issue.get("path").and_then(Value::as_str).unwrap_or_default())
                .collect();
        }
        // Some gateways say it in their words only:
        // `Config validation failed: PATH: what is wrong`.
        let text = self.cause().text;
        let path =
            text.split_once(" validation failed: ").and_then(|(_, rest)| rest.split_once(": "));
        path.map(|(path, _)| path).filter(|_| self.is_config_invalid()).into_iter().collect()
    }

    /// What the gateway finds fault with, each as `path: what is wrong`, the first few.
    #[must_use]
    pub fn issues_in_words(&self) -> Vec<String> {
        let text = |issue: &Value, key| {
            issue.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let words = |issue: &Value| match (text(issue, "path"), text(issue, "message")) {
            (path, message) if path.is_empty() => message,
            (path, message) => format!("{path}: {message}"),
        };
        self.issues().iter().take(MAX_ISSUES).map(words).filter(|words| !words.is_empty()).collect()
    }

    fn issues(&self) -> &[Value] {
        self.details.get("issues").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn detail(&self, key: &str) -> Option<&str> {
        self.details.get(key).and_then(Value::as_str)
    }

    /// The gateway's words with all that it finds fault with, cut to 400 characters and with
    /// control characters escaped: fit for a log line, a report, a page.
    #[must_use]
    pub fn quote(&self) -> String {
        let mut words =
            if self.message.is_empty() { self.code.clone() } else { self.message.clone() };
        let more: Vec<_> =
            self.issues_in_words().into_iter().filter(|issue| !words.contains(issue)).collect();
        if !more.is_empty() {
            words = format!("{words} ({})", more.join("; "));
        }
        one_line(&words, MAX_QUOTE)
    }
}

/// The parts of an error of the gateway's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The name of its class, such as `StartupMaintenanceRequiredError`; empty if it has none.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Its code, such as `gateway.maintenance_required`; empty if it has none.
    pub code: &'a str,
}

/// Versions that do not write into included files say so in two ways.
const INCLUDED: [&str; 2] = [
    "config write would flatten $include-owned config*",
    "config validation failed: *: unrecognized key: \"$include\"*",
];

/// What a person has to do on a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Let the gateway mend what an older version left.
    Maintenance,
    /// Change what stands in a file that the config includes.
    Include,
}

const fn is_of_code(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Returns whether a text has a form, both in lower case but for the form. A `*` stands for any
/// text.
fn fits(text: &str, form: &str) -> bool {
    let form = form.to_lowercase();
    let mut parts = form.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> RpcError {
        RpcError {
            code: "UNAVAILABLE".into(),
            message: message.into(),
            details: Value::Null,
            retry_after_ms: None,
        }
    }

    #[test]
    fn a_form_is_the_whole_message() {
        for (text, form, expected) in [
            ("unknown agent id", "unknown agent id", true),
            ("unknown agent id \"x\"", "unknown agent id", false),
            ("agent \"x\" not found", "agent \"*\" not found", true),
            ("no agent \"x\" not found", "agent \"*\" not found", false),
            ("a b c", "a*c", true),
            ("a b c d", "a*c", false),
            ("abab", "*ab*b", true),
            ("a", "a*a", false),
            ("anything", "*", true),
        ] {
            assert_eq!(fits(text, form), expected, "{text} {form}");
        }
    }

    #[test]
    fn what_a_gateway_quotes_does_not_decide() {
        let named = error("label already in use: gateway starting; missing scope: x");
        assert!(named.is_label_taken() && !named.is_starting() && !named.is_scope_missing());
        assert!(
            !error("Error: EACCES: permission denied, mkdir '/srv/startup/busy'").is_starting()
        );
        assert!(error("agent \"rate limit exceeded\" not found").is_agent_unknown());
        assert!(!error("agent \"rate limit exceeded\" not found").is_rate_limited());
    }

    #[test]
    fn a_cause_has_a_name_and_a_code() {
        let words = "StartupMaintenanceRequiredError: Legacy: x; run openclaw doctor --fix.: \
            code=gateway.maintenance_required";
        let error = error(words);
        let cause = error.cause();
        assert_eq!(
            (cause.name, cause.code),
            ("StartupMaintenanceRequiredError", "gateway.maintenance_required")
        );
        assert_eq!(cause.text, "Legacy: x; run openclaw doctor --fix.");
        assert!(!error.is_starting() && error.needs_a_person() == Some(Need::Maintenance));
    }
}
