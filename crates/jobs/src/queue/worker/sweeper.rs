//! The sweeper takes back the jobs of workers that died.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::context::{ConsumerContext, ticks};
use crate::queue::redis::claim::Room;

/// The longest time to copy the pauses of the first shard.
const PAUSES: Duration = Duration::from_secs(1);

/// Brings the pauses of a later shard up to date, takes back lost leases and makes due jobs ready,
/// even while this worker has no slot free.
pub(crate) async fn sweep(shared: Arc<ConsumerContext>) {
    let mut ticks = ticks(shared.settings.sweep);
    loop {
        ticks.tick().await;
        // The fetcher reports that.
        if shared.shards.check(true).await.is_err() {
            continue;
        }
        if let Err(error) =
            shared.scripts.claim(&shared.worker, Room::default(), &shared.settings).await
        {
            tracing::warn!(%error, "sweep failed");
        }
        if shared.shard == 0 {
            if let Err(error) = shared.shards.keep_count().await {
                tracing::warn!(%error, "keeping the number of shards failed");
            }
        } else {
            // If the first shard hangs, this one goes on without it.
            let copied = timeout(PAUSES, shared.shards.copy_pauses(&shared.scripts)).await;
            if let Ok(Err(error)) = copied {
                tracing::warn!(%error, shard = shared.shard, "copying pauses failed");
            }
        }
    }
}
