//! `heartbeat-sync`: writes the heartbeats of many agents of one gateway in one config write.
//!
//! 1. The run reads the gateway's config once.
//! 2. It compares the heartbeat of every agent in the job with the config.
//! 3. If any differs, one patch carries all of them, together with missing visibility keys.
//! 4. It reads the config back until the patch is there.
//! 5. The report lists the agents that changed, and those that were left out with the reason.
//!
//! All syncs of a gateway share one subject, which is separate from the subjects of the agents.

use std::time::Duration;

use mission_core::{Job, Kind};

use super::KindSpec;

/// The specification of `heartbeat-sync`: as many attempts as a provisioning has. One read and one
/// write are quick even when the gateway restarts.
pub const SPEC: KindSpec = KindSpec {
    kind: Kind::HeartbeatSync,
    max_attempts: 12,
    deadline: Duration::from_secs(5 * 60),
    subject,
    replaces: &[],
    merges: true,
};

fn subject(job: &Job) -> String {
    format!("{}/heartbeats", job.gateway_id())
}
