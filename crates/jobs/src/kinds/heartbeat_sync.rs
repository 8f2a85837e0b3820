//! `heartbeat-sync`: the heartbeats of many agents of one gateway, in one config write.
//!
//! 1. The gateway's config is read once.
//! 2. The heartbeat of every agent in the job is compared with what is there.
//! 3. If any differs, one patch carries all of them, and visibility keys that are missing.
//! 4. The config is read back until the patch is there.
//! 5. The report says which agents changed, and which were left out and why.
//!
//! All syncs of a gateway share one subject of their own, beside the agents'.

use std::time::Duration;

use mission_core::{Job, Kind};

use super::KindSpec;

/// As many attempts as a provisioning; one read and one write are quick even when the gateway
/// restarts.
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
