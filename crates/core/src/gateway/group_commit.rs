//! The work that the runs on one gateway share: one reader of its config, one writer with one write
//! for all of them, one reader of its sessions, and one run that asks whether a config write has
//! taken effect.
//!
//! Gateways accept few config writes, may restart after each, and most versions silently lose
//! concurrent ones. So runs submit their pending changes here, and the run that gets the write lock
//! writes all of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::agents_config::{Config, DesiredAgent, Part, Shape};
use super::answer::Reserved;
use super::error::GatewayError;
use super::suspects::Suspects;
use super::write_lock::WriteLock;
use crate::journal::Journal;
use crate::single_flight::SingleFlight;

/// The time for which a writer waits for announced runs. On a slow gateway they arrive seconds
/// apart, and each write that is saved outweighs the wait.
const GATHERING: Duration = Duration::from_secs(3);
/// The most deleted agents that are remembered.
const DELETED: usize = 1000;
/// The time for which a list of sessions waits for session writes in flight. A gateway that took 65
/// ms for each write took 3 s for a list; it is busy with the writes all that time anyway.
const WRITING: Duration = Duration::from_secs(10);

/// The state that the runs on one gateway share; see the module. It lives as long as the gateway's
/// client. No lock of the standard library is held across an `await`.
#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    /// Held by one run while it writes the config, from reading it to reading it back.
    pub(crate) write_lock: WriteLock,
    /// The changes that no writer has taken yet; the holder of the write lock takes them.
    pending: Mutex<Vec<PendingChange>>,
    /// The agents of refused writes, kept from one writer to the next.
    suspects: Mutex<Suspects>,
    /// The hash of the config that the gateway was last seen to use.
    effective_hash: Mutex<Option<Value>>,
    /// The agent of the main backend behind each id, while a run works on it.
    owners: Mutex<HashMap<String, Uuid>>,
    /// The agents that cleanups have deleted, and when, latest last. A heartbeat-sync that began before
    /// must not bring them back.
    deleted: Mutex<VecDeque<(String, Instant)>>,
    /// The runs that may submit a change soon; each holds a receiver until it has decided.
    announced: watch::Sender<()>,
    /// The shared reading of the config.
    pub(crate) config: SingleFlight<Config>,
    /// The shared reading of the sessions.
    sessions: SingleFlight<Sessions>,
    /// The session writes in flight; each holds a receiver until it is done.
    session_writes: watch::Sender<()>,
    /// Held by the run whose turn it is to wait and then ask whether the gateway knows its agent.
    lookup_turn: AsyncMutex<()>,
    /// The number of runs that have found their agent known; it only grows.
    known_agents: watch::Sender<u32>,
}

/// Sessions as a gateway lists them.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// The agent whose sessions were requested; `None` for all sessions.
    pub(crate) of: Option<String>,
    /// The list of sessions.
    pub(crate) list: Vec<Value>,
    /// The memory reserved for the list.
    pub(crate) _reserved: Reserved,
}

/// A change of the config that a run has submitted.
#[derive(Debug)]
pub(crate) struct PendingChange {
    /// The desired agents, each once.
    pub(crate) desired: Arc<[DesiredAgent]>,
    /// The journal of the run's job.
    pub(crate) journal: Arc<Journal>,
    /// The time when the run began.
    begun: Instant,
    /// The agents that cannot be written, with the reasons. The others are written all the same.
    pub(crate) faults: BTreeMap<String, GatewayError>,
    /// The parts written for it so far, for the report.
    pub(crate) written: Vec<Part>,
    /// Set if one of the agents was not there before.
    pub(crate) is_new: bool,
    answer: oneshot::Sender<CommitResult>,
}

/// The result of a pending change.
pub(crate) type CommitResult = Result<Commit, GatewayError>;

/// A pending change that has been committed.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The shape of the config.
    pub(crate) shape: Shape,
    /// The parts that were written for the change.
    pub(crate) written: Vec<Part>,
    /// Set if one of the agents was not there before.
    pub(crate) is_new: bool,
}

/// An announcement of work that others wait for, withdrawn on drop: a channel knows when it has no
/// receiver left.
pub(crate) type Announcement = watch::Receiver<()>;

impl GroupCommit {
    /// Announces a pending change; drop the announcement once the change is submitted or turns out
    /// unnecessary.
    pub(crate) fn announce(&self) -> Announcement {
        self.announced.subscribe()
    }

    /// Announces a session write; drop the announcement once the write is done.
    pub(crate) fn announce_session_write(&self) -> Announcement {
        self.session_writes.subscribe()
    }

    /// Returns the sessions as they are after this call, see [`SingleFlight::read`]. They are
    /// listed while none is being written: some gateways read every session again when one has
    /// changed, which takes seconds and blocks everybody else.
    pub(crate) async fn sessions<F>(
        &self,
        read: impl FnOnce(bool) -> F,
    ) -> Result<Arc<Sessions>, GatewayError>
    where
        F: Future<Output = Result<Sessions, GatewayError>>,
    {
        // A write that takes too long counts as none.
        let is_quiet = async {
            let _ = timeout(WRITING, self.session_writes.closed()).await;
        };
        self.sessions.read_when(is_quiet, read).await
    }

    /// Submits a pending change. The run that writes sends the result; if that run ends first, the
    /// channel is closed, and the change must be submitted again.
    pub(crate) fn submit(
        &self,
        desired: Arc<[DesiredAgent]>,
        journal: Arc<Journal>,
        begun: Instant,
    ) -> oneshot::Receiver<CommitResult> {
        let (answer, result) = oneshot::channel();
        let (faults, written) = Default::default();
        let change =
            PendingChange { desired, journal, begun, faults, written, is_new: false, answer };
        self.pending.lock().expect("no panic happens under this lock").push(change);
        result
    }

    /// Returns the groups of agents of which the gateway has rejected one without naming it.
    pub(crate) fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().expect("no panic happens under this lock")
    }

    /// Returns the hash of the config that the gateway was last seen to use, if it returns hashes.
    pub(crate) fn effective_hash(&self) -> Option<Value> {
        self.effective_hash.lock().expect("no panic happens under this lock").clone()
    }

    /// Records that the gateway uses the config with that hash.
    pub(crate) fn note_effective_hash(&self, hash: Option<Value>) {
        *self.effective_hash.lock().expect("no panic happens under this lock") = hash;
    }

    /// Returns the agent of the main backend that a run of this process works on under each id.
    pub(crate) fn owners(&self) -> MutexGuard<'_, HashMap<String, Uuid>> {
        self.owners.lock().expect("no panic happens under this lock")
    }

    /// Records that a cleanup has deleted an agent. To be called by the holder of the write lock.
    pub(crate) fn note_deleted(&self, agent: &str) {
        let mut deleted = self.deleted.lock().expect("no panic happens under this lock");
        if deleted.len() >= DELETED {
            deleted.pop_front();
        }
        deleted.push_back((agent.to_owned(), Instant::now()));
    }

    /// Moves the pending changes into the batch, except those that conflict with one in it, and
    /// without the heartbeats of agents that were deleted since their runs began.
    pub(crate) fn take_into(&self, batch: &mut Vec<PendingChange>) {
        let mut pending = self.pending.lock().expect("no panic happens under this lock");
        let deleted = self.deleted.lock().expect("no panic happens under this lock");
        for mut change in std::mem::take(&mut *pending) {
            let is_gone = |agent: &DesiredAgent| {
                let mut since = deleted.iter().filter(|(_, at)| *at > change.begun);
                agent.name.is_none() && since.any(|(id, _)| *id == agent.id)
            };
            if change.desired.iter().any(is_gone) {
                let rest = change.desired.iter().filter(|agent| !is_gone(agent)).cloned();
                change.desired = rest.collect();
            }
            if batch.iter().any(|other| other.conflicts_with(&change)) {
                pending.push(change);
            } else if !change.answer.is_closed() {
                batch.push(change);
            }
        }
    }

    /// Waits, for a limited time, until all announced changes have been submitted.
    pub(crate) async fn gather(&self) {
        // A run that takes too long writes its change itself.
        let _ = timeout(GATHERING, self.announced.closed()).await;
    }

    /// Returns the number of runs so far that have found an agent known that was new to the
    /// gateway.
    pub(crate) fn known_agents(&self) -> u32 {
        *self.known_agents.borrow()
    }

    /// Informs the other runs that the gateway knows an agent that was new to it.
    pub(crate) fn note_known_agent(&self) {
        self.known_agents.send_modify(|count| *count += 1);
    }

    /// Waits until it is worth asking whether the gateway knows an agent: either another run has
    /// found its agent known since the count was `before`, or it is this run's turn and `pause` is
    /// over. Many runs therefore ask one after the other, and often as a group; a single run asks
    /// less and less often.
    pub(crate) async fn wait_turn(&self, before: u32, pause: Duration) {
        let mut known = self.known_agents.subscribe();
        let turn = async {
            let _turn = self.lookup_turn.lock().await;
            sleep(pause).await;
        };
        tokio::select! {
            biased;
            _ = known.wait_for(|count| *count > before) => {}
            () = turn => {}
        }
    }
}

impl PendingChange {
    /// Sends the result. A run that has been stopped meanwhile does not receive it. A change with
    /// faults ends with the first of them.
    pub(crate) fn complete(self, result: Result<Shape, GatewayError>) {
        let Self { faults, written, is_new, answer, .. } = self;
        let result = faults.into_values().next().map_or(result, Err);
        let _ = answer.send(result.map(|shape| Commit { shape, written, is_new }));
    }

    /// Returns the desired agents without a fault.
    pub(crate) fn writable(&self) -> impl Iterator<Item = &DesiredAgent> {
        self.desired.iter().filter(|agent| !self.faults.contains_key(&agent.id))
    }

    /// Returns whether the change contains that agent.
    pub(crate) fn contains(&self, agent: &str) -> bool {
        self.desired.iter().any(|desired| desired.id == agent)
    }

    /// Returns whether both changes contain the same agent with different content.
    fn conflicts_with(&self, other: &Self) -> bool {
        let differ =
            |one: &DesiredAgent| other.desired.iter().any(|two| one.id == two.id && one != two);
        self.desired.iter().any(differ)
    }
}
