//! The work that the runs on one gateway share: one reader of its config, one writer with one write
//! for all of them, one reader of its sessions, and one run that asks whether a config write has
//! taken effect.
//!
//! Gateways accept few config writes, may restart after each, and most versions silently lose
//! concurrent ones. So runs submit their pending changes here, and the run that gets the write lock
//! writes all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::agents_config::{Config, DesiredAgent, Part, Shape};
use super::answer::Reserved;
use super::error::GatewayError;
use super::suspects::Suspects;
use super::write_lock::WriteLock;
use crate::journal::Journal;
use crate::single_flight::Shared;

/// The time for which a writer waits for announced runs. On a slow gateway they arrive seconds
/// apart, and each write that is saved outweighs the wait.
const GATHERING: Duration = Duration::from_secs(3);
/// The time for which a list of sessions waits for session writes in flight. A gateway that took 65
/// ms for each write took 3 s for a list; it is busy with the writes all that time anyway.
const WRITING: Duration = Duration::from_secs(10);

/// The shared state of one gateway; see the module.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    /// Held while the config is written, from reading it to reading it back.
    pub(crate) write_lock: WriteLock,
    pending: Mutex<Vec<PendingChange>>,
    suspects: Mutex<Suspects>,
    /// The hash of the config that the gateway was last seen to use.
    effective_hash: Mutex<Option<Value>>,
    owners: Mutex<HashMap<String, Uuid>>,
    announced: watch::Sender<usize>,
    /// The shared reading of the config.
    pub(crate) config: Shared<Config>,
    sessions: Shared<Sessions>,
    session_writes: watch::Sender<usize>,
    /// Held by the run whose turn it is to wait and then ask whether the gateway knows its agent.
    lookup_turn: AsyncMutex<()>,
    /// The number of runs that have found their agent known.
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

/// An announcement of work that others wait for, withdrawn on drop.
#[derive(Debug)]
pub(crate) struct Announcement(watch::Sender<usize>);

impl Announcement {
    fn among(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Waits until the count is zero, but no longer than `limit`: work that comes too late counts as
/// none.
async fn wait_until_zero(count: &watch::Sender<usize>, limit: Duration) {
    let _ = timeout(limit, count.subscribe().wait_for(|count| *count == 0)).await;
}

impl GroupCommit {
    pub(super) fn new() -> Self {
        Self {
            write_lock: WriteLock::default(),
            pending: Mutex::new(Vec::new()),
            suspects: Mutex::new(Suspects::default()),
            effective_hash: Mutex::new(None),
            owners: Mutex::new(HashMap::new()),
            announced: watch::Sender::new(0),
            config: Shared::default(),
            sessions: Shared::default(),
            session_writes: watch::Sender::new(0),
            lookup_turn: AsyncMutex::new(()),
            known_agents: watch::Sender::new(0),
        }
    }

    /// Announces a pending change; drop the announcement once the change is submitted or turns out
    /// unnecessary.
    pub(crate) fn announce(&self) -> Announcement {
        Announcement::among(&self.announced)
    }

    /// Announces a session write; drop the announcement once the write is done.
    pub(crate) fn announce_session_write(&self) -> Announcement {
        Announcement::among(&self.session_writes)
    }

    /// Returns the sessions as they are after this call, see [`Shared::read`]. They are listed
    /// while none is being written: some gateways read every session again when one has changed,
    /// which takes seconds and blocks everybody else.
    pub(crate) async fn sessions<F>(
        &self,
        read: impl FnOnce(bool) -> F,
    ) -> Result<Arc<Sessions>, GatewayError>
    where
        F: Future<Output = Result<Sessions, GatewayError>>,
    {
        self.sessions.read_when(wait_until_zero(&self.session_writes, WRITING), read).await
    }

    /// Submits a pending change. The run that writes sends the result; if that run ends first, the
    /// channel is closed, and the change must be submitted again.
    pub(crate) fn submit(
        &self,
        desired: Arc<[DesiredAgent]>,
        journal: Arc<Journal>,
    ) -> oneshot::Receiver<CommitResult> {
        let (answer, result) = oneshot::channel();
        let (faults, written) = (BTreeMap::new(), Vec::new());
        self.lock().push(PendingChange {
            desired,
            journal,
            faults,
            written,
            is_new: false,
            answer,
        });
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

    /// Moves the pending changes into the batch, except those that conflict with one in it.
    pub(crate) fn take_into(&self, batch: &mut Vec<PendingChange>) {
        let mut pending = self.lock();
        for change in std::mem::take(&mut *pending) {
            if batch.iter().any(|other| other.conflicts_with(&change)) {
                pending.push(change);
            } else if !change.answer.is_closed() {
                batch.push(change);
            }
        }
    }

    /// Waits, for a limited time, until all announced changes have been submitted.
    pub(crate) async fn gather(&self) {
        wait_until_zero(&self.announced, GATHERING).await;
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

    fn lock(&self) -> MutexGuard<'_, Vec<PendingChange>> {
        self.pending.lock().expect("no panic happens under this lock")
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
