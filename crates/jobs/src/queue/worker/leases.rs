//! The leases that this worker holds, by run, and the task that renews them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use super::context::{ConsumerContext, ticks};
use crate::queue::redis::binary::AgentRecord;
use crate::queue::redis::scripts::{Lease, Renewed};
use crate::retry::AttemptInfo;

/// The most leases of one renewal, whose script holds Redis for a few milliseconds.
const MAX_RENEWAL: usize = 100;

/// The reason why a run is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Redis reports that the lease belongs to another worker now.
    Lost,
    /// Redis has not answered for the length of a lease, so another worker may already run the job.
    Unrenewed,
    /// The job was cancelled.
    Cancelled,
    /// The worker stops, and the grace time is over.
    Shutdown,
}

/// The lease of one job of a run. A run has one of them for each job that shares it, usually one.
#[derive(Debug, Clone)]
pub(crate) struct LeasedJob {
    pub(crate) lease: Lease,
    pub(crate) attempt: AttemptInfo,
    /// The record of the agent that the run uses and can prove, if there is one.
    pub(crate) used: Option<UsedRecord>,
}

/// The part of an agent's record that the end of a run reports back.
#[derive(Debug, Clone)]
pub(crate) struct UsedRecord {
    /// The number of the record.
    pub(crate) seq: u64,
    /// The owed parts: letters with the ids of the jobs that asked for them, and `h` with the number
    /// of the newest heartbeat-sync.
    pub(crate) owed: String,
}

impl UsedRecord {
    /// Returns the part of a record that was claimed together with this heartbeat.
    pub(crate) fn new(record: &AgentRecord, heartbeat: &str) -> Self {
        let owed = record.owed().into_iter().map(|(letter, id)| format!("{letter}{id}"));
        let synced = heartbeat.split_once(' ').map(|(seq, _)| format!("h{seq}"));
        Self { seq: record.seq, owed: owed.chain(synced).collect() }
    }
}

/// A slot that a run has, which is free again when this is dropped.
pub(crate) struct Slot {
    /// Counts the run if its gateway was unproven. It goes first, so that no claim counts a run
    /// whose permit is back.
    _unproven: Option<Arc<()>>,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    pub(crate) const fn new(permit: OwnedSemaphorePermit, unproven: Option<Arc<()>>) -> Self {
        Self { _unproven: unproven, _permit: permit }
    }
}

/// All runs of one worker in one shard, by the token of their first lease.
#[derive(Default)]
pub(crate) struct Leases {
    runs: Mutex<HashMap<u64, Entry>>,
    /// Notified when the last run ends.
    emptied: Notify,
}

struct Entry {
    held: Vec<LeasedJob>,
    /// The tokens of the jobs that were cancelled.
    cancelled: Vec<u64>,
    /// The end of the leases by this process's clock. It is counted from before the request was
    /// sent, so the end in Redis is never earlier.
    valid_until: Instant,
    stopped: watch::Sender<Option<Stopped>>,
    /// The slot of the run, which is free again when the run ends.
    _slot: Slot,
}

impl Leases {
    /// Adds a run by its leases and the token of the first.
    pub(crate) fn insert(
        &self,
        token: u64,
        held: Vec<LeasedJob>,
        valid_until: Instant,
        slot: Slot,
    ) {
        let stopped = watch::Sender::new(None);
        let entry = Entry { held, cancelled: Vec::new(), valid_until, stopped, _slot: slot };
        self.lock().insert(token, entry);
    }

    pub(crate) fn remove(&self, token: u64) {
        let mut runs = self.lock();
        // The slot is free again before anybody hears of it.
        drop(runs.remove(&token));
        if runs.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until nothing runs.
    pub(crate) async fn until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.runs() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Returns the number of runs.
    pub(crate) fn runs(&self) -> usize {
        self.lock().len()
    }

    /// Returns the leases of a run, and a receiver of the reason when it has to stop. Returns none
    /// if the run has ended already.
    pub(crate) fn watch(
        &self,
        token: u64,
    ) -> Option<(Vec<LeasedJob>, watch::Receiver<Option<Stopped>>)> {
        self.lock().get(&token).map(|entry| (entry.held.clone(), entry.stopped.subscribe()))
    }

    /// Returns the tokens of a run's jobs that were cancelled.
    pub(crate) fn cancelled(&self, token: u64) -> Vec<u64> {
        self.lock().get(&token).map(|entry| entry.cancelled.clone()).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<Lease> {
        let runs = self.lock();
        runs.values().flat_map(|run| &run.held).map(|held| held.lease.clone()).collect()
    }

    /// Returns the number of leases.
    pub(crate) fn count(&self) -> usize {
        self.lock().values().map(|entry| entry.held.len()).sum()
    }

    pub(crate) fn stop_all(&self, why: Stopped) {
        self.lock().values().for_each(|entry| entry.stop(why));
    }

    /// Returns whether the leases of a run may have ended because they were not renewed.
    pub(crate) fn is_overdue(&self, token: u64, now: Instant) -> bool {
        self.lock().get(&token).is_none_or(|entry| entry.valid_until <= now)
    }

    fn stop_overdue(&self, now: Instant) {
        self.lock()
            .values()
            .filter(|entry| entry.valid_until <= now)
            .for_each(|entry| entry.stop(Stopped::Unrenewed));
    }

    /// Applies the result of a renewal of these leases.
    fn renewed(&self, asked: &HashSet<u64>, renewed: &Renewed, valid_until: Instant) {
        for entry in self.lock().values_mut() {
            let held = entry.held.iter().map(|held| held.lease.1);
            if held.clone().any(|token| renewed.lost.contains(&token)) {
                entry.stop(Stopped::Lost);
                continue;
            }
            entry.cancelled = held.filter(|token| renewed.cancelled.contains(token)).collect();
            if !entry.cancelled.is_empty() {
                entry.stop(Stopped::Cancelled);
            }
            if entry.held.iter().all(|held| asked.contains(&held.lease.1)) {
                entry.valid_until = valid_until;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // No code panics under the lock half-way through a change, so a poisoned map is still
        // consistent.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn stop(&self, why: Stopped) {
        self.stopped
            .send_if_modified(|stopped| stopped.is_none() && stopped.replace(why).is_none());
    }
}

/// Renews all leases every [`crate::queue::Settings::renew`], whatever the handlers and the fetcher
/// are doing.
pub(crate) async fn renew(shared: std::sync::Arc<ConsumerContext>) {
    let mut ticks = ticks(shared.settings.renew);
    loop {
        ticks.tick().await;
        let all = shared.leases.all();
        if !all.is_empty() {
            renew_all(&shared, &all).await;
            shared.leases.stop_overdue(Instant::now());
        }
    }
}

async fn renew_all(shared: &ConsumerContext, all: &[Lease]) {
    let lease = shared.settings.lease;
    let asked = Instant::now();
    let mut found = Renewed::default();
    let mut answered = HashSet::new();
    for some in all.chunks(MAX_RENEWAL) {
        // A later reply would come too late to be of use.
        match timeout(lease / 2, shared.scripts.renew(&shared.worker, lease, some)).await {
            Ok(Ok(renewed)) => {
                answered.extend(some.iter().map(|(_, token)| *token));
                found.lost.extend(renewed.lost);
                found.cancelled.extend(renewed.cancelled);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, leases = all.len(), "lease renewal failed");
                break;
            }
            Err(_) => {
                tracing::warn!(leases = all.len(), "lease renewal timed out");
                break;
            }
        }
    }
    shared.leases.renewed(&answered, &found, asked + lease);
}
