//! The message that wakes an agent at the end of a run.

use serde::{Deserialize, Deserializer};

/// The maximum length of the verb, in characters.
const MAX_VERB_CHARS: usize = 64;

/// The settings of the wake message, which is sent once the agent is as requested.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wake {
    /// Sends the agent's answer to the channel that its session used last. The default is true.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub deliver: bool,
    /// The verb for what was done with the workspace: one or two words of at most 64 printable
    /// characters. By default it follows the action.
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
