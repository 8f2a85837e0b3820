//! The gateway as it presents itself when a connection is made.

use super::protocol::Hello;

/// The gateway as it presented itself to the run.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// The version; old gateways report only `dev`.
    pub version: String,
    /// The protocol version that was agreed on.
    pub protocol: u32,
    /// The largest frame that the gateway accepts, in bytes.
    pub max_frame: usize,
    /// The scopes that the gateway grants; `None` if it does not say.
    pub scopes: Option<Vec<String>>,
    pub(super) default_agent: String,
    pub(super) has_ownership: bool,
    /// Set if the gateway writes the values of all references into the config file when it deletes
    /// an agent. 2026.2.9 does; 2026.2.17 does not. Neither reports its version, and `talk.config`
    /// is a method that only the later one has.
    pub(crate) writes_values: bool,
}

/// The version that gateways report which do not know their own: those of early 2026.
const UNKNOWN_VERSION: &str = "dev";

impl From<&Hello> for ServerInfo {
    fn from(hello: &Hello) -> Self {
        let hello = hello.clone();
        Self {
            writes_values: hello.version == UNKNOWN_VERSION
                && !hello.methods.contains("talk.config"),
            version: hello.version,
            protocol: hello.protocol,
            max_frame: hello.max_payload,
            scopes: hello.scopes,
            default_agent: hello.default_agent,
            has_ownership: hello.has_ownership,
        }
    }
}
