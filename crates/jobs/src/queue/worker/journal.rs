//! The journal of a run: records in Redis what the run is about to do to its gateway, before it
//! does it.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mission_core::journal::{NotSaved, Store};
use tokio::time::sleep;

use super::context::ConsumerContext;
use crate::queue::redis::scripts::Lease;
use crate::queue::worker::fetcher::REDIS_AWAY;

/// Records the effects of a run for all jobs that share it.
pub(crate) struct LeasedJournal {
    pub(crate) shared: Arc<ConsumerContext>,
    pub(crate) leases: Vec<Lease>,
}

impl fmt::Debug for LeasedJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedJournal").field("leases", &self.leases).finish_non_exhaustive()
    }
}

impl Store for LeasedJournal {
    /// Saves the effects. While Redis is away the run waits here; it is stopped when its lease is
    /// over.
    fn save(&self, effects: String) -> BoxFuture<'_, Result<(), NotSaved>> {
        async move {
            for faults in 1.. {
                match self.shared.scripts.journal(&self.shared.worker, &effects, &self.leases).await
                {
                    Ok(true) => return Ok(()),
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, faults, "journal write failed, retrying");
                        sleep(REDIS_AWAY.delay(faults)).await;
                    }
                }
            }
            Err(NotSaved("the lease was taken back".to_owned()))
        }
        .boxed()
    }
}
