//! The message that wakes an agent at the end of a run.

use serde::{Deserialize, Deserializer};

/// The settings of the wake message, which is sent once the agent is as requested.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Wake {
    /// Sends the agent's answer to the channel that its session used last. The default is true.
    #[serde(default = "yes", deserialize_with = "null_is_yes")]
    pub deliver: bool,
    /// The verb for what was done with the workspace: one or two words of at most 64 printable
    /// characters. By default it follows the action.
    #[serde(default)]
    pub verb: Option<String>,
}

const fn yes() -> bool {
    true
}

fn null_is_yes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(deserializer).map(|deliver| deliver.unwrap_or(true))
}
