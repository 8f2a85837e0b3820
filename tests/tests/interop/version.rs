//! The tested versions, and the limitations of each.

use std::borrow::Cow;

use super::owner::Loss::{self, Comments, Home, Include, Variable};
use Trait::{
    ComparesHashes, ForgetsSessionsOfDeleted, LetsStrangersIn, ListsForeignSessions,
    RefusesIncludes, RestartsWithOldConfig, TooOld,
};

/// The way in which a version's config keeps agents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Roster {
    /// The array `agents.list`.
    List,
    /// The object `agents.entries`.
    Entries,
}

/// A behaviour that only some versions have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trait {
    /// It lacks methods that provisioning requires.
    TooOld,
    /// It lists sessions whose key names an agent that is not in its config, as the key of a main
    /// agent does.
    ListsForeignSessions,
    /// It gives a backend with the token all rights, from any address and with any device.
    LetsStrangersIn,
    /// It refuses a config write with an outdated base even if two writes arrive at the same time.
    ComparesHashes,
    /// After a change of `channels` it restarts with the config of its process's start, so the
    /// worker does not write that section.
    RestartsWithOldConfig,
    /// It cannot open the sessions of an agent that it has deleted until it is restarted.
    ForgetsSessionsOfDeleted,
    /// It refuses every config write while its file has an `$include` anywhere but in a list.
    RefusesIncludes,
}

/// A version of OpenClaw.
pub struct Version {
    /// The version's name on npm.
    pub name: &'static str,
    /// The behaviours of this version that not every version has.
    traits: &'static [Trait],
    pub roster: Roster,
    /// The changes that any write of this version makes to a person's config file, including the
    /// person's own writes.
    pub losses: &'static [Loss],
}

/// The entries that a version does not keep, as reports of jobs name them, sorted.
pub type LeftOut = Vec<Cow<'static, str>>;

impl Version {
    /// Returns whether the version has that behaviour.
    pub fn is(&self, one: Trait) -> bool {
        self.traits.contains(&one)
    }

    /// Returns whether `.ci/run` tests it, so that its installation stays.
    pub fn is_in_ci(&self) -> bool {
        IN_CI.contains(&self.name)
    }

    /// Returns the file that must contain an agent's token.
    pub fn token_file(&self) -> &'static str {
        match self.roster {
            Roster::List => "TOOLS.md",
            Roster::Entries => "AGENTS.md",
        }
    }

    /// Returns the key in `channels.defaults` that says which heartbeats are shown; none if the
    /// worker must not write it.
    pub fn visibility(&self) -> Option<&'static str> {
        match self.roster {
            _ if self.is(Trait::RestartsWithOldConfig)
                || self.is(Trait::ForgetsSessionsOfDeleted) =>
            {
                None
            }
            Roster::List => Some("heartbeat"),
            Roster::Entries => Some("heartbeatVisibility"),
        }
    }

    /// Returns the entries that a report of provisioning must list as left out.
    pub fn left_out_of_provisioning(&self) -> LeftOut {
        let mut all = self.left_out_of_sync();
        all.extend(NEVER_KEPT.map(Cow::from));
        if self.roster == Roster::Entries {
            all.extend(["file HEARTBEAT.md", "file TOOLS.md"].map(Cow::from));
        }
        all.sort();
        all
    }

    /// Returns the entries that a report of a heartbeat sync must list as left out.
    pub fn left_out_of_sync(&self) -> LeftOut {
        let visibility = self.visibility().is_none().then_some(match self.roster {
            Roster::List => "config channels.defaults.heartbeat",
            Roster::Entries => "config channels.defaults.heartbeatVisibility",
        });
        let reasoning =
            (self.roster == Roster::Entries).then_some("config heartbeat.includeReasoning");
        visibility.into_iter().chain(reasoning).map(Cow::from).collect()
    }

    /// Returns the entries that a report of the cleanup of a main agent with that session must list
    /// as left out.
    pub fn left_out_of_main_cleanup(&self, session: &str) -> LeftOut {
        // The gateway deletes an agent's main session only with the agent, and the agent of this
        // session was never there.
        let kept = self.roster == Roster::Entries;
        kept.then(|| format!("session {session}").into()).into_iter().collect()
    }
}

/// The files that no version keeps.
const NEVER_KEPT: [&str; 4] =
    ["file AUTONOMY.md", "file BOOT.md", "file SELF.md", "file TASK_SOUL.md"];

/// The versions of `MISSION_INTEROP=ci`: the oldest, the newest, and two with defects of their own.
const IN_CI: [&str; 4] = ["2026.2.9", "2026.5.7", "2026.8.2", "2026.9.6"];

const fn list(name: &'static str, traits: &'static [Trait], losses: &'static [Loss]) -> Version {
    Version { name, traits, roster: Roster::List, losses }
}

const fn entries(name: &'static str, traits: &'static [Trait], losses: &'static [Loss]) -> Version {
    Version { name, traits, roster: Roster::Entries, losses }
}

/// The versions from the newest one that cannot be provisioned to the newest of all.
pub static ALL: [Version; 18] = [
    list("2026.1.30", &[TooOld], &[]),
    list("2026.2.9", &[LetsStrangersIn], &[Comments, Home, Include, Variable]),
    list("2026.2.17", &[], &[Comments, Home, Include]),
    list("2026.2.26", &[LetsStrangersIn], &[Comments, Home, Include]),
    list("2026.3.13", &[], &[Comments, Home, Include]),
    list("2026.3.31", &[], &[Comments, Home, Include]),
    list("2026.4.15", &[ListsForeignSessions], &[Comments, Home, Include]),
    list("2026.4.29", &[ListsForeignSessions, RefusesIncludes], &[Comments, Home]),
    list("2026.5.4", &[ListsForeignSessions, RestartsWithOldConfig, RefusesIncludes], &[Comments]),
    list("2026.5.7", &[ListsForeignSessions, RestartsWithOldConfig, RefusesIncludes], &[Comments]),
    list("2026.5.20", &[ListsForeignSessions, RefusesIncludes], &[Comments]),
    list("2026.6.11", &[ListsForeignSessions], &[Comments]),
    list("2026.6.35", &[ListsForeignSessions], &[Comments]),
    list("2026.7.1", &[ListsForeignSessions], &[Comments]),
    list("2026.7.35", &[ListsForeignSessions], &[Comments]),
    entries(
        "2026.8.2",
        &[ListsForeignSessions, ComparesHashes, ForgetsSessionsOfDeleted],
        &[Comments],
    ),
    entries(
        "2026.9.1",
        &[ListsForeignSessions, ComparesHashes, ForgetsSessionsOfDeleted],
        &[Comments],
    ),
    entries("2026.9.6", &[ListsForeignSessions, ComparesHashes], &[Comments]),
];

/// Returns the versions that `MISSION_INTEROP` names, separated by commas, or all if it is not set.
/// The name `ci` selects those of [`IN_CI`].
pub fn chosen() -> Vec<&'static Version> {
    let chosen = std::env::var("MISSION_INTEROP").unwrap_or_default();
    let is_chosen = |version: &&Version| match &chosen[..] {
        "" => true,
        "ci" => version.is_in_ci(),
        names => names.split(',').any(|name| name == version.name),
    };
    let all: Vec<_> = ALL.iter().filter(is_chosen).collect();
    assert!(!all.is_empty(), "MISSION_INTEROP={chosen} names no known version");
    all
}
