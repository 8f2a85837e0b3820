//! Waking an agent: the message that its session gets after everything else.

use serde::{Deserialize, Deserializer};

/// Longest verb, in characters.
const MAX_VERB_CHARS: usize = 64;

/// That the agent is to be woken when it is as wanted, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wake {
    /// Whether what the agent answers goes out to the channel that its session last used; default
    /// true.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub deliver: bool,
    /// What was done with its workspace, in a word or two of 64 printable characters at most; none
    /// follows the action.
    #[serde(default, deserialize_with = "verb")]
    pub verb: Option<String>,
}

const fn yes() -> bool {
    true
}

fn null_is_yes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(deserializer).map(|deliver| deliver.unwrap_or(true))
}

fn verb<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(verb) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let problem = if verb.trim().is_empty() {
        "blank"
    } else if verb.chars().count() > MAX_VERB_CHARS {
        "too long"
    } else if verb.chars().any(char::is_control) {
        "not printable"
    } else {
        return Ok(Some(verb));
    };
    Err(serde::de::Error::custom(format_args!(
        "{problem}, expected 1 to {MAX_VERB_CHARS} printable characters"
    )))
}
