//! The versions that can be imitated, and the plain numbers and lists in which they differ.
//! Differences in behaviour stand where the behaviour is, as a `match` on the profile.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::files::sha256_hex;

/// Which gateway is imitated. Later versions are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Deserialize)]
pub enum Profile {
    /// The abstract gateway of the recorded scenarios: the list shape, no restarts, no scopes,
    /// every option free.
    #[default]
    #[serde(rename = "scenario")]
    Scenario,
    /// The oldest gateway that can be provisioned: protocol 3, `agents.list`, arrays replaced by
    /// `config.patch`, frames of at most 512 KiB, and a restart after every write of the
    /// configuration. Every write resolves the whole file, and a reference to a variable that is
    /// not set ends the gateway for good.
    #[serde(rename = "2026.2.9")]
    V2026_2_9,
    /// One of the gateways between: lists of things with ids are merged by id, three patches a
    /// minute, and a restart about 2 s after every patch, though not within 30 s of the one before.
    #[serde(rename = "2026.3.13")]
    V2026_3_13,
    /// The last gateway of protocol 3: no restart but for a patch that touches `channels`, and
    /// after that one it runs with the configuration of its process start.
    #[serde(rename = "2026.5.7")]
    V2026_5_7,
    /// A gateway of protocol 4 that refuses every patch while there is an `$include` in its file.
    #[serde(rename = "2026.5.20")]
    V2026_5_20,
    /// A later one of them: protocol 4, long labels, answers that say when nothing changed, and no
    /// restart but for the first section on channels, whose reply never comes.
    #[serde(rename = "2026.6.11")]
    V2026_6_11,
    /// The last gateway that keeps a list; it refuses to write a list that is included.
    #[serde(rename = "2026.7.35")]
    V2026_7_35,
    /// One of the first gateways with `agents.entries`; it loses the sessions of an agent that was
    /// deleted until it restarts.
    #[serde(rename = "2026.8.2")]
    V2026_8_2,
    /// A current gateway: protocol 4, `agents.entries`, a merge patch with a real compare-and-swap,
    /// 30 patches a minute, answers that say when nothing changed.
    #[serde(rename = "2026.9.6")]
    V2026_9_6,
}

/// File names an agent's workspace can have, in the order the gateways list them.
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
    /// All profiles, the scenarios' first and then by age.
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

    /// The profile of that name, which is a version as `2026.9.6`, or `scenario`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The name, which is the version as `2026.9.6`, or `scenario`.
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

    /// The documents that it writes into a new workspace, by name. Each names its version, so that
    /// no two versions have one in common. When an agent is given a name, the line `- **Name:**` of
    /// `IDENTITY.md` becomes `- Name: ` and that name.
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

    /// Lower-case hex SHA-256 of each of the [seeds](Self::seeds), by name.
    #[must_use]
    pub fn seed_hashes(self) -> BTreeMap<String, String> {
        self.seeds().into_iter().map(|(name, text)| (name, sha256_hex(text.as_bytes()))).collect()
    }

    /// Tells if this is a real gateway, of that version or later.
    pub(crate) fn since(self, first: Self) -> bool {
        // The scenarios' gateway is before all of them.
        self >= first
    }

    /// Is this a gateway with entries, scopes in `hello-ok`, hashes on files?
    pub(crate) fn is_new(self) -> bool {
        self.since(Self::V2026_8_2)
    }

    /// Is this a real gateway that keeps its agents in a list?
    pub(crate) fn keeps_list(self) -> bool {
        self != Self::Scenario && !self.is_new()
    }

    /// Are lists of things with ids merged by id, and not replaced?
    pub(crate) fn merges_lists(self) -> bool {
        self.keeps_list() && self != Self::V2026_2_9
    }

    /// Is a patch that changes nothing not written?
    pub(crate) fn sees_noops(self) -> bool {
        self.since(Self::V2026_5_7)
    }

    /// Does an agent that is created by call get an identity of its name?
    pub(crate) fn names_identities(self) -> bool {
        self.since(Self::V2026_5_7)
    }

    /// Tells if any write puts values in the place of references, expands `~` and takes includes
    /// apart.
    pub(crate) fn flattens(self) -> bool {
        self == Self::V2026_2_9
    }

    /// Tells if a write by that method puts the home folder in the place of `~` in agents'
    /// workspaces.
    pub(crate) fn writes_expanded(self, by: &str) -> bool {
        match self {
            Self::V2026_3_13 => by != "config.patch",
            Self::V2026_5_7 | Self::V2026_5_20 | Self::V2026_6_11 => true,
            _ => false,
        }
    }

    /// Tells if a variable that is not set makes the whole configuration invalid.
    pub(crate) fn needs_variables(self) -> bool {
        self == Self::V2026_2_9
    }

    /// Tells if it trashes an agent's folder whoever else has files in it.
    pub(crate) fn trashes_blindly(self) -> bool {
        self.keeps_list() && self < Self::V2026_5_7
    }

    /// Tells if an in-place restart brings back the configuration of the process start.
    pub(crate) fn restarts_stale(self) -> bool {
        self == Self::V2026_5_7
    }

    /// Tells if the sessions of a deleted agent are lost until the gateway restarts.
    pub(crate) fn loses_sessions(self) -> bool {
        self == Self::V2026_8_2
    }

    /// How its texts spell a negation.
    pub(crate) fn not(self) -> &'static str {
        if self.since(Self::V2026_5_7) { "not" } else { "NOT" }
    }

    /// The protocol spoken; a client must offer a range around it.
    pub(crate) fn protocol(self) -> u64 {
        if self.since(Self::V2026_5_20) { 4 } else { 3 }
    }

    /// `server.version` of `hello-ok`; the old gateway does not know its own.
    pub(crate) fn version(self) -> &'static str {
        if self.since(Self::V2026_3_13) { self.name() } else { "dev" }
    }

    /// Largest frame accepted, in bytes; a larger one closes the connection with 1009.
    pub(crate) fn max_payload(self) -> usize {
        if self == Self::V2026_2_9 { 512 * 1024 } else { 25 * 1024 * 1024 }
    }

    /// Largest session label, in characters.
    pub(crate) fn label_max(self) -> usize {
        if matches!(self, Self::V2026_2_9 | Self::V2026_3_13) { 64 } else { 512 }
    }

    /// Calls of `config.patch` allowed per minute and device.
    pub(crate) fn patches_per_minute(self) -> Option<u32> {
        match self {
            Self::V2026_2_9 | Self::Scenario => None,
            _ if self.is_new() => Some(30),
            _ => Some(3),
        }
    }

    /// Oldest and newest device signature accepted, in milliseconds around now.
    pub(crate) fn signature_skew_ms(self) -> u64 {
        if matches!(self, Self::V2026_2_9 | Self::Scenario) { 600_000 } else { 120_000 }
    }

    /// Names that `agents.files.get` and `agents.files.set` accept.
    pub(crate) fn accepted_files(self) -> &'static [&'static str] {
        match self {
            Self::Scenario => &TWELVE,
            Self::V2026_2_9 | Self::V2026_3_13 => &OLD_ACCEPTED,
            _ if self.is_new() => &NEW_ACCEPTED,
            _ => &OLD_ACCEPTED[..8],
        }
    }

    /// Names that `agents.files.list` lists.
    pub(crate) fn listed_files(self) -> &'static [&'static str] {
        match self {
            Self::Scenario => &TWELVE,
            Self::V2026_8_2 => &LISTED_8_2,
            _ if self.is_new() => &NEW_LISTED,
            _ => &OLD_LISTED,
        }
    }

    /// Names written into a new agent's workspace by `agents.create`.
    pub(crate) fn seeded_files(self) -> &'static [&'static str] {
        match self {
            Self::Scenario => &[],
            _ if self.is_new() => &NEW_ACCEPTED[..5],
            _ => &OLD_LISTED[..7],
        }
    }
}
