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
}

impl From<&Hello> for ServerInfo {
    fn from(hello: &Hello) -> Self {
        let hello = hello.clone();
        Self {
            version: hello.version,
            protocol: hello.protocol,
            max_frame: hello.max_payload,
            scopes: hello.scopes,
            default_agent: hello.default_agent,
            has_ownership: hello.has_ownership,
        }
    }
}
