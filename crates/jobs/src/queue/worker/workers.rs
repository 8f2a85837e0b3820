//! The workers of a queue, as their heartbeats describe them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::context::{ConsumerContext, ticks};
use crate::queue::redis::fields::Fields;
use crate::queue::redis::scripts::millis;

/// The time without a heartbeat after which a worker counts as gone: some heartbeats, and a lease.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(30);

/// The longest time that a worker tries to deregister when it ends.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A worker that has sent a heartbeat in the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WorkerRecord {
    /// The worker's name in the queue.
    pub name: String,
    /// The name of the machine that it runs on.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// The id of its process on that machine.
    pub pid: u32,
    /// The time of its first heartbeat, in milliseconds since 1970 by Redis's clock.
    pub started_at_ms: u64,
    /// The time of its last heartbeat, likewise.
    pub seen_at_ms: u64,
    /// `true` if its last heartbeat is more than 30 s old: it must have ended, or have lost Redis.
    pub gone: bool,
    /// The number of jobs that it runs.
    pub running: u64,
    /// The number of jobs that it may run at once.
    pub concurrency: u64,
    /// `true` if it claims no more jobs because a person asked for that.
    pub draining: bool,
}

impl WorkerRecord {
    pub(crate) fn read(name: &str, known: &Fields, now: u64) -> Self {
        let text = |name: &str| known.text(name).unwrap_or_default();
        let number = |name: &str| known.parse(name).unwrap_or_default();
        let seen_at_ms = number("seen_at");
        Self {
            name: name.to_owned(),
            host: text("host"),
            version: text("version"),
            pid: known.parse("pid").unwrap_or_default(),
            started_at_ms: number("started_at"),
            seen_at_ms,
            gone: now.saturating_sub(seen_at_ms) > millis(GONE_AFTER),
            running: number("running"),
            concurrency: number("concurrency"),
            draining: known.bytes("draining").is_some(),
        }
    }
}

/// Sends a heartbeat to a shard every [`crate::queue::Settings::renew`]. The answer of the first one
/// says whether this worker may claim jobs.
pub(crate) async fn heartbeat(shared: Arc<ConsumerContext>) {
    let host = host();
    let mut ticks = ticks(shared.settings.renew);
    loop {
        ticks.tick().await;
        // The fetcher reports that.
        if shared.shards.check(true).await.is_err() {
            continue;
        }
        let running = shared.all_leases.iter().map(|leases| leases.count()).sum();
        let concurrency = shared.settings.concurrency;
        match shared.scripts.heartbeat(&shared.worker, &host, running, concurrency).await {
            Ok(drain) => {
                if shared.shard == 0 && shared.drained.send_replace(drain) != drain {
                    tracing::info!(worker = shared.worker, drain, "draining changed");
                }
            }
            // The tasks that claim and renew log this more loudly.
            Err(error) => tracing::debug!(%error, "heartbeat failed"),
        }
    }
}

/// Reports that this worker ends, so that nobody takes it for one that was killed.
pub(crate) async fn deregister(shared: &ConsumerContext) {
    let last = shared.scripts.heartbeat(&shared.worker, "", 0, 0);
    // A shutdown does not wait for a Redis that is away. The worker then counts as gone soon.
    if !matches!(timeout(LAST_WORD, last).await, Ok(Ok(_))) {
        tracing::debug!("deregistration failed");
    }
}

/// Returns the name of this machine, or `?` if it has none.
#[must_use]
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("?").to_owned()
}
