//! The four kinds of job, one file each, and the properties of a kind that the queue uses.

pub mod cleanup;
pub mod heartbeat_sync;
pub mod provision;
pub mod provision_main;

use std::time::Duration;

use mission_core::{Job, Kind};

/// Holds the properties of a kind of job that the queue uses.
#[derive(Debug)]
pub struct KindSpec {
    /// The kind; [`Kind::as_str`] is its wire name.
    pub kind: Kind,
    /// The number of runs that may fail before the job is dead. Runs that end busy, blocked or
    /// handed back do not count.
    pub max_attempts: u32,
    /// The longest time that one run may take before it is stopped and counted as failed.
    pub deadline: Duration,
    /// Returns what a job is about. Jobs of one subject run one after the other, in the order in
    /// which they were enqueued.
    pub subject: fn(&Job) -> String,
    /// The kinds of older jobs of the same subject that a newer job of this kind replaces, unless
    /// they are running.
    pub replaces: &'static [Kind],
    /// `true` if jobs that wait one behind the other share a run.
    pub merges: bool,
}

/// Returns the specification of a kind.
#[must_use]
pub const fn spec(kind: Kind) -> &'static KindSpec {
    match kind {
        Kind::Provision => &provision::SPEC,
        Kind::ProvisionMain => &provision_main::SPEC,
        Kind::Cleanup => &cleanup::SPEC,
        Kind::HeartbeatSync => &heartbeat_sync::SPEC,
    }
}

/// Returns the subject of a job about one agent. All such jobs of the agent share it, whatever
/// their kind.
fn agent_subject(job: &Job) -> String {
    let agent = job.agent_id().expect("every kind but heartbeat-sync is about one agent");
    format!("{}/{agent}", job.gateway_id())
}

/// Returns the tables `KINDS` (names by the code in a job's head, and codes by name), `REPLACES` and
/// `MERGES` for the queue's scripts.
pub(crate) fn lua() -> String {
    let set = |kinds: &[Kind]| {
        kinds.iter().fold(String::new(), |set, kind| format!("{set}['{kind}'] = true, "))
    };
    let replaces = Kind::ALL.into_iter().fold(String::new(), |table, kind| {
        format!("{table}  ['{kind}'] = {{ {}}},\n", set(spec(kind).replaces))
    });
    let merging: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| spec(*kind).merges).collect();
    let codes: String = (1..).zip(Kind::ALL).fold(String::new(), |codes, (code, kind)| {
        format!("{codes}'{kind}', ['{kind}'] = {code}, ")
    });
    format!(
        "local KINDS = {{ {codes}}}\nlocal REPLACES = {{\n{replaces}}}\nlocal MERGES = {{ {}}}\n",
        set(&merging)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_leads_to_its_own_specification() {
        for kind in Kind::ALL {
            assert_eq!(spec(kind).kind, kind);
        }
    }
}
