//! The context that the tasks of one worker process share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::claiming::ClaimLoop;
use super::completer::Acks;
use super::leases::Leases;
use super::settings::Settings;
use crate::queue::redis::scripts::Scripts;
use crate::seal::Keyring;

/// Holds the state that the tasks of one worker process share. It is made with apalis's middleware
/// and lives until the last task has ended.
pub(crate) struct ConsumerContext {
    /// The scripts and the connection to Redis, shared with the [`Queue`](crate::Queue).
    pub(crate) scripts: Arc<Scripts>,
    /// The keys that open sealed documents.
    pub(crate) keyring: Arc<Keyring>,
    /// The worker's name in the queue: its apalis name and a random part, because a name that comes
    /// back after a restart must not own what the process before it had.
    pub(crate) worker: String,
    pub(crate) settings: Settings,
    /// The leases of the runs in progress. The fetcher adds them, `renew` extends them and the
    /// completer removes them.
    pub(crate) leases: Leases,
    /// The way from the handlers to the completer.
    pub(crate) acks: Acks,
    /// One permit for each run that may be in progress. A lease holds the permit of its run.
    pub(crate) slots: Arc<Semaphore>,
    /// The thing that each run shares whose gateway was unproven when it was claimed.
    pub(crate) unproven: Arc<()>,
    /// The stage of the shutdown; tasks wait for it to change.
    pub(crate) phase: watch::Sender<Phase>,
    /// `true` if a person has asked this worker to claim no more jobs. The heartbeat sets it.
    pub(crate) drained: watch::Sender<bool>,
    /// The state of the fetcher, for readers outside.
    pub(crate) claims: Arc<ClaimLoop>,
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
