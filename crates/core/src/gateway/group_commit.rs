//! What the runs on one gateway share: one reader of its config, one writer, and one write for all
//! of them; one reader of its sessions; and one who asks whether it has taken in what was written.
//!
//! Gateways take few config writes, may restart after each, and most versions lose concurrent ones
//! without a word. So runs put their wishes on the desk, and the one that gets the write lock
//! writes for all whose wishes lie there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::agents_config::{Config, DesiredAgent, Part, Shape};
use super::answer::Kept;
use super::error::GatewayError;
use super::suspects::Suspects;
use super::write_lock::WriteLock;
use crate::journal::Journal;
use crate::single_flight::Shared;

/// How long a writer waits for runs that are on their way to the group_commit. On a slow gateway they come
/// seconds apart, and each write that is saved saves more.
const GATHERING: Duration = Duration::from_secs(3);
/// How long a list of sessions waits for those that are being written. A gateway that took 65 ms to
/// write each took 3 s for a list; it is busy with them all that time anyway.
const WRITING: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    /// Held while the config is written, from reading it to reading it back.
    pub(crate) write_lock: WriteLock,
    wishes: Mutex<Vec<PendingChange>>,
    suspects: Mutex<Suspects>,
    /// The hash of the config that the gateway was seen to work with.
    taken_in: Mutex<Option<Value>>,
    owners: Mutex<HashMap<String, Uuid>>,
    coming: watch::Sender<usize>,
    /// Its config.
    pub(crate) config: Shared<Config>,
    sessions: Shared<Sessions>,
    session_writes: watch::Sender<usize>,
    /// Held by the one who waits a little before it asks whether the gateway knows its agent now.
    lookout: AsyncMutex<()>,
    /// How often the gateway was asked that, and whether it knew the agent when it was asked last.
    looks: watch::Sender<Looks>,
}

/// Questions whether a gateway knows an agent that was written into its config.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looks {
    /// Answered with no.
    vain: u32,
    /// Answered with yes.
    found: u32,
}

/// Sessions as a gateway lists them.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// The agent that was asked for; none if all were.
    pub(crate) of: Option<String>,
    /// The list.
    pub(crate) list: Vec<Value>,
    /// The memory that it counts for.
    pub(crate) _kept: Kept,
}

/// What a run wants of the config.
#[derive(Debug)]
pub(crate) struct PendingChange {
    /// The agents that it wants, each once.
    pub(crate) desired: Arc<[DesiredAgent]>,
    /// What its job has done so far.
    pub(crate) journal: Arc<Journal>,
    /// The agents of it that cannot be written, and why. The others are written all the same.
    pub(crate) faults: BTreeMap<String, GatewayError>,
    /// What was written for it so far, for its report.
    pub(crate) written: Vec<Part>,
    /// Whether an agent of it was not there before.
    pub(crate) is_new: bool,
    answer: oneshot::Sender<CommitResult>,
}

/// What became of a wish.
pub(crate) type CommitResult = Result<Commit, GatewayError>;

/// A wish that the config has.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The shape of the config.
    pub(crate) shape: Shape,
    /// What was written for the wish.
    pub(crate) written: Vec<Part>,
    /// Whether an agent of it was not there before.
    pub(crate) is_new: bool,
}

/// One that others wait a little for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Awaited(watch::Sender<usize>);

impl Awaited {
    fn among(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Waits until there are none, or for long enough: too late is as good as none coming.
async fn none_of(count: &watch::Sender<usize>, most: Duration) {
    let _ = timeout(most, count.subscribe().wait_for(|count| *count == 0)).await;
}

impl GroupCommit {
    pub(super) fn new() -> Self {
        Self {
            write_lock: WriteLock::default(),
            wishes: Mutex::new(Vec::new()),
            suspects: Mutex::new(Suspects::default()),
            taken_in: Mutex::new(None),
            owners: Mutex::new(HashMap::new()),
            coming: watch::Sender::new(0),
            config: Shared::default(),
            sessions: Shared::default(),
            session_writes: watch::Sender::new(0),
            lookout: AsyncMutex::new(()),
            looks: watch::Sender::new(Looks::default()),
        }
    }

    /// Announces a wish; dropped when it lies on the desk, or when there will be none.
    pub(crate) fn announce(&self) -> Awaited {
        Awaited::among(&self.coming)
    }

    /// Says that a session is being written; dropped when it is.
    pub(crate) fn writes_session(&self) -> Awaited {
        Awaited::among(&self.session_writes)
    }

    /// The sessions as they are after this call, see [`Shared::read`]. Listed when none is being
    /// written: some gateways read every session anew when one has changed, which takes seconds and
    /// keeps all others waiting.
    pub(crate) async fn sessions<F>(
        &self,
        read: impl FnOnce(bool) -> F,
    ) -> Result<Arc<Sessions>, GatewayError>
    where
        F: Future<Output = Result<Sessions, GatewayError>>,
    {
        self.sessions.read_when(none_of(&self.session_writes, WRITING), read).await
    }

    /// Puts a wish on the group_commit. Its answer comes from whoever writes; if that run ends before, the
    /// answer is an error of the channel, and the wish has to be put there again.
    pub(crate) fn put(
        &self,
        desired: Arc<[DesiredAgent]>,
        journal: Arc<Journal>,
    ) -> oneshot::Receiver<CommitResult> {
        let (answer, granted) = oneshot::channel();
        let (faults, written) = (BTreeMap::new(), Vec::new());
        self.lock().push(PendingChange {
            desired,
            journal,
            faults,
            written,
            is_new: false,
            answer,
        });
        granted
    }

    /// The groups of agents one of which the gateway finds fault with, without saying with which.
    pub(crate) fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().expect("no panic happens under this lock")
    }

    /// The hash of the config that the gateway was last seen to work with, if it shows hashes.
    pub(crate) fn taken_in(&self) -> Option<Value> {
        self.taken_in.lock().expect("no panic happens under this lock").clone()
    }

    /// Notes that the gateway works with the config of that hash.
    pub(crate) fn note_taken_in(&self, hash: Option<Value>) {
        *self.taken_in.lock().expect("no panic happens under this lock") = hash;
    }

    /// The agent of the main backend that a run of this process works on under each id.
    pub(crate) fn owners(&self) -> MutexGuard<'_, HashMap<String, Uuid>> {
        self.owners.lock().expect("no panic happens under this lock")
    }

    /// Takes the wishes that lie there into the batch, but for those at odds with one in it.
    pub(crate) fn take_into(&self, batch: &mut Vec<PendingChange>) {
        let mut wishes = self.lock();
        for wish in std::mem::take(&mut *wishes) {
            if batch.iter().any(|other| other.is_at_odds_with(&wish)) {
                wishes.push(wish);
            } else if !wish.answer.is_closed() {
                batch.push(wish);
            }
        }
    }

    /// Waits until all that were announced lie there, or for long enough.
    pub(crate) async fn gather(&self) {
        none_of(&self.coming, GATHERING).await;
    }

    /// What was asked so far whether the gateway knows agents.
    pub(crate) fn looks(&self) -> Looks {
        *self.looks.borrow()
    }

    /// Tells the others whether the gateway knew an agent that was new to it.
    pub(crate) fn tell(&self, is_known: bool) {
        self.looks.send_modify(|looks| if is_known { looks.found += 1 } else { looks.vain += 1 });
    }

    /// Waits until it is worth asking whether the gateway knows an agent: another run has found its
    /// own known since the given looks, or it is this run's turn and `pause` is over. So many runs
    /// ask one after the other, and often together; a run that is alone asks less and less.
    pub(crate) async fn wait_turn(&self, since: Looks, pause: Duration) {
        let mut looks = self.looks.subscribe();
        let turn = async {
            let _turn = self.lookout.lock().await;
            sleep(pause).await;
        };
        tokio::select! {
            biased;
            _ = looks.wait_for(|looks| looks.found > since.found) => {}
            () = turn => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PendingChange>> {
        self.wishes.lock().expect("no panic happens under this lock")
    }
}

impl PendingChange {
    /// Ends the wish. A run that has gone away meanwhile does not hear it. One that has faults ends
    /// with the first of them.
    pub(crate) fn answer(self, granted: Result<Shape, GatewayError>) {
        let Self { faults, written, is_new, answer, .. } = self;
        let granted = faults.into_values().next().map_or(granted, Err);
        let _ = answer.send(granted.map(|shape| Commit { shape, written, is_new }));
    }

    /// The agents that it wants and that have no fault.
    pub(crate) fn faultless(&self) -> impl Iterator<Item = &DesiredAgent> {
        self.desired.iter().filter(|agent| !self.faults.contains_key(&agent.id))
    }

    /// Returns whether it wants that agent.
    pub(crate) fn wants(&self, agent: &str) -> bool {
        self.desired.iter().any(|desired| desired.id == agent)
    }

    /// Whether both want the same agent, and not the same of it.
    fn is_at_odds_with(&self, other: &Self) -> bool {
        let differ =
            |one: &DesiredAgent| other.desired.iter().any(|two| one.id == two.id && one != two);
        self.desired.iter().any(differ)
    }
}
