//! The context that the tasks of one worker process share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::claiming::ClaimLoop;
use super::completer::Acks;
use super::leases::Leases;
use super::settings::Settings;
use crate::queue::redis::scripts::Scripts;
use crate::queue::shards::Shards;
use crate::seal::Keyring;

/// Holds the state that the tasks of one worker process share which work on the same shard. It is
/// made with apalis's middleware and lives until the last task has ended. The shards of a process
/// share its slots, and the stages of its life.
pub(crate) struct ConsumerContext {
    /// The number of the shard.
    pub(crate) shard: usize,
    /// The scripts and the connection to Redis, shared with the [`Queue`](crate::Queue).
    pub(crate) scripts: Arc<Scripts>,
    /// All shards of the queue.
    pub(crate) shards: Arc<Shards>,
    /// The keys that open sealed documents.
    pub(crate) keyring: Arc<Keyring>,
    /// The worker's name in the queue: its apalis name and a random part, because a name that comes
    /// back after a restart must not own what the process before it had.
    pub(crate) worker: String,
    pub(crate) settings: Settings,
    /// The leases of the runs in progress. The fetcher adds them, `renew` extends them and the
    /// completer removes them.
    pub(crate) leases: Arc<Leases>,
    /// The leases of all shards.
    pub(crate) all_leases: Arc<[Arc<Leases>]>,
    /// The way from the handlers to the completer.
    pub(crate) acks: Acks,
    /// One permit for each run that may be in progress. A lease holds the permit of its run.
    pub(crate) slots: Arc<Semaphore>,
    /// Notified whenever a run of any shard ends.
    pub(crate) ended: Arc<Notify>,
    /// The thing that each run shares whose gateway was unproven when it was claimed.
    pub(crate) unproven: Arc<()>,
    /// The stage of the shutdown; tasks wait for it to change.
    pub(crate) phase: Arc<watch::Sender<Phase>>,
    /// `true` if a person has asked this worker to claim no more jobs. The heartbeat sets it.
    pub(crate) drained: Arc<watch::Sender<bool>>,
    /// The states of the fetchers, for readers outside.
    pub(crate) all_claims: Arc<[ClaimLoop]>,
}

/// A stage in the life of a worker process; it only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Jobs are claimed and run.
    Work,
    /// No more jobs are claimed; running jobs continue.
    Drain,
    /// The grace time is over, and nothing is waited for any more.
    End,
}

impl ConsumerContext {
    /// Returns the state of the fetcher of this shard.
    pub(crate) fn claims(&self) -> &ClaimLoop {
        &self.all_claims[self.shard]
    }

    /// Waits until the worker has reached this phase.
    pub(crate) async fn reaches(&self, phase: Phase) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    pub(crate) fn proceed_to(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            *now < phase && {
                *now = phase;
                true
            }
        });
    }
}

/// Returns ticks of which those that are late delay the others.
pub(crate) fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
