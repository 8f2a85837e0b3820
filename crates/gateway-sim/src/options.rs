//! Behaviour that can be changed independently of the profile.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The behaviour that can be changed independently of the profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each bool is an independent switch, set by name in a document"
)]
pub struct Options {
    /// Keeps the agents in the configuration (true), or in a registry that only `agents.create`,
    /// `agents.update` and `agents.delete` change (false).
    pub link_agents_config: bool,
    /// Makes `config.patch` require a `baseHash`.
    pub require_base_hash: bool,
    /// The files that `agents.create` writes into a new workspace, by name; `None` uses the
    /// profile's.
    pub seed_files_on_create: Option<BTreeMap<String, String>>,
    /// Makes `agents.files.list` name files that do not exist, as missing.
    pub list_missing_files: bool,
    /// Makes labels unique among all sessions. Otherwise they are unique for one agent (real
    /// profiles) or not at all (scenario).
    pub unique_labels: bool,
    /// Protects the default agent's main session from `sessions.delete` in the scenario profile, as
    /// real gateways do.
    pub protect_main_session: bool,
    /// The delay before `connect.challenge`, in ms. If negative, no challenge is sent and no nonce
    /// required.
    pub challenge_delay_ms: i64,
    /// The token that clients must send, if [`crate::Setup::token`] is absent.
    pub token: Option<String>,
    /// Delays replies by 0 to this many ms, each differently, so that they overtake each other.
    pub shuffle_ms: u64,
    /// The share of replies, from 0 to 1, that are preceded by unrelated events.
    pub event_noise: f64,
    /// The delay of every reply, in ms.
    pub latency_ms: u64,
    /// Requires that [`crate::Gateway::approve_devices`] approves every device first.
    pub require_pairing: bool,
    /// Grants connections no scopes, regardless of what they request.
    pub no_scopes: bool,
    /// The limit of `config.patch` calls per minute and device; `None` uses the profile's.
    pub patches_per_minute: Option<u32>,
    /// Restarts the gateway after a write of the configuration when its version does.
    pub restarts: bool,
    /// The time from any write of the configuration to that restart, in ms.
    pub restart_after_write_ms: u64,
    /// The time from a `config.patch` to the second restart that it causes, in ms; its
    /// `restartDelayMs` takes precedence.
    pub restart_after_patch_ms: u64,
    /// The time for which a restarting gateway refuses connections, in ms.
    pub restart_outage_ms: u64,
    /// Keeps session labels; otherwise they are acknowledged and dropped.
    pub keeps_labels: bool,
    /// Shows the ids and times of sessions.
    pub shows_session_ids: bool,
    /// Loses the sessions of a deleted agent until the gateway restarts; `None` uses the profile's
    /// behaviour.
    pub loses_sessions: Option<bool>,
    /// The heartbeat keys that are acknowledged and not written.
    pub dropped_heartbeat_keys: Vec<String>,
    /// Runs 2026.5.7 without channels, as with `OPENCLAW_SKIP_CHANNELS=1`. It drops them from its
    /// file when the first agent is created or deleted, restarts, and then knows only the agents of
    /// its process start.
    pub skips_channels: bool,
    /// The number of calls after which every connection is cut without a close frame; `None` for
    /// never.
    pub calls_per_connection: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            link_agents_config: true,
            require_base_hash: true,
            seed_files_on_create: None,
            list_missing_files: true,
            unique_labels: false,
            protect_main_session: false,
            challenge_delay_ms: 0,
            token: None,
            shuffle_ms: 0,
            event_noise: 0.0,
            latency_ms: 0,
            require_pairing: false,
            no_scopes: false,
            patches_per_minute: None,
            restarts: true,
            restart_after_write_ms: 520,
            restart_after_patch_ms: 2_000,
            restart_outage_ms: 30,
            keeps_labels: true,
            shows_session_ids: true,
            loses_sessions: None,
            dropped_heartbeat_keys: Vec::new(),
            skips_channels: false,
            calls_per_connection: None,
        }
    }
}
