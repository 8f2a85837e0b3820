//! `provision`: a board agent exists on its gateway and looks as the job says.
//!
//! 1. The agent is registered in the gateway's config: name, workspace, heartbeat, visibility.
//! 2. Its documents are written, those that differ and that the gateway takes.
//! 3. Its session gets its label: the agent's name, cut to what the gateway accepts.
//! 4. The session is reset, if the job asks for it.
//! 5. Everything is read back and compared; only then is the job done.
//!
//! Each step reads first and writes only a difference, so the job can be run any number of times.
//! It shares its subject with the other jobs of the agent: a cleanup and a provisioning never run
//! side by side.

use std::time::Duration;

use mission_core::Kind;

use super::{KindSpec, agent_subject};

/// Twelve attempts span about 18 minutes of waiting. Creating an agent on a large gateway can take
/// two minutes by itself, and a config write may restart the gateway in the middle.
pub const SPEC: KindSpec = KindSpec {
    kind: Kind::Provision,
    max_attempts: 12,
    deadline: Duration::from_secs(10 * 60),
    subject: agent_subject,
    replaces: &[Kind::Provision, Kind::ProvisionMain],
    merges: false,
};
