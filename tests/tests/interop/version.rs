//! The versions that are tried, and what each cannot take.

/// How a version's config keeps agents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Roster {
    /// `agents.list`, an array.
    List,
    /// `agents.entries`, an object.
    Entries,
}

/// A version of OpenClaw.
pub struct Version {
    /// As npm has it.
    pub name: &'static str,
    /// How its config keeps agents.
    pub roster: Roster,
    /// The file that must show an agent's token.
    pub token_file: &'static str,
    /// Whether it lists sessions whose key names an agent that is not in its config, as a main agent's key does.
    pub lists_foreign_sessions: bool,
    /// What a report of provisioning must name as left out.
    pub left_out_of_provisioning: &'static [&'static str],
    /// What a report of a heartbeat sync must name as left out.
    pub left_out_of_sync: &'static [&'static str],
    /// What a report of a main agent's cleanup must name as left out.
    pub left_out_of_main_cleanup: &'static [&'static str],
}

/// Files that no version keeps.
const NEVER_KEPT: [&str; 4] = ["file AUTONOMY.md", "file BOOT.md", "file SELF.md", "file TASK_SOUL.md"];

/// A version that keeps agents in a list and takes all the rest.
const fn with_list(name: &'static str) -> Version {
    Version {
        name,
        roster: Roster::List,
        token_file: "TOOLS.md",
        lists_foreign_sessions: false,
        left_out_of_provisioning: &NEVER_KEPT,
        left_out_of_sync: &[],
        left_out_of_main_cleanup: &[],
    }
}

/// From the oldest version that has the agent methods to the newest.
pub static ALL: [Version; 6] = [
    with_list("2026.2.9"),
    with_list("2026.2.26"),
    with_list("2026.3.13"),
    Version { lists_foreign_sessions: true, ..with_list("2026.4.29") },
    Version { lists_foreign_sessions: true, ..with_list("2026.6.11") },
    Version {
        name: "2026.9.6",
        roster: Roster::Entries,
        token_file: "AGENTS.md",
        lists_foreign_sessions: true,
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

/// Those that `MISSION_INTEROP` names, with commas between them; all if it does not say.
pub fn chosen() -> Vec<&'static Version> {
    let chosen = std::env::var("MISSION_INTEROP").unwrap_or_default();
    let is_chosen = |version: &&Version| chosen.is_empty() || chosen.split(',').any(|name| name == version.name);
    ALL.iter().filter(is_chosen).collect()
}
