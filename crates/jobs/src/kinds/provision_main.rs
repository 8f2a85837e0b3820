//! `provision-main`: the main agent of a gateway, which belongs to no board.
//!
//! 1. The agent `mc-gateway-<gateway id>` is registered in the gateway's config.
//! 2. Its documents are written from the main agent's own texts, those that differ and that the
//!    gateway takes.
//! 3. Its session gets its label: the agent's name, or "Gateway Agent".
//! 4. The session is reset, if the job asks for it.
//! 5. Everything is read back and compared; only then is the job done.

use std::time::Duration;

use mission_core::Kind;

use super::{KindSpec, agent_subject};

/// The same limits as for a board agent: the steps are the same.
pub const SPEC: KindSpec = KindSpec {
    kind: Kind::ProvisionMain,
    max_attempts: 12,
    deadline: Duration::from_secs(10 * 60),
    subject: agent_subject,
    replaces: &[Kind::Provision, Kind::ProvisionMain],
    merges: false,
};
