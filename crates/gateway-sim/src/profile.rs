//! The imitated versions, and the numbers and lists in which they differ. Differences in behaviour
//! are where the behaviour is, as a `match` on the profile.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::files::sha256_hex;

/// Declares the profiles, each with its name.
macro_rules! profiles {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)*) => {
        /// The gateway version to imitate. Later versions are greater.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Deserialize)]
        pub enum Profile {
            $($(#[$meta])* #[serde(rename = $name)] $variant,)*
        }

        impl Profile {
            /// All profiles: the scenarios' first, then by age.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Returns the name: a version such as `2026.9.6`, or `scenario`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

profiles! {
    /// The abstract gateway of the recorded scenarios: an agent list, no restarts, no scopes, and
    /// every option available.
    #[default]
    Scenario = "scenario",
    /// The oldest gateway that can be provisioned: protocol 3, `agents.list`, arrays replaced by
    /// `config.patch`, frames of at most 512 KiB, and a restart after every write of the
    /// configuration. Every write resolves the whole file, and a reference to an unset variable
    /// stops the gateway for good.
    V2026_2_9 = "2026.2.9",
    /// A version in between: lists of items with ids are merged by id, three patches a minute, and
    /// a restart about 2 s after every patch, at most every 30 s.
    V2026_3_13 = "2026.3.13",
    /// The last gateway of protocol 3. It restarts only after a patch that touches `channels`, and
    /// then runs with the configuration of its process start.
    V2026_5_7 = "2026.5.7",
    /// A gateway of protocol 4 that refuses every patch while its file has an `$include`.
    V2026_5_20 = "2026.5.20",
    /// A later version with protocol 4, long labels, and answers that report an unchanged
    /// configuration. It restarts only for the first section on channels, whose reply never
    /// arrives.
    V2026_6_11 = "2026.6.11",
    /// The last gateway that keeps a list. It refuses to write a list that is included.
    V2026_7_35 = "2026.7.35",
    /// One of the first gateways with `agents.entries`. It loses the sessions of a deleted agent
    /// until it restarts.
    V2026_8_2 = "2026.8.2",
    /// A current gateway: protocol 4, `agents.entries`, a merge patch with a real compare-and-swap,
    /// 30 patches a minute, and answers that report an unchanged configuration.
    V2026_9_6 = "2026.9.6",
}

/// The file names of an agent's workspace, in the order in which gateways list them.
const ALL_FILES: &str = "AGENTS.md SOUL.md TASK_SOUL.md SELF.md AUTONOMY.md TOOLS.md IDENTITY.md \
    USER.md HEARTBEAT.md BOOT.md BOOTSTRAP.md MEMORY.md";
const OLD_SEEDED: &str = "AGENTS.md SOUL.md TOOLS.md IDENTITY.md USER.md HEARTBEAT.md BOOTSTRAP.md";
const NEW_SEEDED: &str = "AGENTS.md SOUL.md IDENTITY.md USER.md BOOTSTRAP.md";

impl Profile {
    /// Returns the profile with this name: a version such as `2026.9.6`, or `scenario`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Returns the documents that the gateway writes into a new workspace, by name. Each names its
    /// version, so that no two versions share one. When an agent gets a name, the line
    /// `- **Name:**` of `IDENTITY.md` becomes `- Name: ` and the name.
    #[must_use]
    pub fn seeds(self) -> BTreeMap<String, String> {
        let seed = |name: &str| {
            let line = if name == "IDENTITY.md" { "- **Name:**\n" } else { "" };
            let version = self.name();
            let text = format!("# {name}\n\nSeeded by the simulated gateway {version}.\n{line}");
            (name.to_owned(), text)
        };
        self.seeded_files().split_whitespace().map(seed).collect()
    }

    /// Returns the SHA-256 hash of each of the [seeds](Self::seeds) in lower-case hex, by name.
    #[must_use]
    pub fn seed_hashes(self) -> BTreeMap<String, String> {
        self.seeds().into_iter().map(|(name, text)| (name, sha256_hex(text.as_bytes()))).collect()
    }

    /// Returns whether the gateway has entries, scopes in `hello-ok` and hashes of files.
    pub(crate) fn is_new(self) -> bool {
        self >= Self::V2026_8_2
    }

    /// Returns whether this is a real gateway that keeps its agents in a list.
    pub(crate) fn keeps_list(self) -> bool {
        self != Self::Scenario && !self.is_new()
    }

    /// Returns whether a patch without a change is not written.
    pub(crate) fn sees_noops(self) -> bool {
        self >= Self::V2026_5_7
    }

    /// Returns whether an in-place restart restores the configuration of the process start.
    pub(crate) fn restarts_stale(self) -> bool {
        self == Self::V2026_5_7
    }

    /// Returns the spelling of a negation in the gateway's messages.
    pub(crate) fn not(self) -> &'static str {
        if self >= Self::V2026_5_7 { "not" } else { "NOT" }
    }

    /// Returns the protocol version; a client must offer a range that includes it.
    pub(crate) fn protocol(self) -> u64 {
        if self >= Self::V2026_5_20 { 4 } else { 3 }
    }

    /// Returns `server.version` of `hello-ok`; the old gateway does not know its own.
    pub(crate) fn version(self) -> &'static str {
        if self >= Self::V2026_3_13 { self.name() } else { "dev" }
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

    /// Returns the names that `agents.files.get` and `agents.files.set` accept, separated by
    /// spaces.
    pub(crate) fn accepted_files(self) -> String {
        match self {
            Self::Scenario => ALL_FILES.to_owned(),
            Self::V2026_2_9 | Self::V2026_3_13 => format!("{OLD_SEEDED} MEMORY.md memory.md"),
            _ if self.is_new() => format!("{NEW_SEEDED} MEMORY.md"),
            _ => format!("{OLD_SEEDED} MEMORY.md"),
        }
    }

    /// Returns the names that `agents.files.list` lists, separated by spaces.
    pub(crate) fn listed_files(self) -> String {
        match self {
            Self::Scenario => ALL_FILES.to_owned(),
            Self::V2026_8_2 => "AGENTS.md SOUL.md USER.md BOOTSTRAP.md MEMORY.md".to_owned(),
            _ if self.is_new() => "AGENTS.md SOUL.md USER.md MEMORY.md".to_owned(),
            _ => format!("{OLD_SEEDED} MEMORY.md"),
        }
    }

    /// Returns the names of the files that `agents.create` writes into a new workspace, separated
    /// by spaces.
    pub(crate) fn seeded_files(self) -> &'static str {
        match self {
            Self::Scenario => "",
            _ if self.is_new() => NEW_SEEDED,
            _ => OLD_SEEDED,
        }
    }
}
