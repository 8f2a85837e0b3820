//! `cleanup`: an agent is gone from its gateway, with its files and its session.
//!
//! 1. The gateway is asked whether the agent is there; if not, that part is done.
//! 2. The agent is deleted with its files, which stay if another agent uses the same workspace.
//! 3. Its session is deleted; one that is missing is fine, one that cannot be deleted is reported.
//! 4. Both are looked for again, because a deleted agent's session can come back.
//! 5. The report says what was removed and what was left.

use std::time::Duration;

use mission_core::Kind;

use super::{KindSpec, agent_subject};

/// As many attempts as a provisioning; deleting a big workspace can take a while.
pub const SPEC: KindSpec = KindSpec {
    kind: Kind::Cleanup,
    max_attempts: 12,
    deadline: Duration::from_secs(5 * 60),
    subject: agent_subject,
    replaces: &[Kind::Provision, Kind::ProvisionMain, Kind::Cleanup],
    merges: false,
};
