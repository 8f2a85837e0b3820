//! The capabilities of a gateway, as its answers have shown them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::answer::Answer;
use super::error::GatewayError;
use super::protocol::Method;
use crate::sanitize::one_line;

/// The capabilities that a gateway has shown by its answers. They are forgotten with the process; a
/// wrong one costs one refused request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capabilities {
    /// The names of the files that the gateway does not keep; `None` until it was asked.
    pub(crate) refused_files: Option<BTreeSet<String>>,
    /// The config keys that the gateway does not know, as `heartbeat.NAME` or
    /// `channels.defaults.heartbeat`.
    pub(crate) refused_keys: BTreeSet<String>,
    /// Set if the gateway replaces a list of agents instead of merging it; it then refuses null in
    /// the list.
    pub(crate) replaces_lists: bool,
    /// The longest session label, in characters.
    pub(crate) label_limit: Option<usize>,
    /// The number of config writes that the gateway allows, in its own words.
    pub(crate) write_limit: Option<String>,
    /// Set if the gateway has restarted right after a config write.
    pub(crate) restarts_on_write: bool,
    /// The number of turns a day that the heartbeats in its config cause.
    pub(crate) heartbeat_turns: Option<u64>,
    /// The number of characters of a file that the gateway shows its agents; `None` if its config
    /// sets no limit.
    pub(crate) shown_chars: Option<usize>,
    /// The time of the latest config write.
    pub(super) wrote_at: Option<Instant>,
    /// The version, protocol and number of methods that the gateway announced, to notice an
    /// upgrade.
    pub(super) announced: Option<(String, u32, usize)>,
}

/// A restart within this time after a config write is attributed to the write.
const RESTARTS_WITHIN: Duration = Duration::from_secs(5);

impl Capabilities {
    /// Updates the capabilities from an answer.
    pub(super) fn observe(&mut self, method: Method, answer: Result<&Answer, &GatewayError>) {
        match answer {
            Ok(_) if method == Method::ConfigPatch => self.wrote_at = Some(Instant::now()),
            Err(GatewayError::Closed { code: Some(1012), .. }) => {
                self.restarts_on_write |=
                    self.wrote_at.is_some_and(|at| at.elapsed() < RESTARTS_WITHIN);
            }
            Err(GatewayError::Rpc { method: Method::ConfigPatch, error })
                if error.is_rate_limited() =>
            {
                self.write_limit = error
                    .details
                    .get("limit")
                    .and_then(Value::as_str)
                    .map(|limit| one_line(limit, 100));
            }
            _ => {}
        }
    }
}
