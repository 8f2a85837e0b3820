//! `provision`: makes a board agent exist on its gateway, with everything that the job asks for.
//!
//! 1. The run registers the agent in the gateway's config: name, workspace, heartbeat, visibility.
//! 2. It writes the agent's documents that differ and that the gateway accepts.
//! 3. It labels the agent's session with the agent's name, cut to the length that the gateway
//!    accepts.
//! 4. It resets the session if the job asks for it.
//! 5. It reads everything back and compares it. Only then is the job done.
//!
//! Each step reads first and writes only a difference, so the job can be run any number of times.
//! It shares its subject with the other jobs of the agent, so a cleanup and a provisioning never
//! run at the same time.

use std::time::Duration;

use mission_core::Kind;

use super::{KindSpec, agent_subject};

/// The specification of `provision`. Twelve attempts span about 18 minutes of waiting. Creating an
/// agent on a large gateway can take two minutes by itself, and a config write may restart the
/// gateway half-way.
pub const SPEC: KindSpec = KindSpec {
    kind: Kind::Provision,
    max_attempts: 12,
    deadline: Duration::from_secs(10 * 60),
    subject: agent_subject,
    replaces: &[Kind::Provision, Kind::ProvisionMain],
    merges: false,
};
