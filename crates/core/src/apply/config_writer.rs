//! The single writer of a gateway's config: writes the pending changes of all runs, reads back, and
//! sends the results.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::config::{patch, read, refused_keys, shape_of};
use super::{ownership, settling};
use crate::gateway::agents_config::{
    Change, Config, DesiredAgent, Part, VISIBILITY, droppable, latest,
};
use crate::gateway::{Call, GatewayError, Need, PendingChange, RpcError};
use crate::journal::{Refused, Step};
use crate::outcome;

/// The number of readings before an acknowledged write counts as lost. Some gateways return the old
/// config for seconds; the waits between the readings add up to about eight.
const READINGS: u32 = 12;
/// The number of times that a write may be refused because the config has changed. Some gateways
/// return an old hash for a while; the waits in between add up to about seven seconds.
const MAX_REFUSALS: u32 = 10;
/// The journal's name for the visibility of heartbeats in channels.
const CHANNELS: &str = "channels";
/// The most unknown keys that are remembered before the gateway is asked again.
const MAX_REFUSED_KEYS: usize = 256;

/// Commits the pending changes of all runs. Used only while the write lock is held.
pub(super) struct Writer<'a> {
    call: &'a Call,
    /// The pending changes without a result.
    batch: Vec<PendingChange>,
    /// The number of writes that were refused and retried.
    refusals: u32,
    /// The number of readings since the latest write that did not show it.
    unseen: u32,
    /// The number of writes without an answer.
    unanswered: u32,
    /// The latest change that was written.
    written: Option<Change>,
}

impl<'a> Writer<'a> {
    /// Creates the writer for this call's gateway; the caller holds the write lock.
    pub(super) const fn new(call: &'a Call) -> Self {
        Self {
            call,
            batch: Vec::new(),
            refusals: 0,
            unseen: READINGS,
            unanswered: 0,
            written: None,
        }
    }

    /// Writes until all pending changes have a result. A change that arrives after the first
    /// reading waits for the next writer.
    pub(super) async fn run(mut self) {
        let mut config = read(self.call).await;
        self.call.client().group_commit.take_into(&mut self.batch);
        loop {
            match config {
                Ok(config) => self.advance(&config).await,
                Err(error) => self.fail(&error),
            }
            if self.batch.is_empty() {
                return;
            }
            config = read(self.call).await;
        }
    }

    /// Completes the changes that a config shows, and writes the next one.
    async fn advance(&mut self, config: &Config) {
        for pending in &self.batch {
            pending.journal.refund(config.hash.as_ref());
        }
        self.complete_done(config);
        self.reject_foreign(config);
        let Some(change) = self.next_change(config) else { return };
        if self.unseen < READINGS && self.has_written(&change) {
            // Written, but not visible yet.
            self.unseen += 1;
            sleep(settling(self.unseen)).await;
        } else if !self.learn_dropped(config) && self.spend(config, &change).await {
            self.write(config, change).await;
        }
    }

    /// Returns whether part of a change was in the latest write.
    fn has_written(&self, change: &Change) -> bool {
        let written = self.written.iter().flat_map(|written| &written.parts);
        written.into_iter().any(|part| change.parts.iter().any(|other| other.agent == part.agent))
    }

    fn complete_done(&mut self, config: &Config) {
        let shape = shape_of(self.call, config);
        let refused = refused_keys(self.call, shape);
        let is_done = |pending: &mut PendingChange| {
            let left: Vec<DesiredAgent> = pending.writable().cloned().collect();
            (left.is_empty() && !pending.faults.is_empty())
                || config.is_as_desired(shape, &left, &refused)
        };
        let mut suspects = self.call.client().group_commit.suspects();
        for pending in self.batch.extract_if(.., is_done) {
            suspects.clear(&ids(pending.writable()));
            pending.complete(Ok(shape));
        }
    }

    /// Finds the agents whose entries are not the job's, see [`ownership`](super::ownership). This
    /// is the last check of an entry before it is written.
    fn reject_foreign(&mut self, config: &Config) {
        for pending in &mut self.batch {
            let foreign = pending.writable().filter_map(|agent| {
                let reason = ownership::reason_not_to_write(self.call, config, agent)?;
                let id = agent.id.clone();
                Some((id.clone(), GatewayError::NotOurs { agent: id, reason }))
            });
            let foreign: Vec<_> = foreign.collect();
            pending.faults.extend(foreign);
        }
    }

    /// Returns the next change to write; `None` if nothing is left, or if a pending change must be
    /// completed first.
    fn next_change(&self, config: &Config) -> Option<Change> {
        let client = self.call.client();
        let shape = shape_of(self.call, config);
        let refused = refused_keys(self.call, shape);
        let mut next =
            latest(self.batch.iter().flat_map(PendingChange::writable).cloned().collect());
        next.retain(|agent| !config.has_agent_as_desired(agent, &refused));
        let picked = client.group_commit.suspects().pick(&ids(&next));
        next.retain(|agent| picked.contains(&agent.id));
        let change = config.change(shape, &next, &refused, self.call.default_agent())?;
        let replaces_lists = client.capabilities().replaces_lists;
        let change = if replaces_lists { change.without_nulls_in_list() } else { change };
        Some(change).filter(|_| !self.batch.is_empty())
    }

    /// Remembers heartbeat members that were written but are not there, because the gateway
    /// silently drops members that it does not know. Returns whether there are any.
    fn learn_dropped(&mut self, config: &Config) -> bool {
        let Some(written) = self.written.take() else { return false };
        let dropped = written.dropped_keys(config);
        if dropped.is_empty() {
            return false;
        }
        self.call.client().learn(|known| known.refused_keys.extend(dropped));
        true
    }

    /// Records in each job's journal what is about to be written for it. Returns whether the write
    /// may happen; a pending change whose job has reached its limit gets a fault.
    async fn spend(&mut self, config: &Config, change: &Change) -> bool {
        for at in 0..self.batch.len() {
            let steps: Vec<_> = parts(change, &self.batch[at], at).map(step).collect();
            if steps.is_empty() {
                continue;
            }
            let recorded = self.batch[at].journal.spend(steps, config.hash.as_ref()).await;
            if let Err(refused) = recorded {
                answered(&self.batch[..at], change, false);
                self.note_refused(at, change, refused);
                return false;
            }
        }
        true
    }

    fn note_refused(&mut self, at: usize, change: &Change, refused: Refused) {
        let pending = &mut self.batch[at];
        let spent = match refused {
            Refused::NotSaved(error) => {
                let ids = ids(&*pending.desired).into_iter();
                let fault = |id| (id, GatewayError::NotSaved(error.clone()));
                return pending.faults.extend(ids.map(fault));
            }
            Refused::Spent(spent) => spent,
        };
        let Some(part) = change.parts.iter().find(|part| step(part) == spent) else { return };
        if let Some(agent) = &part.agent {
            pending.faults.insert(agent.clone(), undone(part));
        } else {
            // The visibility of heartbeats is not worth failing a job.
            self.call.client().learn(|known| known.refused_keys.extend([VISIBILITY.to_owned()]));
        }
    }

    async fn write(&mut self, config: &Config, change: Change) {
        match patch(self.call, &change.patch, config.hash.clone()).await {
            Ok(is_acknowledged) => {
                self.unseen = 0;
                if is_acknowledged {
                    answered(&self.batch, &change, true);
                } else {
                    // If connections are cut after a fixed number of requests, a different number
                    // of readings moves the next write to a different position.
                    self.unanswered += 1;
                    self.unseen = self.unanswered % 2;
                }
                note(&mut self.batch, &change);
                self.written = Some(change);
            }
            Err(error)
                if self.refusals < MAX_REFUSALS
                    && may_be_tried_again(self.call, &change, &error) =>
            {
                answered(&self.batch, &change, false);
                self.refusals += 1;
                if error.rpc().is_some_and(RpcError::is_config_stale) {
                    sleep(settling(self.refusals)).await;
                }
            }
            Err(error) => {
                if error.rpc().is_some() {
                    answered(&self.batch, &change, false);
                }
                self.assign_fault(config, &change, &error);
            }
        }
    }

    /// Assigns a refused write to the agents that the gateway rejects. If it names none, halves of
    /// the agents are tried in turn; if the error is not about agents, all pending changes fail.
    fn assign_fault(&mut self, config: &Config, change: &Change, error: &GatewayError) {
        let Some(rpc) = error.rpc() else { return self.fail(error) };
        if rpc.needs_a_person() == Some(Need::Include) {
            let (file, error) = (config.included_files(), Box::new(rpc.clone()));
            return self.fail(&GatewayError::Included { file, error });
        }
        let named = change.culprits(rpc);
        if named.is_none() && !rpc.issue_paths().is_empty() || !may_be_about_one_agent(rpc) {
            return self.fail(error);
        }
        let culprits = named.unwrap_or_else(|| {
            let written = change.parts.iter().filter_map(|part| part.agent.clone()).collect();
            let mut suspects = self.call.client().group_commit.suspects();
            suspects.refused(&written).into_iter().collect()
        });
        for agent in culprits {
            let fault =
                GatewayError::OfAgent { agent: agent.clone(), error: Box::new(error.clone()) };
            for pending in self.batch.iter_mut().filter(|pending| pending.contains(&agent)) {
                pending.faults.insert(agent.clone(), fault.clone());
            }
        }
    }

    /// Completes all pending changes with an error.
    fn fail(&mut self, error: &GatewayError) {
        for pending in self.batch.drain(..) {
            pending.complete(Err(error.clone()));
        }
    }
}

fn ids<'a>(agents: impl IntoIterator<Item = &'a DesiredAgent>) -> BTreeSet<String> {
    agents.into_iter().map(|agent| agent.id.clone()).collect()
}

/// Returns the parts of a write that concern a pending change: those of its agents, and for the
/// first change in the batch also the rest.
fn parts<'a>(
    change: &'a Change,
    pending: &'a PendingChange,
    at: usize,
) -> impl Iterator<Item = &'a Part> {
    change.parts.iter().filter(move |part| match &part.agent {
        Some(agent) => pending.contains(agent),
        None => at == 0,
    })
}

/// Returns the step that a job is charged for a part.
fn step(part: &Part) -> Step {
    Step::Write(part.agent.clone().unwrap_or_else(|| CHANNELS.to_owned()))
}

/// Tells the journals of the pending changes that a write concerns whether it was done.
fn answered(batch: &[PendingChange], change: &Change, is_done: bool) {
    for (at, pending) in batch.iter().enumerate() {
        if parts(change, pending, at).next().is_some() {
            pending.journal.answered(is_done);
        }
    }
}

/// Notes what was written in each pending change that it concerns, for the reports.
fn note(batch: &mut [PendingChange], change: &Change) {
    for (at, pending) in batch.iter_mut().enumerate() {
        let written: Vec<_> = parts(change, pending, at).cloned().collect();
        pending.is_new |= written.iter().any(|part| part.agent.is_some() && part.before.is_empty());
        pending.written.extend(written);
    }
}

/// Returns the error that says what was written, and what the gateway shows instead.
fn undone(part: &Part) -> GatewayError {
    let diff = outcome::Change::of_config(part).diff.replace('\n', ", ");
    let shows = format!(" (shown → written): {diff}");
    GatewayError::Undone { what: part.what.clone(), times: "twice", shows }
}

/// Returns whether a refused write may be the fault of one of its agents, so that it is worth
/// finding that agent.
fn may_be_about_one_agent(rpc: &RpcError) -> bool {
    let is_about_the_client = rpc.is_scope_missing()
        || rpc.code == "FORBIDDEN"
        || rpc.is_form(&["unknown method: *", "config base hash required*"]);
    let is_about_the_moment = rpc.is_rate_limited()
        || rpc.is_starting()
        || rpc.is_config_stale()
        || (rpc.code == "UNAVAILABLE" && rpc.retry_after_ms.is_some());
    !is_about_the_client && !is_about_the_moment && !rpc.is_form(&["config write rejected: *"])
}

/// Returns whether a refused write may be retried after reading again: because the config had
/// changed, or because it contained keys that can be omitted, which are then remembered.
fn may_be_tried_again(call: &Call, change: &Change, error: &GatewayError) -> bool {
    let Some(rpc) = error.rpc() else { return false };
    if change.has_nulls_in_list()
        && rpc.is_config_invalid()
        && !call.client().capabilities().replaces_lists
    {
        call.client().learn(|known| known.replaces_lists = true);
        return true;
    }
    // It is refused without them too, so that they need not have been the reason.
    if rpc.is_config_invalid() {
        call.client().learn(|known| known.replaces_lists = false);
    }
    if let Some(keys) = droppable(&rpc.unrecognized_keys()) {
        call.client().learn(|known| {
            // Asking again costs a write, but remembering every key that a gateway invents costs
            // memory.
            if known.refused_keys.len() > MAX_REFUSED_KEYS {
                known.refused_keys.clear();
            }
            known.refused_keys.extend(keys);
        });
        return true;
    }
    rpc.is_config_stale()
}
