//! The error answers of a gateway, and their meaning.
//!
//! A gateway's codes decide where it sends them. But most refusals differ only by their message, so
//! messages are compared as a whole with the sentences that gateways were seen to send, and never
//! searched for a word: they quote names and paths, in which any word may occur.

use serde::Deserialize;
use serde_json::Value;

use crate::sanitize::one_line;

/// The longest quotation of a gateway that is kept, in characters.
const MAX_QUOTE: usize = 400;
/// The most config issues that are quoted.
const MAX_ISSUES: usize = 5;

/// An error answer, in the gateway's own words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RpcError {
    /// The code: `INVALID_REQUEST` for nearly everything; `UNAVAILABLE`, `NOT_PAIRED`, `FORBIDDEN`
    /// for the rest.
    #[serde(default)]
    pub code: String,
    /// The message, often the only thing that tells errors apart.
    #[serde(default)]
    pub message: String,
    /// The machine-readable details, on newer gateways.
    #[serde(default)]
    pub details: Value,
    /// The time to wait, in milliseconds.
    #[serde(default, rename = "retryAfterMs")]
    pub retry_after_ms: Option<u64>,
}

impl RpcError {
    /// Returns whether the message as a whole has one of these forms, ignoring case. A `*` stands
    /// for any text, so that quoted text such as an agent's id or a path does not decide the
    /// meaning.
    #[must_use]
    pub fn is_form(&self, forms: &[&str]) -> bool {
        let message = self.cause().text.to_lowercase();
        forms.iter().any(|form| fits(&message, form))
    }

    /// Returns the parts of a message that newer gateways build from an error of their program:
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

    /// Returns whether there is no agent of that id: it never existed, was deleted, or is not yet
    /// loaded after a config write.
    #[must_use]
    pub fn is_agent_unknown(&self) -> bool {
        self.is_form(&[
            "unknown agent id*",
            "agent \"*\" not found*",
            "agent \"*\" no longer exists in configuration*",
        ])
    }

    /// Returns whether an agent of that id exists already.
    #[must_use]
    pub fn is_agent_known(&self) -> bool {
        self.is_form(&["agent \"*\" already exists*"])
    }

    /// Returns whether the gateway does not keep files of that name.
    #[must_use]
    pub fn is_file_unsupported(&self) -> bool {
        self.is_form(&["unsupported file*"])
    }

    /// Returns whether the file is a link or not a regular file, or changed while the gateway read
    /// it.
    #[must_use]
    pub fn is_file_unsafe(&self) -> bool {
        self.is_form(&["unsafe workspace file \"*\""])
    }

    /// Returns whether somebody else changed the config since it was read.
    #[must_use]
    pub fn is_config_stale(&self) -> bool {
        self.is_form(&["config changed since last load*"])
    }

    /// Returns whether another session of the agent has that label.
    #[must_use]
    pub fn is_label_taken(&self) -> bool {
        self.is_form(&["label already in use: *"])
    }

    /// Returns whether the gateway's rate limit for this kind of request is used up.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.code == "UNAVAILABLE" && self.is_form(&["rate limit exceeded*"])
    }

    /// Returns whether the session lacks the scope for that request.
    #[must_use]
    pub fn is_scope_missing(&self) -> bool {
        self.detail("code") == Some("MISSING_SCOPE") || self.is_form(&["missing scope: *"])
    }

    /// Returns whether the gateway is starting, restarting or overloaded, rather than refusing the
    /// request itself. It says so in one of a few sentences or reasons.
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
            // Sent for an agent that is being deleted.
            "session history database read was revoked",
        ];
        self.code == "UNAVAILABLE"
            && self.needs_a_person().is_none()
            && (matches!(self.detail("reason"), Some("startup-sidecars" | "gateway-restarting"))
                || self.is_form(&FORMS))
    }

    /// Returns what a person must do on the gateway before it accepts this request; `None` if it
    /// does not ask for anything.
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

    /// Returns whether the gateway rejects the resulting config, or the present one, as invalid.
    #[must_use]
    pub fn is_config_invalid(&self) -> bool {
        self.is_form(&["invalid config*", "config validation failed*"])
    }

    /// Returns whether the gateway refuses a write because it makes the config much smaller.
    #[must_use]
    pub fn is_size_drop(&self) -> bool {
        self.is_form(&["config write rejected: *(size-drop:*"])
    }

    /// Returns the longest label that the gateway accepts, if the one sent was too long.
    #[must_use]
    pub fn label_limit(&self) -> Option<usize> {
        let message = self.message.to_lowercase();
        let (_, limit) = message.split_once("not have more than ")?;
        if !message.contains("/label") {
            return None;
        }
        limit.split_whitespace().find_map(|word| word.parse().ok())
    }

    /// Returns the config keys that the gateway does not know, as dotted paths.
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

    /// Returns whether every config issue is in the heartbeat of an agent, which jobs write.
    pub(crate) fn is_about_heartbeats(&self) -> bool {
        let paths = self.issue_paths();
        let of_agent =
            |path: &str| path.starts_with("agents.list.") || path.starts_with("agents.entries.");
        !paths.is_empty() && paths.iter().all(|path| of_agent(path) && path.contains(".heartbeat"))
    }

    /// Returns the dotted paths of the config issues; empty if the gateway names none.
    #[must_use]
    pub fn issue_paths(&self) -> Vec<&str> {
        let issues = self.issues();
        if !issues.is_empty() {
            return issues
                .iter()
                .map(|issue| issue.get("path").and_then(Value::as_str).unwrap_or_default())
                .collect();
        }
        // Some gateways report it only in the message: `Config validation failed: PATH: what is
        // wrong`.
        let text = self.cause().text;
        let path =
            text.split_once(" validation failed: ").and_then(|(_, rest)| rest.split_once(": "));
        path.map(|(path, _)| path).filter(|_| self.is_config_invalid()).into_iter().collect()
    }

    /// Returns the first few config issues, each as `path: message`.
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

    /// Returns the message with the config issues, cut to 400 characters and with control
    /// characters escaped, so that it is safe in a log line, a report or a page.
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
    /// The class name, such as `StartupMaintenanceRequiredError`; empty if there is none.
    pub name: &'a str,
    /// The text of the error.
    pub text: &'a str,
    /// The code, such as `gateway.maintenance_required`; empty if there is none.
    pub code: &'a str,
}

/// The two forms in which gateways refuse to write into included files.
const INCLUDED: [&str; 2] = [
    "config write would flatten $include-owned config*",
    "config validation failed: *: unrecognized key: \"$include\"*",
];

/// An action that a gateway needs from a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Let the gateway repair what an older version left behind.
    Maintenance,
    /// Change a file that the config includes.
    Include,
}

const fn is_of_code(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Returns whether a lower-case text has a form. A `*` in the form stands for any text.
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
    fn a_form_matches_the_whole_message() {
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
    fn quoted_text_does_not_decide_the_meaning() {
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
