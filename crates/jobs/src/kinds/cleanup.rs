//! `cleanup`: removes an agent from its gateway, with its files and its session.
//!
//! 1. The run asks the gateway whether the agent exists. If it does not, this part is done.
//! 2. It deletes the agent with its files. The files stay if another agent uses the same workspace.
//! 3. It deletes the agent's session. A missing session is fine; one that cannot be deleted is
//!    reported.
//! 4. It looks for both again, because the session of a deleted agent can come back.
//! 5. The report lists what was removed and what was left.

use std::time::Duration;

use mission_core::Kind;

use super::{KindSpec, agent_subject};

/// The specification of `cleanup`: as many attempts as a provisioning has, because deleting a big
/// workspace can take a while.
pub const SPEC: KindSpec = KindSpec {
    kind: Kind::Cleanup,
    max_attempts: 12,
    deadline: Duration::from_secs(5 * 60),
    subject: agent_subject,
    replaces: &[Kind::Provision, Kind::ProvisionMain, Kind::Cleanup],
    merges: false,
};
