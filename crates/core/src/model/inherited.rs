//! The options that a job takes over from the jobs that it replaces.

use super::{Action, Job, Options};

/// The options that must not be lost when a newer job for the same agent replaces the job that
/// requested them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inherited {
    /// Writes BOOTSTRAP.md even in an update that would leave it out.
    pub force_bootstrap: bool,
    /// Resets the agent's session at the end of the run.
    pub reset_session: bool,
    /// Marks the agent as new: an update acts as a first provisioning.
    pub provision: bool,
}

impl Job {
    /// Returns the inheritable options that the job itself requests. Kinds that do not provision
    /// request none.
    #[must_use]
    pub fn flags(&self) -> Inherited {
        self.options().map_or_else(Inherited::default, |options| Inherited {
            force_bootstrap: options.force_bootstrap,
            reset_session: options.reset_session,
            provision: options.action == Action::Provision,
        })
    }

    /// Adds the inherited options to those of the job and removes none. Kinds that do not provision
    /// are unaffected.
    pub fn inherit(&mut self, inherited: Inherited) {
        let Some(options) = self.options_mut() else { return };
        options.force_bootstrap |= inherited.force_bootstrap;
        options.reset_session |= inherited.reset_session;
        if inherited.provision {
            options.action = Action::Provision;
        }
    }

    const fn options(&self) -> Option<&Options> {
        match self {
            Self::Provision(job) => Some(&job.options),
            Self::ProvisionMain(job) => Some(&job.options),
            Self::Cleanup(_) | Self::HeartbeatSync(_) | Self::Nothing(_) => None,
        }
    }

    const fn options_mut(&mut self) -> Option<&mut Options> {
        match self {
            Self::Provision(job) => Some(&mut job.options),
            Self::ProvisionMain(job) => Some(&mut job.options),
            Self::Cleanup(_) | Self::HeartbeatSync(_) | Self::Nothing(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::Kind;

    const ALL: Inherited =
        Inherited { force_bootstrap: true, reset_session: true, provision: true };
    const NONE: Inherited =
        Inherited { force_bootstrap: false, reset_session: false, provision: false };

    fn job(kind: Kind, options: &Value) -> Job {
        let id = Uuid::from_u128(1);
        let agent = json!({ "id": id, "name": "Ada" });
        let mut document = json!({
            "version": 1,
            "kind": kind.as_str(),
            "gateway": { "id": id, "url": "ws://localhost", "workspace_root": "/w" },
            "auth_token": "t",
            "board": { "id": id, "name": "Launch" },
            "options": options,
        });
        if kind == Kind::HeartbeatSync {
            document["agents"] = json!([agent]);
        } else {
            document["agent"] = agent;
        }
        Job::from_value(document).expect("a valid document")
    }

    #[test]
    fn each_flag_is_inherited_by_itself() {
        for kind in [Kind::Provision, Kind::ProvisionMain] {
            for flags in [
                NONE,
                Inherited { force_bootstrap: true, ..NONE },
                Inherited { reset_session: true, ..NONE },
                Inherited { provision: true, ..NONE },
                ALL,
            ] {
                let mut update = job(kind, &json!({ "action": "update" }));
                assert_eq!(update.flags(), NONE);
                update.inherit(flags);
                assert_eq!(update.flags(), flags, "{kind}");
            }
        }
    }

    #[test]
    fn what_a_job_asks_for_itself_stays() {
        let mut own =
            job(Kind::Provision, &json!({ "force_bootstrap": true, "reset_session": true }));
        assert_eq!(own.flags(), ALL, "the action of a document that names none is provision");
        own.inherit(NONE);
        assert_eq!(own.flags(), ALL);
    }

    #[test]
    fn other_kinds_neither_ask_nor_inherit() {
        for kind in [Kind::Cleanup, Kind::HeartbeatSync] {
            let mut other = job(kind, &json!({ "force_bootstrap": true }));
            other.inherit(ALL);
            assert_eq!(other.flags(), NONE, "{kind}");
        }
    }
}
