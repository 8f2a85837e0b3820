//! What a gateway can do, as far as it has shown it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::answer::Answer;
use super::error::GatewayError;
use super::protocol::Method;
use crate::sanitize::one_line;

/// What a gateway has shown by its answers. Forgotten with the process; a wrong memory costs one
/// refused call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capabilities {
    /// The names of the files that it does not keep; none until it was asked.
    pub(crate) refused_files: Option<BTreeSet<String>>,
    /// Config keys of ours that it does not know, as `heartbeat.NAME` or
    /// `channels.defaults.heartbeat`.
    pub(crate) refused_keys: BTreeSet<String>,
    /// Whether it replaces a list of agents rather than merging it: those refuse null in it.
    pub(crate) replaces_lists: bool,
    /// Longest session label, in characters.
    pub(crate) label_limit: Option<usize>,
    /// How many config writes it allows, in its own words.
    pub(crate) write_limit: Option<String>,
    /// Whether it has restarted right after a config write.
    pub(crate) restarts_on_write: bool,
    /// How many turns a day the heartbeats in its config make.
    pub(crate) heartbeat_turns: Option<u64>,
    /// The characters of a file that it shows its agents; none where its config leaves it open.
    pub(crate) shown_chars: Option<usize>,
    /// When its config was written last.
    pub(super) wrote_at: Option<Instant>,
    /// What it said of itself, to notice when it was upgraded.
    pub(super) of: Option<(String, u32, usize)>,
}

/// A restart so soon after a config write comes from it.
const RESTARTS_WITHIN: Duration = Duration::from_secs(5);

impl Capabilities {
    /// Learns from an answer.
    pub(super) fn take_note(&mut self, method: Method, answer: Result<&Answer, &GatewayError>) {
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
