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
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RpcError {
    /// The code: `INVALID_REQUEST` for nearly everything; `UNAVAILABLE`, `NOT_PAIRED`, `FORBIDDEN`
    /// for the rest.
    pub code: String,
    /// The message, often the only thing that tells errors apart.
    pub message: String,
    /// The machine-readable details, on newer gateways.
    pub details: Value,
    /// The time to wait, in milliseconds.
    #[serde(rename = "retryAfterMs")]
    pub retry_after_ms: Option<u64>,
}

/// Declares functions that return whether a message has one of these forms.
macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident: $forms:expr;)*) => {
        $($(#[$doc])* #[must_use] pub fn $name(&self) -> bool { self.is_form(&$forms) })*
    };
}

impl RpcError {
    forms! {
        /// Returns whether there is no agent of that id: it never existed, was deleted, or is not
        /// yet loaded after a config write.
        is_agent_unknown: [
            "unknown agent id*",
            "agent \"*\" not found*",
            "agent \"*\" no longer exists in configuration*",
        ];

        /// Returns whether an agent of that id exists already.
        is_agent_known: ["agent \"*\" already exists*"];

        /// Returns whether the gateway does not keep files of that name.
        is_file_unsupported: ["unsupported file*"];

        /// Returns whether the file is a link or not a regular file, or changed while the gateway
        /// read it.
        is_file_unsafe: ["unsafe workspace file \"*\""];

        /// Returns whether somebody else changed the config since it was read.
        is_config_stale: ["config changed since last load*"];

        /// Returns whether another session of the agent has that label.
        is_label_taken: ["label already in use: *"];

        /// Returns whether the gateway rejects the resulting config, or the present one, as
        /// invalid.
        is_config_invalid: ["invalid config*", "config validation failed*"];

        /// Returns whether the gateway refuses a write because it makes the config much smaller.
        is_size_drop: ["config write rejected: *(size-drop:*"];
    }

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
    fn cause(&self) -> Cause<'_> {
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
        if code == "gateway.maintenance_required"
            || cause.name == "StartupMaintenanceRequiredError"
            || cause.name.starts_with("AuthProfileMigrationRequired")
            || self.is_form(&["AuthProfileMigrationRequired*"])
        {
            Some(Need::Maintenance)
        } else if code == "CONFIG_INCLUDE_OWNERSHIP" || self.is_form(&INCLUDED) {
            Some(Need::Include)
        } else {
            None
        }
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
        let keys_of = |(path, message): (Option<&str>, Option<&str>)| {
            let (path, (_, keys)) = (path?, message?.split_once("nrecognized key")?);
            let keys = keys.split('"').skip(1).step_by(2);
            Some(keys.map(|key| format!("{path}.{key}")).collect::<Vec<_>>())
        };
        self.issues().filter_map(keys_of).flatten().collect()
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
        let paths: Vec<_> = self.issues().map(|(path, _)| path.unwrap_or_default()).collect();
        if !paths.is_empty() || !self.is_config_invalid() {
            return paths;
        }
        // Some gateways report it only in the message: `Config validation failed: PATH: what is
        // wrong`.
        let named = self.cause().text.split_once(" validation failed: ");
        named
            .and_then(|(_, rest)| rest.split_once(": "))
            .map(|(path, _)| path)
            .into_iter()
            .collect()
    }

    /// Returns the first few config issues, each as `path: message`.
    #[must_use]
    pub fn issues_in_words(&self) -> Vec<String> {
        let words = |(path, message): (Option<&str>, Option<&str>)| match (path, message) {
            (None | Some(""), message) => message.unwrap_or_default().to_owned(),
            (Some(path), message) => format!("{path}: {}", message.unwrap_or_default()),
        };
        self.issues().take(MAX_ISSUES).map(words).filter(|words| !words.is_empty()).collect()
    }

    /// Returns the path and the message of each config issue.
    fn issues(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        let issues = self.details.get("issues").and_then(Value::as_array).into_iter().flatten();
        issues.map(|issue| {
            let text = |key| issue.get(key).and_then(Value::as_str);
            (text("path"), text("message"))
        })
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
struct Cause<'a> {
    /// The class name, such as `StartupMaintenanceRequiredError`; empty if there is none.
    name: &'a str,
    text: &'a str,
    /// The code, such as `gateway.maintenance_required`; empty if there is none.
    code: &'a str,
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
    let Some((first, others)) = form.split_once('*') else { return text == form };
    let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
    let mut rest = text.strip_prefix(first);
    for part in middle.split('*') {
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
    }
    rest.is_some_and(|rest| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> RpcError {
        RpcError { code: "UNAVAILABLE".into(), message: message.into(), ..RpcError::default() }
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
