//! Behaviour that can be switched, whatever the profile.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Behaviour that can be changed independently of the profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, set by name in a document"
)]
pub struct Options {
    /// Are the agents those of the configuration (true), or of a registry that only
    /// `agents.create`, `agents.update` and `agents.delete` change (false)?
    pub link_agents_config: bool,
    /// Does `config.patch` insist on a `baseHash`?
    pub require_base_hash: bool,
    /// Files that `agents.create` writes into a new workspace, by name; `None` takes the profile's.
    pub seed_files_on_create: Option<BTreeMap<String, String>>,
    /// Does `agents.files.list` name files that do not exist, as missing?
    pub list_missing_files: bool,
    /// Are labels unique among all sessions? Otherwise only among one agent's (real profiles), or
    /// not (scenario).
    pub unique_labels: bool,
    /// Scenario profile: is the default agent's main session protected from `sessions.delete`, as
    /// on real gateways?
    pub protect_main_session: bool,
    /// Wait before `connect.challenge`, in ms; negative: it is never sent, and a nonce is not asked
    /// for.
    pub challenge_delay_ms: i64,
    /// The token clients must show, when [`crate::Setup::token`] does not say.
    pub token: Option<String>,
    /// Replies wait for 0 to this many ms, each differently, so that they overtake each other.
    pub shuffle_ms: u64,
    /// Share of replies, 0 to 1, that unrelated events are sent before.
    pub event_noise: f64,
    /// Every reply waits this many ms.
    pub latency_ms: u64,
    /// Must every device be approved by [`crate::Gateway::approve_devices`] first?
    pub require_pairing: bool,
    /// Do connections get no scopes, whatever they ask for?
    pub no_scopes: bool,
    /// Calls of `config.patch` allowed per minute and device; `None` takes the profile's.
    pub patches_per_minute: Option<u32>,
    /// Set if the gateway restarts when its version does after a write of its configuration.
    pub restarts: bool,
    /// Time from any write of the configuration to that restart, in ms.
    pub restart_after_write_ms: u64,
    /// Time from a `config.patch` to the second restart it causes, in ms; its `restartDelayMs`
    /// wins.
    pub restart_after_patch_ms: u64,
    /// How long a restarting gateway refuses connections, in ms.
    pub restart_outage_ms: u64,
    /// Set if session labels stay; otherwise they are acknowledged and dropped.
    pub keeps_labels: bool,
    /// Set if ids and times of sessions are shown.
    pub shows_session_ids: bool,
    /// Set if the sessions of a deleted agent are lost until the gateway restarts; `None` takes the
    /// profile's.
    pub loses_sessions: Option<bool>,
    /// From 2026.8: set if `main` owns the shared logins of an older version, so that it cannot be
    /// deleted.
    pub main_owns_logins: bool,
    /// Keys of heartbeats that are acknowledged and not written.
    pub dropped_heartbeat_keys: Vec<String>,
    /// 2026.5.7: set if it runs without channels, as with `OPENCLAW_SKIP_CHANNELS=1`. It then drops
    /// them from its file with the first agent that is created or deleted, restarts, and knows the
    /// agents of its process start alone.
    pub skips_channels: bool,
    /// Every connection is cut, without a close frame, instead of reading a call after that many;
    /// `None` for never.
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
            main_owns_logins: true,
            dropped_heartbeat_keys: Vec::new(),
            skips_channels: false,
            calls_per_connection: None,
        }
    }
}
