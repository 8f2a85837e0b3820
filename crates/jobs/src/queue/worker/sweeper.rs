//! The sweeper takes back the jobs of workers that died.

use std::sync::Arc;

use super::context::{ConsumerContext, ticks};
use crate::queue::redis::claim::Room;

/// Takes back lost leases and makes due jobs ready, even while this worker has no slot free.
pub(crate) async fn sweep(shared: Arc<ConsumerContext>) {
    let mut ticks = ticks(shared.settings.sweep);
    loop {
        ticks.tick().await;
        if let Err(error) =
            shared.scripts.claim(&shared.worker, Room::default(), &shared.settings).await
        {
            tracing::warn!(%error, "sweep failed");
        }
    }
}
