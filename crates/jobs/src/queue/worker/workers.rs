//! The workers of a queue, as they tell of themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::context::ConsumerContext;
use crate::queue::redis::scripts::operators::Heartbeat;

/// After how long without a word a worker is taken for gone: some beats, and a lease.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(30);

/// How long a worker that ends tries to say so.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A worker that has been seen in the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WorkerRecord {
    /// Its name to the queue.
    pub name: String,
    /// The machine that it runs on.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Its process there.
    pub pid: u32,
    /// When it began, in milliseconds since 1970 by Redis's clock.
    pub started_at_ms: u64,
    /// When it was last heard of.
    pub seen_at_ms: u64,
    /// It has not been heard of for so long that it must have ended, or have lost Redis.
    pub gone: bool,
    /// Jobs that it runs.
    pub running: u64,
    /// How many it may run at once.
    pub concurrency: u64,
    /// It takes no more jobs, because somebody wants that.
    pub draining: bool,
}

impl WorkerRecord {
    pub(crate) fn read(name: &str, known: &HashMap<String, String>, now: u64) -> Self {
        let text = |name: &str| known.get(name).cloned().unwrap_or_default();
        let number = |name: &str| {
            known.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default()
        };
        let seen_at_ms = number("seen_at");
        Self {
            name: name.to_owned(),
            host: text("host"),
            version: text("version"),
            pid: u32::try_from(number("pid")).unwrap_or_default(),
            started_at_ms: number("started_at"),
            seen_at_ms,
            gone: u128::from(now.saturating_sub(seen_at_ms)) > GONE_AFTER.as_millis(),
            running: number("running"),
            concurrency: number("concurrency"),
            draining: known.contains_key("draining"),
        }
    }
}

/// Tells every [`crate::queue::Settings::renew`] that this worker lives, and learns whether it is to take
/// no more jobs.
pub(crate) async fn heartbeat(shared: Arc<ConsumerContext>) {
    let host = host();
    let mut ticks = interval(shared.settings.renew);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let beat = Heartbeat {
            worker: &shared.worker,
            host: &host,
            running: shared.leases.count(),
            concurrency: shared.settings.concurrency,
        };
        match shared.scripts.heartbeat(&beat).await {
            Ok(drain) => {
                if shared.drained.send_replace(drain) != drain {
                    tracing::info!(
                        worker = shared.worker,
                        drain,
                        "a person decides whether this worker takes jobs"
                    );
                }
            }
            // Those who claim and renew say more about it.
            Err(error) => tracing::debug!(%error, "cannot tell that this worker lives"),
        }
    }
}

/// Tells that it ends, so that nobody takes it for one that was killed.
pub(crate) async fn deregister(shared: &ConsumerContext) {
    let beat = Heartbeat { worker: &shared.worker, host: "", running: 0, concurrency: 0 };
    // Nobody waits for a Redis that is away: then it is taken for gone soon.
    if !matches!(timeout(LAST_WORD, shared.scripts.heartbeat(&beat)).await, Ok(Ok(_))) {
        tracing::debug!("cannot tell that this worker ends");
    }
}

/// The name of this machine; `?` if it has none.
#[must_use]
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"));
    name.ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "?".to_owned())
}
