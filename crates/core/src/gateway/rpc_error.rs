//! What a gateway says when it refuses a request, and what its words mean.
//!
//! Versions tell most refusals apart by their words only, so that is what is looked at.

use serde::Deserialize;
use serde_json::Value;

use crate::foreign::one_line;

/// Longest piece of a gateway's own words that is kept, in characters.
const MAX_QUOTE: usize = 400;

/// An error answer, in the gateway's own words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RpcError {
    /// `INVALID_REQUEST` for nearly everything; `UNAVAILABLE`, `NOT_PAIRED`, `FORBIDDEN` for the rest.
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
    /// Whether the message has these words, in any case.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        self.message.to_lowercase().contains(words)
    }

    /// No agent of that id: never there, deleted, or not yet loaded after a config write.
    #[must_use]
    pub fn is_agent_unknown(&self) -> bool {
        let lacks = self.says("\" not found") || self.says("\" no longer exists in configuration");
        self.says("unknown agent id") || (self.says("agent \"") && lacks)
    }

    /// The gateway does not keep a file of that name.
    #[must_use]
    pub fn is_file_unsupported(&self) -> bool {
        self.says("unsupported file")
    }

    /// The file is a link or no plain file, or one that came or went while the gateway looked at it.
    #[must_use]
    pub fn is_file_unsafe(&self) -> bool {
        self.says("unsafe workspace file")
    }

    /// Somebody else changed the config since it was read.
    #[must_use]
    pub fn is_config_stale(&self) -> bool {
        self.says("config changed since last load")
    }

    /// Another session of the agent has that label.
    #[must_use]
    pub fn is_label_taken(&self) -> bool {
        self.says("label already in use")
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

    /// Whether all that is wrong with a config is in heartbeats of single agents, which jobs write.
    pub(super) fn is_about_heartbeats(&self) -> bool {
        let paths = self.issue_paths();
        let of_agent = |path: &str| path.starts_with("agents.list.") || path.starts_with("agents.entries.");
        !paths.is_empty() && paths.iter().all(|path| of_agent(path) && path.contains(".heartbeat"))
    }

    /// Where the gateway finds fault with a config, as dotted paths; empty if it does not say.
    #[must_use]
    pub fn issue_paths(&self) -> Vec<&str> {
        self.issues().iter().map(|issue| issue.get("path").and_then(Value::as_str).unwrap_or_default()).collect()
    }

    fn issues(&self) -> &[Value] {
        self.details.get("issues").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn detail(&self, key: &str) -> Option<&str> {
        self.details.get(key).and_then(Value::as_str)
    }

    /// The gateway's words, cut to 400 characters and with control characters escaped: fit for a log line, a report, a page.
    #[must_use]
    pub fn quote(&self) -> String {
        let words = if self.message.is_empty() { &self.code } else { &self.message };
        one_line(words, MAX_QUOTE)
    }
}
