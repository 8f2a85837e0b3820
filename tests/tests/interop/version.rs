//! The versions that are tried, and what each cannot take.

/// How a version's config keeps agents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Roster {
    /// `agents.list`, an array.
    List,
    /// `agents.entries`, an object.
    Entries,
}

/// What not every version does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trait {
    /// It lacks what provisioning needs.
    TooOld,
    /// It lists sessions whose key names an agent that is not in its config, as a main agent's key does.
    ListsForeignSessions,
    /// It gives a backend that has the token all rights, wherever it comes from and whoever it is.
    LetsStrangersIn,
    /// It refuses a config write whose base has changed also if the two come at the same time.
    ComparesHashes,
}

/// A version of OpenClaw.
pub struct Version {
    /// As npm has it.
    pub name: &'static str,
    /// What it does that not every version does.
    traits: &'static [Trait],
    /// How its config keeps agents.
    pub roster: Roster,
    /// The file that must show an agent's token.
    pub token_file: &'static str,
    /// What a report of provisioning must name as left out.
    pub left_out_of_provisioning: &'static [&'static str],
    /// What a report of a heartbeat sync must name as left out.
    pub left_out_of_sync: &'static [&'static str],
    /// What a report of a main agent's cleanup must name as left out.
    pub left_out_of_main_cleanup: &'static [&'static str],
}

impl Version {
    /// Whether it does that.
    pub fn is(&self, one: Trait) -> bool {
        self.traits.contains(&one)
    }
}

/// Files that no version keeps.
const NEVER_KEPT: [&str; 4] = ["file AUTONOMY.md", "file BOOT.md", "file SELF.md", "file TASK_SOUL.md"];

/// A version that keeps agents in a list and takes all the rest.
const fn with_list(name: &'static str, traits: &'static [Trait]) -> Version {
    Version {
        name,
        traits,
        roster: Roster::List,
        token_file: "TOOLS.md",
        left_out_of_provisioning: &NEVER_KEPT,
        left_out_of_sync: &[],
        left_out_of_main_cleanup: &[],
    }
}

/// From the newest version that cannot be provisioned to the newest of all.
pub static ALL: [Version; 7] = [
    with_list("2026.1.30", &[Trait::TooOld]),
    with_list("2026.2.9", &[Trait::LetsStrangersIn]),
    with_list("2026.2.26", &[Trait::LetsStrangersIn]),
    with_list("2026.3.13", &[]),
    with_list("2026.4.29", &[Trait::ListsForeignSessions]),
    with_list("2026.6.11", &[Trait::ListsForeignSessions]),
    Version {
        name: "2026.9.6",
        traits: &[Trait::ListsForeignSessions, Trait::ComparesHashes],
        roster: Roster::Entries,
        token_file: "AGENTS.md",
        left_out_of_provisioning: &[
            "config channels.defaults.heartbeat",
            "config heartbeat.includeReasoning",
            "file AUTONOMY.md",
            "file BOOT.md",
            "file HEARTBEAT.md",
            "file SELF.md",
            "file TASK_SOUL.md",
            "file TOOLS.md",
        ],
        left_out_of_sync: &["config channels.defaults.heartbeat", "config heartbeat.includeReasoning"],
        // It deletes an agent's main session with the agent only, and this session's agent was never there.
        left_out_of_main_cleanup: &["session agent:gateway-5f0c2c1e-7a55-4a0b-9a4e-0d6f3b9f1c11:main"],
    },
];

/// How much is tried of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All cases.
    Full,
    /// One agent comes and goes.
    Smoke,
}

/// The versions that `MISSION_INTEROP` names, with commas between them; all if it does not say. `ci` is the oldest and
/// the newest in full and the others' smoke test, without the one that is too old.
pub fn chosen() -> Vec<(&'static Version, Extent)> {
    let chosen = std::env::var("MISSION_INTEROP").unwrap_or_default();
    if chosen == "ci" {
        let [_, oldest, between @ .., newest] = &ALL;
        let smoke = between.iter().map(|version| (version, Extent::Smoke));
        return [(oldest, Extent::Full), (newest, Extent::Full)].into_iter().chain(smoke).collect();
    }
    let is_chosen = |version: &&Version| chosen.is_empty() || chosen.split(',').any(|name| name == version.name);
    let all: Vec<_> = ALL.iter().filter(is_chosen).map(|version| (version, Extent::Full)).collect();
    assert!(!all.is_empty(), "MISSION_INTEROP={chosen} names no known version");
    all
}
