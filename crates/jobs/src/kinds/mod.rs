//! The four kinds of job, one file each, and what the queue has to know of a kind.

pub mod cleanup;
pub mod heartbeat_sync;
pub mod provision;
pub mod provision_main;

use std::time::Duration;

use mission_core::{Job, Kind};

/// What the queue has to know of a kind of job.
#[derive(Debug)]
pub struct KindSpec {
    /// The kind; its wire name is [`Kind::as_str`].
    pub kind: Kind,
    /// Runs that may fail before the job is dead. Runs that end busy, blocked or handed back do not
    /// count.
    pub max_attempts: u32,
    /// How long one run may take before it is stopped and counted as failed.
    pub deadline: Duration,
    /// What a job is about: jobs of one subject run one after the other, in the order of their
    /// enqueueing.
    pub subject: fn(&Job) -> String,
    /// Older kinds of job of the same subject whose place a newer one takes, unless they run.
    pub replaces: &'static [Kind],
    /// Whether jobs that wait one behind the other share a run.
    pub merges: bool,
}

/// The specification of a kind.
#[must_use]
pub const fn spec(kind: Kind) -> &'static KindSpec {
    match kind {
        Kind::Provision => &provision::SPEC,
        Kind::ProvisionMain => &provision_main::SPEC,
        Kind::Cleanup => &cleanup::SPEC,
        Kind::HeartbeatSync => &heartbeat_sync::SPEC,
    }
}

/// The subject of a job about one agent: all such jobs of that agent, whatever their kind, share
/// it.
fn agent_subject(job: &Job) -> String {
    let agent = job.agent_id().expect("every kind but heartbeat-sync is about one agent");
    format!("{}/{agent}", job.gateway_id())
}

/// The tables `KINDS`, `REPLACES` and `MERGES` of the queue's scripts.
pub(crate) fn lua() -> String {
    let set = |kinds: &[Kind]| {
        kinds.iter().fold(String::new(), |set, kind| format!("{set}['{kind}'] = true, "))
    };
    let replaces = Kind::ALL.into_iter().fold(String::new(), |table, kind| {
        format!("{table}  ['{kind}'] = {{ {}}},\n", set(spec(kind).replaces))
    });
    let merging: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| spec(*kind).merges).collect();
    format!(
        "local KINDS = {{ {}}}\nlocal REPLACES = {{\n{replaces}}}\nlocal MERGES = {{ {}}}\n",
        set(&Kind::ALL),
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
