//! The leases that this worker holds, and the task that renews them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::consumer::Shared;
use super::scripts::Lease;

/// Why a run is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Redis says that the lease is another's by now.
    Lost,
    /// Redis has not been heard of for the length of a lease: somebody else may run the job by now.
    Unrenewed,
    /// The worker stops, and the grace time is over.
    Shutdown,
}

/// All leases of one worker, by token.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<u64, Entry>>);

struct Entry {
    id: String,
    /// By this process's clock, reckoned from before the request was sent: Redis's own end is never earlier.
    valid_until: Instant,
    stopped: watch::Sender<Option<Stopped>>,
    /// Returned when the lease ends, which lets the next job in.
    _slot: OwnedSemaphorePermit,
}

impl Leases {
    pub(super) fn insert(&self, id: String, token: u64, valid_until: Instant, slot: OwnedSemaphorePermit) {
        let entry = Entry { id, valid_until, stopped: watch::Sender::new(None), _slot: slot };
        self.lock().insert(token, entry);
    }

    pub(super) fn remove(&self, token: u64) {
        self.lock().remove(&token);
    }

    /// Tells when a run has to stop, and why; none if the lease has ended already.
    pub(super) fn watch(&self, token: u64) -> Option<(String, watch::Receiver<Option<Stopped>>)> {
        self.lock().get(&token).map(|entry| (entry.id.clone(), entry.stopped.subscribe()))
    }

    pub(super) fn held(&self) -> Vec<Lease> {
        self.lock().iter().map(|(token, entry)| (entry.id.clone(), *token)).collect()
    }

    pub(super) fn stop_all(&self, why: Stopped) {
        self.stop_where(why, |_, _| true);
    }

    fn stop_where(&self, why: Stopped, condition: impl Fn(u64, &Entry) -> bool) {
        for (token, entry) in self.lock().iter() {
            if condition(*token, entry) {
                entry.stopped.send_if_modified(|stopped| stopped.is_none() && stopped.replace(why).is_none());
            }
        }
    }

    fn renewed(&self, held: &[Lease], lost: &[u64], valid_until: Instant) {
        for (_, token) in held {
            if let Some(entry) = self.lock().get_mut(token)
                && !lost.contains(token)
            {
                entry.valid_until = valid_until;
            }
        }
        self.stop_where(Stopped::Lost, |token, _| lost.contains(&token));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // Nothing is done under the lock that could leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews all leases every [`super::Settings::renew`], whatever handlers and the fetch loop are doing.
pub(super) async fn renew(shared: std::sync::Arc<Shared>) {
    let lease = shared.settings.lease;
    let mut ticks = interval(shared.settings.renew);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let held = shared.leases.held();
        if held.is_empty() {
            continue;
        }
        let asked = Instant::now();
        // A reply later than this comes too late to be of use.
        match timeout(lease / 2, shared.scripts.renew(&shared.worker, lease, &held)).await {
            Ok(Ok(lost)) => shared.leases.renewed(&held, &lost, asked + lease),
            Ok(Err(error)) => tracing::warn!(%error, leases = held.len(), "cannot renew leases"),
            Err(_) => tracing::warn!(leases = held.len(), "cannot renew leases: Redis does not answer"),
        }
        let now = Instant::now();
        shared.leases.stop_where(Stopped::Unrenewed, |_, entry| entry.valid_until <= now);
    }
}
