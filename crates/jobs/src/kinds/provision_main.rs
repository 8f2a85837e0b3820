//! `provision-main`: provisions the main agent of a gateway, which belongs to no board.
//!
//! 1. The run registers the agent `mc-gateway-<gateway id>` in the gateway's config.
//! 2. It writes the main agent's own documents, those that differ and that the gateway accepts.
//! 3. It labels the session with the agent's name, or with "Gateway Agent".
//! 4. It resets the session if the job asks for it.
//! 5. It reads everything back and compares it. Only then is the job done.

use std::time::Duration;

use mission_core::Kind;

use super::{KindSpec, agent_subject};

/// The specification of `provision-main`: the same limits as for a board agent, because the steps
/// are the same.
pub const SPEC: KindSpec = KindSpec {
    kind: Kind::ProvisionMain,
    max_attempts: 12,
    deadline: Duration::from_secs(10 * 60),
    subject: agent_subject,
    replaces: &[Kind::Provision, Kind::ProvisionMain],
    merges: false,
};
