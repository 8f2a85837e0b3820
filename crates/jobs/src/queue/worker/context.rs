//! The context that the tasks of one worker process share.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::completer::Acks;
use super::leases::Leases;
use super::settings::Settings;
use crate::queue::redis::scripts::Scripts;
use crate::seal::Keyring;

/// Holds what the tasks of one worker process share.
pub(crate) struct ConsumerContext {
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) keyring: Arc<Keyring>,
    /// This worker's name to the queue: apalis's name for it and a random part, because a name that
    /// comes back after a restart must not own what the process before it had.
    pub(crate) worker: String,
    pub(crate) settings: Settings,
    pub(crate) leases: Leases,
    pub(crate) acks: Acks,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Whether a person wants it to take no more jobs.
    pub(crate) drained: watch::Sender<bool>,
}

/// A stage in the life of a worker process; it only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Jobs are claimed and run.
    Work,
    /// No more are claimed; running ones go on.
    Drain,
    /// The grace time is over: nothing is waited for any more.
    End,
}

impl ConsumerContext {
    /// Waits until the worker is that far.
    pub(crate) async fn reaches(&self, phase: Phase) {
        // The sender is in `self`, so it is there.
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
