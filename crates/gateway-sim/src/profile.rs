//! The imitated versions, and the numbers and lists in which they differ. Differences in behaviour
//! are where the behaviour is, as a `match` on the profile.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::files::sha256_hex;

/// The gateway version to imitate. Later versions are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Deserialize)]
pub enum Profile {
    /// The abstract gateway of the recorded scenarios: an agent list, no restarts, no scopes, and
    /// every option available.
    #[default]
    #[serde(rename = "scenario")]
    Scenario,
    /// The oldest gateway that can be provisioned: protocol 3, `agents.list`, arrays replaced by
    /// `config.patch`, frames of at most 512 KiB, and a restart after every write of the
    /// configuration. Every write resolves the whole file, and a reference to an unset variable
    /// stops the gateway for good.
    #[serde(rename = "2026.2.9")]
    V2026_2_9,
    /// A version in between: lists of items with ids are merged by id, three patches a minute, and
    /// a restart about 2 s after every patch, at most every 30 s.
    #[serde(rename = "2026.3.13")]
    V2026_3_13,
    /// The last gateway of protocol 3. It restarts only after a patch that touches `channels`, and
    /// then runs with the configuration of its process start.
    #[serde(rename = "2026.5.7")]
    V2026_5_7,
    /// A gateway of protocol 4 that refuses every patch while its file has an `$include`.
    #[serde(rename = "2026.5.20")]
    V2026_5_20,
    /// A later version with protocol 4, long labels, and answers that report an unchanged
    /// configuration. It restarts only for the first section on channels, whose reply never
    /// arrives.
    #[serde(rename = "2026.6.11")]
    V2026_6_11,
    /// The last gateway that keeps a list. It refuses to write a list that is included.
    #[serde(rename = "2026.7.35")]
    V2026_7_35,
    /// One of the first gateways with `agents.entries`. It loses the sessions of a deleted agent
    /// until it restarts.
    #[serde(rename = "2026.8.2")]
    V2026_8_2,
    /// A current gateway: protocol 4, `agents.entries`, a merge patch with a real compare-and-swap,
    /// 30 patches a minute, and answers that report an unchanged configuration.
    #[serde(rename = "2026.9.6")]
    V2026_9_6,
}

/// The file names of an agent's workspace, in the order in which gateways list them.
const TWELVE: [&str; 12] = [
    "AGENTS.md",
    "SOUL.md",
    "TASK_SOUL.md",
    "SELF.md",
    "AUTONOMY.md",
    "TOOLS.md",
    "IDENTITY.md",
    "USER.md",
    "HEARTBEAT.md",
    "BOOT.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
];
const OLD_LISTED: [&str; 8] = [
    "AGENTS.md",
    "SOUL.md",
    "TOOLS.md",
    "IDENTITY.md",
    "USER.md",
    "HEARTBEAT.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
];
const OLD_ACCEPTED: [&str; 9] = [
    "AGENTS.md",
    "SOUL.md",
    "TOOLS.md",
    "IDENTITY.md",
    "USER.md",
    "HEARTBEAT.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
    "memory.md",
];
const NEW_LISTED: [&str; 4] = ["AGENTS.md", "SOUL.md", "USER.md", "MEMORY.md"];
const LISTED_8_2: [&str; 5] = ["AGENTS.md", "SOUL.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md"];
const NEW_ACCEPTED: [&str; 6] =
    ["AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md"];

impl Profile {
    /// All profiles: the scenarios' first, then by age.
    pub const ALL: [Self; 9] = [
        Self::Scenario,
        Self::V2026_2_9,
        Self::V2026_3_13,
        Self::V2026_5_7,
        Self::V2026_5_20,
        Self::V2026_6_11,
        Self::V2026_7_35,
        Self::V2026_8_2,
        Self::V2026_9_6,
    ];

    /// Returns the profile with this name: a version such as `2026.9.6`, or `scenario`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Returns the name: a version such as `2026.9.6`, or `scenario`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::V2026_2_9 => "2026.2.9",
            Self::V2026_3_13 => "2026.3.13",
            Self::V2026_5_7 => "2026.5.7",
            Self::V2026_5_20 => "2026.5.20",
            Self::V2026_6_11 => "2026.6.11",
            Self::V2026_7_35 => "2026.7.35",
            Self::V2026_8_2 => "2026.8.2",
            Self::V2026_9_6 => "2026.9.6",
        }
    }

    /// Returns the documents that the gateway writes into a new workspace, by name. Each names its
    /// version, so that no two versions share one. When an agent gets a name, the line
    /// `- **Name:**` of `IDENTITY.md` becomes `- Name: ` and the name.
    #[must_use]
    pub fn seeds(self) -> BTreeMap<String, String> {
        let seed = |name: &&str| {
            let line = if *name == "IDENTITY.md" { "- **Name:**\n" } else { "" };
            let text =
                format!("# {name}\n\nSeeded by the simulated gateway {}.\n{line}", self.name());
            ((*name).to_owned(), text)
        };
        self.seeded_files().iter().map(seed).collect()
    }

    /// Returns the SHA-256 hash of each of the [seeds](Self::seeds) in lower-case hex, by name.
    #[must_use]
    pub fn seed_hashes(self) -> BTreeMap<String, String> {
        self.seeds().into_iter().map(|(name, text)| (name, sha256_hex(text.as_bytes()))).collect()
    }

    /// Returns whether this is a real gateway with this version or a later one.
    pub(crate) fn since(self, first: Self) -> bool {
        // The profile of the scenarios precedes all versions.
        self >= first
    }

    /// Returns whether the gateway has entries, scopes in `hello-ok` and hashes of files.
    pub(crate) fn is_new(self) -> bool {
        self.since(Self::V2026_8_2)
    }

    /// Returns whether this is a real gateway that keeps its agents in a list.
    pub(crate) fn keeps_list(self) -> bool {
        self != Self::Scenario && !self.is_new()
    }

    /// Returns whether lists of items with ids are merged by id instead of replaced.
    pub(crate) fn merges_lists(self) -> bool {
        self.keeps_list() && self != Self::V2026_2_9
    }

    /// Returns whether a patch without a change is not written.
    pub(crate) fn sees_noops(self) -> bool {
        self.since(Self::V2026_5_7)
    }

    /// Returns whether an agent created by a call gets an identity with its name.
    pub(crate) fn names_identities(self) -> bool {
        self.since(Self::V2026_5_7)
    }

    /// Returns whether any write replaces references by their values, expands `~` and resolves
    /// includes.
    pub(crate) fn flattens(self) -> bool {
        self == Self::V2026_2_9
    }

    /// Returns whether a write by this method replaces `~` by the home folder in agents'
    /// workspaces.
    pub(crate) fn writes_expanded(self, by: &str) -> bool {
        match self {
            Self::V2026_3_13 => by != "config.patch",
            Self::V2026_5_7 | Self::V2026_5_20 | Self::V2026_6_11 => true,
            _ => false,
        }
    }

    /// Returns whether an unset variable makes the whole configuration invalid.
    pub(crate) fn needs_variables(self) -> bool {
        self == Self::V2026_2_9
    }

    /// Returns whether deleting an agent trashes its folder even if other agents have files in it.
    pub(crate) fn trashes_blindly(self) -> bool {
        self.keeps_list() && self < Self::V2026_5_7
    }

    /// Returns whether an in-place restart restores the configuration of the process start.
    pub(crate) fn restarts_stale(self) -> bool {
        self == Self::V2026_5_7
    }

    /// Returns whether the sessions of a deleted agent are lost until the gateway restarts.
    pub(crate) fn loses_sessions(self) -> bool {
        self == Self::V2026_8_2
    }

    /// Returns the spelling of a negation in the gateway's messages.
    pub(crate) fn not(self) -> &'static str {
        if self.since(Self::V2026_5_7) { "not" } else { "NOT" }
    }

    /// Returns the protocol version; a client must offer a range that includes it.
    pub(crate) fn protocol(self) -> u64 {
        if self.since(Self::V2026_5_20) { 4 } else { 3 }
    }

    /// Returns `server.version` of `hello-ok`; the old gateway does not know its own.
    pub(crate) fn version(self) -> &'static str {
        if self.since(Self::V2026_3_13) { self.name() } else { "dev" }
    }

    /// Returns the maximum size of a frame in bytes; a larger one closes the connection with 1009.
    pub(crate) fn max_payload(self) -> usize {
        if self == Self::V2026_2_9 { 512 * 1024 } else { 25 * 1024 * 1024 }
    }

    /// Returns the maximum length of a session label, in characters.
    pub(crate) fn label_max(self) -> usize {
        if matches!(self, Self::V2026_2_9 | Self::V2026_3_13) { 64 } else { 512 }
    }

    /// Returns the limit of `config.patch` calls per minute and device.
    pub(crate) fn patches_per_minute(self) -> Option<u32> {
        match self {
            Self::V2026_2_9 | Self::Scenario => None,
            _ if self.is_new() => Some(30),
            _ => Some(3),
        }
    }

    /// Returns the maximum deviation of a device signature's time from now, in milliseconds.
    pub(crate) fn signature_skew_ms(self) -> u64 {
        if matches!(self, Self::V2026_2_9 | Self::Scenario) { 600_000 } else { 120_000 }
    }

    /// Returns the names that `agents.files.get` and `agents.files.set` accept.
    pub(crate) fn accepted_files(self) -> &'static [&'static str] {
        match self {
            Self::Scenario => &TWELVE,
            Self::V2026_2_9 | Self::V2026_3_13 => &OLD_ACCEPTED,
            _ if self.is_new() => &NEW_ACCEPTED,
            _ => &OLD_ACCEPTED[..8],
        }
    }

    /// Returns the names that `agents.files.list` lists.
    pub(crate) fn listed_files(self) -> &'static [&'static str] {
        match self {
            Self::Scenario => &TWELVE,
            Self::V2026_8_2 => &LISTED_8_2,
            _ if self.is_new() => &NEW_LISTED,
            _ => &OLD_LISTED,
        }
    }

    /// Returns the names of the files that `agents.create` writes into a new workspace.
    pub(crate) fn seeded_files(self) -> &'static [&'static str] {
        match self {
            Self::Scenario => &[],
            _ if self.is_new() => &NEW_ACCEPTED[..5],
            _ => &OLD_LISTED[..7],
        }
    }
}
