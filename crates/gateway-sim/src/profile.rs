//! The versions that can be imitated, and the plain numbers and lists in which they differ.
//! Differences in behaviour stand where the behaviour is, as a `match` on the profile.

use serde::Deserialize;

/// Which gateway is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Profile {
    /// The oldest gateway that can be provisioned: protocol 3, `agents.list`, arrays replaced by `config.patch`,
    /// frames of at most 512 KiB, and a restart after every write of the configuration.
    #[serde(rename = "2026.2.9")]
    V2026_2_9,
    /// One of the gateways between: lists of things with ids are merged by id, three patches a minute, and a restart
    /// about 2 s after every patch, though not within 30 s of the one before.
    #[serde(rename = "2026.3.13")]
    V2026_3_13,
    /// A later one of them: protocol 4, long labels, answers that say when nothing changed, and no restart but for the
    /// first section on channels, whose reply never comes.
    #[serde(rename = "2026.6.11")]
    V2026_6_11,
    /// A current gateway: protocol 4, `agents.entries`, a merge patch with a real compare-and-swap, 30 patches a
    /// minute, answers that say when nothing changed.
    #[serde(rename = "2026.9.6")]
    V2026_9_6,
    /// The abstract gateway of the recorded scenarios: the list shape, no restarts, no scopes, every option free.
    #[default]
    #[serde(rename = "scenario")]
    Scenario,
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
const OLD_LISTED: [&str; 8] =
    ["AGENTS.md", "SOUL.md", "TOOLS.md", "IDENTITY.md", "USER.md", "HEARTBEAT.md", "BOOTSTRAP.md", "MEMORY.md"];
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
const NEW_ACCEPTED: [&str; 6] = ["AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md"];

impl Profile {
    /// The profile of that name: `2026.2.9`, `2026.3.13`, `2026.6.11`, `2026.9.6` or `scenario`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// Is this the current gateway, with entries, scopes in `hello-ok`, hashes on files?
    pub(crate) fn is_new(self) -> bool {
        self == Self::V2026_9_6
    }

    /// Is this a real gateway that keeps its agents in a list?
    pub(crate) fn keeps_list(self) -> bool {
        matches!(self, Self::V2026_2_9 | Self::V2026_3_13 | Self::V2026_6_11)
    }

    /// Are lists of things with ids merged by id, and not replaced?
    pub(crate) fn merges_lists(self) -> bool {
        matches!(self, Self::V2026_3_13 | Self::V2026_6_11)
    }

    /// Is a patch that changes nothing not written?
    pub(crate) fn sees_noops(self) -> bool {
        matches!(self, Self::V2026_6_11 | Self::V2026_9_6)
    }

    /// Does an agent that is created by call get an identity of its name?
    pub(crate) fn names_identities(self) -> bool {
        matches!(self, Self::V2026_6_11 | Self::V2026_9_6)
    }

    /// How its texts spell a negation.
    pub(crate) fn not(self) -> &'static str {
        if matches!(self, Self::V2026_6_11 | Self::V2026_9_6) { "not" } else { "NOT" }
    }

    /// The protocol spoken; a client must offer a range around it.
    pub(crate) fn protocol(self) -> u64 {
        if matches!(self, Self::V2026_6_11 | Self::V2026_9_6) { 4 } else { 3 }
    }

    /// `server.version` of `hello-ok`; the old gateway does not know its own.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V2026_3_13 => "2026.3.13",
            Self::V2026_6_11 => "2026.6.11",
            Self::V2026_9_6 => "2026.9.6",
            Self::V2026_2_9 | Self::Scenario => "dev",
        }
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
            Self::V2026_3_13 | Self::V2026_6_11 => Some(3),
            Self::V2026_9_6 => Some(30),
        }
    }

    /// Oldest and newest device signature accepted, in milliseconds around now.
    pub(crate) fn signature_skew_ms(self) -> u64 {
        if matches!(self, Self::V2026_2_9 | Self::Scenario) { 600_000 } else { 120_000 }
    }

    /// Names that `agents.files.get` and `agents.files.set` accept.
    pub(crate) fn accepted_files(self) -> &'static [&'static str] {
        match self {
            Self::V2026_2_9 | Self::V2026_3_13 => &OLD_ACCEPTED,
            Self::V2026_6_11 => &OLD_ACCEPTED[..8],
            Self::V2026_9_6 => &NEW_ACCEPTED,
            Self::Scenario => &TWELVE,
        }
    }

    /// Names that `agents.files.list` lists.
    pub(crate) fn listed_files(self) -> &'static [&'static str] {
        match self {
            Self::V2026_2_9 | Self::V2026_3_13 | Self::V2026_6_11 => &OLD_LISTED,
            Self::V2026_9_6 => &NEW_LISTED,
            Self::Scenario => &TWELVE,
        }
    }

    /// Names written into a new agent's workspace by `agents.create`.
    pub(crate) fn seeded_files(self) -> &'static [&'static str] {
        match self {
            Self::V2026_2_9 | Self::V2026_3_13 | Self::V2026_6_11 => &OLD_LISTED[..7],
            Self::V2026_9_6 => &NEW_ACCEPTED[..5],
            Self::Scenario => &[],
        }
    }
}
