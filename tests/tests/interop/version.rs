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
    /// Whether it keeps HEARTBEAT.md; if not, a heartbeat's duties stand in the config.
    pub has_heartbeat_file: bool,
    /// Whether it lists the sessions of agents that are not in its config, as a main agent's is.
    pub lists_foreign_sessions: bool,
    /// What a report of provisioning must name as left out.
    pub left_out_of_provisioning: &'static [&'static str],
    /// What a report of a heartbeat sync must name as left out.
    pub left_out_of_sync: &'static [&'static str],
}

/// The oldest version that has the agent methods, and the newest.
pub static ALL: [&Version; 2] = [
    &Version {
        name: "2026.2.9",
        roster: Roster::List,
        token_file: "TOOLS.md",
        has_heartbeat_file: true,
        lists_foreign_sessions: false,
        left_out_of_provisioning: &["file AUTONOMY.md", "file BOOT.md", "file SELF.md", "file TASK_SOUL.md"],
        left_out_of_sync: &[],
    },
    &Version {
        name: "2026.9.6",
        roster: Roster::Entries,
        token_file: "AGENTS.md",
        has_heartbeat_file: false,
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
    },
];
