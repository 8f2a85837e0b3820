//! The gateway as it presents itself when a connection is made.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use super::protocol::MAX_FRAME;
use crate::sanitize::{is_unprintable, one_line};

/// The version that gateways report which do not know their own: those of early 2026.
const UNKNOWN_VERSION: &str = "dev";
/// The most characters of a name from a gateway, its version included.
const MAX_NAME: usize = 64;
/// The most scopes that are kept.
const MAX_SCOPES: usize = 32;

/// The gateway as it presented itself to the run: the parts of its `hello-ok` that matter here.
/// Each is optional in some version.
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
    /// The longest silence that is normal.
    pub(super) tick: Duration,
    pub(super) default_agent: String,
    /// Set if the gateway announces agent ownership, as those with `agents.entries` do.
    pub(super) has_ownership: bool,
    /// The methods that the gateway announces; empty if it announces none.
    pub(super) methods: HashSet<String>,
    /// Set if the gateway writes the values of all references into the config file when it deletes
    /// an agent. 2026.2.9 does; 2026.2.17 does not. Neither reports its version, and `talk.config`
    /// is a method that only the later one has.
    pub(crate) writes_values: bool,
}

impl ServerInfo {
    /// Parses `hello-ok`; returns `None` if the payload is not one.
    pub(super) fn read(hello: &Value) -> Option<Self> {
        let text = |pointer: &str| Some(hello.pointer(pointer)?.as_str()?.to_owned());
        let number = |pointer: &str| hello.pointer(pointer).and_then(Value::as_u64);
        let texts = |pointer: &str| {
            let items = hello.pointer(pointer)?.as_array()?;
            Some(items.iter().filter_map(Value::as_str).map(str::to_owned))
        };
        let is_id = |id: &String| id.chars().count() <= MAX_NAME && !id.contains(is_unprintable);
        let name = |text: String| one_line(&text, MAX_NAME);
        let version = text("/server/version").map_or_else(|| "unknown".to_owned(), name);
        let methods: HashSet<_> =
            texts("/features/methods").map(Iterator::collect).unwrap_or_default();
        Some(Self {
            protocol: u32::try_from(number("/protocol")?).ok()?,
            // The smallest limit of any version, for gateways that announce none.
            max_frame: number("/policy/maxPayload")
                .and_then(|n| usize::try_from(n).ok())
                .map_or(512 * 1024, |most| most.min(MAX_FRAME)),
            tick: Duration::from_millis(
                number("/policy/tickIntervalMs").unwrap_or(30_000).clamp(1_000, 300_000),
            ),
            default_agent: text("/snapshot/sessionDefaults/defaultAgentId")
                .filter(is_id)
                .unwrap_or_else(|| "main".to_owned()),
            has_ownership: hello.pointer("/snapshot/sessionDefaults/ownership").is_some(),
            scopes: texts("/auth/scopes").map(|scopes| scopes.take(MAX_SCOPES).map(name).collect()),
            writes_values: version == UNKNOWN_VERSION && !methods.contains("talk.config"),
            version,
            methods,
        })
    }
}
