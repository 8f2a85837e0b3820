//! What a simulated gateway is like at the start. Everything here can be read from JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{fault::Fault, profile::Profile};

/// The start of a simulated gateway. Without anything said it is empty and accepts every token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// The imitated version.
    pub profile: Profile,
    /// Port to listen on, on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The token clients must show; `None` accepts any. `options.token` is used when this is absent.
    pub token: Option<String>,
    /// The registry of agents by id; only used when `options.link_agents_config` is false.
    pub agents: BTreeMap<String, Agent>,
    /// The default agent's id in the scenario profile (`main` when absent); the others find it in the configuration.
    pub default_id: Option<String>,
    /// The configuration document; `null` takes the smallest one the profile's gateway starts with.
    pub config: Value,
    /// Files by agent id and file name.
    pub files: BTreeMap<String, BTreeMap<String, String>>,
    /// Sessions by session key.
    pub sessions: BTreeMap<String, Session>,
    /// Names of files accepted and listed; `None` takes the profile's.
    pub supported_files: Option<Vec<String>>,
    /// Behaviour that differs from the profile's.
    pub options: Options,
    /// Answers given instead of executing calls; the first that matches is taken.
    pub canned: Vec<Canned>,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

impl Setup {
    /// An empty gateway of that version.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { profile, ..Self::default() }
    }
}

/// An agent of a registry that is separate from the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Display name.
    pub name: Option<String>,
    /// Directory of its files, on the gateway.
    pub workspace: Option<String>,
}

/// A session as seen from outside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Label, if it has one.
    pub label: Option<String>,
    /// How often it has been reset.
    pub resets: u64,
}

/// Behaviour that can be changed independently of the profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, set by name in a document")]
pub struct Options {
    /// Are the agents those of the configuration (true), or of a registry that only `agents.create`, `agents.update`
    /// and `agents.delete` change (false)?
    pub link_agents_config: bool,
    /// Does `config.patch` insist on a `baseHash`?
    pub require_base_hash: bool,
    /// Files that `agents.create` writes into a new workspace, by name; `None` takes the profile's.
    pub seed_files_on_create: Option<BTreeMap<String, String>>,
    /// Does `agents.files.list` name files that do not exist, as missing?
    pub list_missing_files: bool,
    /// Are labels unique among all sessions? Otherwise only among one agent's (real profiles), or not (scenario).
    pub unique_labels: bool,
    /// Scenario profile: is the default agent's main session protected from `sessions.delete`, as on real gateways?
    pub protect_main_session: bool,
    /// Wait before `connect.challenge`, in ms; negative: it is never sent, and a nonce is not asked for.
    pub challenge_delay_ms: i64,
    /// The token clients must show, when [`Setup::token`] does not say.
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
    /// Does the 2026.2.9 profile restart after writes of its configuration?
    pub restarts: bool,
    /// Time from any write of the configuration to that restart, in ms.
    pub restart_after_write_ms: u64,
    /// Time from a `config.patch` to the second restart it causes, in ms; its `restartDelayMs` wins.
    pub restart_after_patch_ms: u64,
    /// How long a restarting gateway refuses connections, in ms.
    pub restart_outage_ms: u64,
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
        }
    }
}

/// An answer given instead of executing the call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// The method it answers.
    pub method: String,
    /// Parameters a call must have, with these values; `None` matches every call of the method.
    #[serde(default, rename = "match")]
    pub matches: Option<serde_json::Map<String, Value>>,
    /// The payload of a success; used when there is no `error`.
    #[serde(default)]
    pub payload: Value,
    /// The error.
    #[serde(default)]
    pub error: Option<ErrorAnswer>,
    /// How many calls it answers; `None` for all.
    #[serde(default)]
    pub times: Option<u32>,
}

/// Code and message of a canned error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorAnswer {
    /// As `INVALID_REQUEST`.
    pub code: String,
    /// The text a client reads.
    pub message: String,
}

impl Canned {
    /// Is this the answer to the call? Counts down.
    pub(crate) fn takes(&mut self, method: &str, params: &Value) -> bool {
        let fits = self.method == method
            && self.times != Some(0)
            && self.matches.iter().flatten().all(|(name, value)| params.get(name) == Some(value));
        if let (true, Some(times)) = (fits, &mut self.times) {
            *times -= 1;
        }
        fits
    }
}
