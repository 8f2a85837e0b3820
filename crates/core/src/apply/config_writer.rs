//! The one writer of a gateway's config: writes what all runs want of it, reads back, and answers
//! them.

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

/// How often the config is read before a write that was acknowledged counts as lost. Some gateways
/// go on showing the old config for seconds; the waits between add up to about eight.
const READINGS: u32 = 12;
/// How often a write may be refused because the config has changed. Some gateways go on giving an
/// old hash for a while; the waits between add up to about seven seconds.
const MAX_REFUSALS: u32 = 10;
/// The name in the journal of what channels show of heartbeats.
const CHANNELS: &str = "channels";
/// Most keys remembered that a gateway does not know, before it is asked anew.
const MAX_REFUSED_KEYS: usize = 256;

/// Writes what all wishes on the desk want, reads back, and answers them. Only who holds the pen
/// does this.
pub(super) struct Writer<'a> {
    call: &'a Call,
    /// The wishes that are not answered yet.
    batch: Vec<PendingChange>,
    /// How many writes were refused that may be tried again.
    refusals: u32,
    /// How often the config was read since the latest write without showing it.
    unseen: u32,
    /// How many writes had no answer.
    unanswered: u32,
    /// What was written last.
    written: Option<Change>,
}

impl<'a> Writer<'a> {
    /// The writer of this call's gateway; its caller holds the pen.
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

    /// Goes on until all wishes are answered. One that comes after the first write waits for the
    /// next one.
    pub(super) async fn run(mut self) {
        let mut is_first = true;
        loop {
            let config = read(self.call).await;
            if std::mem::take(&mut is_first) {
                self.call.client().group_commit.take_into(&mut self.batch);
            }
            let config = match config {
                Ok(config) => config,
                Err(error) => return self.fail(&error),
            };
            for wish in &self.batch {
                wish.journal.give_back(config.hash.as_ref());
            }
            self.answer_those_that_are_done(&config);
            self.find_foreign(&config);
            let Some(change) = self.next_change(&config) else {
                if self.batch.is_empty() {
                    return;
                }
                continue;
            };
            if self.unseen < READINGS && self.has_written(&change) {
                // Written, and not to be seen yet.
                self.unseen += 1;
                sleep(settling(self.unseen)).await;
                continue;
            }
            if self.learn_dropped(&config) || !self.spend(&config, &change).await {
                continue;
            }
            self.write(&config, change).await;
        }
    }

    /// Whether something of a change is what was written last.
    fn has_written(&self, change: &Change) -> bool {
        let written = self.written.iter().flat_map(|written| &written.parts);
        written.into_iter().any(|part| change.parts.iter().any(|other| other.agent == part.agent))
    }

    fn answer_those_that_are_done(&mut self, config: &Config) {
        let shape = shape_of(self.call, config);
        let refused = refused_keys(self.call, shape);
        let is_done = |wish: &mut PendingChange| {
            let left: Vec<DesiredAgent> = wish.faultless().cloned().collect();
            (left.is_empty() && !wish.faults.is_empty())
                || config.is_as_desired(shape, &left, &refused)
        };
        let done: Vec<PendingChange> = self.batch.extract_if(.., is_done).collect();
        let mut suspects = self.call.client().group_commit.suspects();
        for wish in done {
            suspects.clear(&wish.faultless().map(|agent| agent.id.clone()).collect());
            wish.answer(Ok(shape));
        }
    }

    /// Finds the agents whose entries are not the job's, see [`ownership`](super::ownership). This
    /// is where an entry is looked at last before it is written.
    fn find_foreign(&mut self, config: &Config) {
        for wish in &mut self.batch {
            let foreign = wish.faultless().filter_map(|agent| {
                let reason = ownership::reason_not_to_write(self.call, config, agent)?;
                Some((agent.id.clone(), GatewayError::NotOurs { agent: agent.id.clone(), reason }))
            });
            let foreign: Vec<_> = foreign.collect();
            wish.faults.extend(foreign);
        }
    }

    /// What to write next; none if nothing is left, or if a wish has to be answered first.
    fn next_change(&self, config: &Config) -> Option<Change> {
        let shape = shape_of(self.call, config);
        let refused = refused_keys(self.call, shape);
        let left = latest(self.batch.iter().flat_map(PendingChange::faultless).cloned().collect());
        let left: Vec<_> = left
            .into_iter()
            .filter(|agent| !config.has_agent_as_desired(agent, &refused))
            .collect();
        let picked = self
            .call
            .client()
            .group_commit
            .suspects()
            .pick(&left.iter().map(|agent| agent.id.clone()).collect());
        let next: Vec<_> = left.into_iter().filter(|agent| picked.contains(&agent.id)).collect();
        let change = config.change(shape, &next, &refused, self.call.default_agent())?;
        let replaces_lists = self.call.client().capabilities().replaces_lists;
        let change = if replaces_lists { change.without_nulls_in_list() } else { change };
        Some(change).filter(|_| !self.batch.is_empty())
    }

    /// Remembers the members of heartbeats that were written and are not there: the gateway drops
    /// what it does not know without a word. Returns whether there are any.
    fn learn_dropped(&mut self, config: &Config) -> bool {
        let Some(written) = self.written.take() else { return false };
        let dropped = written.dropped_keys(config);
        if dropped.is_empty() {
            return false;
        }
        self.call.client().learn(|known| known.refused_keys.extend(dropped));
        true
    }

    /// Writes down in the journal of each job what is about to be written for it. Returns whether
    /// it may be; a wish whose job has written as much as it may gets a fault.
    async fn spend(&mut self, config: &Config, change: &Change) -> bool {
        for at in 0..self.batch.len() {
            let steps = steps(&self.batch, at, change);
            if steps.is_empty() {
                continue;
            }
            let wish = &mut self.batch[at];
            match wish.journal.spend(steps, config.hash.as_ref()).await {
                Ok(()) => {}
                Err(refused) => {
                    self.take_back(change, at);
                    self.note_refused(at, change, &refused);
                    return false;
                }
            }
        }
        true
    }

    /// Gives back what the first wishes have spent for a write that does not happen.
    fn take_back(&self, change: &Change, wishes: usize) {
        for at in 0..wishes {
            self.batch[at].journal.answered(false, &steps(&self.batch, at, change));
        }
    }

    fn note_refused(&mut self, at: usize, change: &Change, refused: &Refused) {
        let wish = &mut self.batch[at];
        let spent = match refused {
            Refused::NotSaved(error) => {
                let ids: Vec<_> = wish.desired.iter().map(|agent| agent.id.clone()).collect();
                wish.faults
                    .extend(ids.into_iter().map(|id| (id, GatewayError::NotSaved(error.clone()))));
                return;
            }
            Refused::Spent(Step::Write(part)) => part.clone(),
            Refused::Spent(_) => return,
        };
        let is_it = |part: &&Part| part.agent.as_deref().unwrap_or(CHANNELS) == spent;
        let Some(part) = change.parts.iter().find(is_it) else { return };
        if part.agent.is_some() {
            wish.faults.insert(spent, undone(part));
        } else {
            // What channels show of heartbeats is not worth a job.
            self.call.client().learn(|known| known.refused_keys.extend([VISIBILITY.to_owned()]));
        }
    }

    async fn write(&mut self, config: &Config, change: Change) {
        let answer = patch(self.call, &change.patch, config.hash.clone()).await;
        let ids: BTreeSet<String> =
            change.parts.iter().filter_map(|part| part.agent.clone()).collect();
        match answer {
            Ok(is_acknowledged) => {
                self.unseen = 0;
                if is_acknowledged {
                    self.answered(&change, true);
                } else {
                    // Where connections are cut after a fixed number of requests, another number of
                    // readings has the next write come at another place.
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
                self.answered(&change, false);
                self.refusals += 1;
                if error.rpc().is_some_and(RpcError::is_config_stale) {
                    sleep(settling(self.refusals)).await;
                }
            }
            Err(error) => {
                if error.rpc().is_some() {
                    self.answered(&change, false);
                }
                self.blame(config, &change, &ids, &error);
            }
        }
    }

    fn answered(&self, change: &Change, is_done: bool) {
        for at in 0..self.batch.len() {
            self.batch[at].journal.answered(is_done, &steps(&self.batch, at, change));
        }
    }

    /// Finds whom a refused write is to be held against: the agents that the gateway finds fault
    /// with; if it does not say which, one half of them after the other is tried; else all.
    fn blame(
        &mut self,
        config: &Config,
        change: &Change,
        ids: &BTreeSet<String>,
        error: &GatewayError,
    ) {
        let Some(rpc) = error.rpc() else { return self.fail(error) };
        if rpc.needs_a_person() == Some(Need::Include) {
            let error = GatewayError::Included {
                file: config.included_files(),
                error: Box::new(rpc.clone()),
            };
            return self.fail(&error);
        }
        let named = change.culprits(rpc);
        if named.is_none() && !rpc.issue_paths().is_empty() || !may_be_about_one_agent(rpc) {
            return self.fail(error);
        }
        let culprits = match named {
            Some(culprits) => culprits,
            None => self.call.client().group_commit.suspects().refused(ids).into_iter().collect(),
        };
        for wish in &mut self.batch {
            let of_wish: Vec<_> =
                culprits.iter().filter(|agent| wish.wants(agent)).cloned().collect();
            let fault = |agent: String| {
                let error =
                    GatewayError::OfAgent { agent: agent.clone(), error: Box::new(error.clone()) };
                (agent, error)
            };
            wish.faults.extend(of_wish.into_iter().map(fault));
        }
    }

    /// Ends all wishes with an error.
    fn fail(&mut self, error: &GatewayError) {
        for wish in self.batch.drain(..) {
            wish.answer(Err(error.clone()));
        }
    }
}

/// The steps that a change takes for a wish: of each agent those that want it, the rest for the
/// first.
fn steps(batch: &[PendingChange], at: usize, change: &Change) -> Vec<Step> {
    let of_wish = change.parts.iter().filter(|part| match &part.agent {
        Some(agent) => batch[at].wants(agent),
        None => at == 0,
    });
    of_wish
        .map(|part| Step::Write(part.agent.clone().unwrap_or_else(|| CHANNELS.to_owned())))
        .collect()
}

/// Notes what was written, for the reports: of each agent in those that want it, the rest in the
/// first.
fn note(batch: &mut [PendingChange], change: &Change) {
    for part in &change.parts {
        let wants =
            |wish: &PendingChange| part.agent.as_deref().is_some_and(|agent| wish.wants(agent));
        let wishes = batch.iter_mut().enumerate();
        for (_, wish) in
            wishes.filter(|(at, wish)| if part.agent.is_some() { wants(wish) } else { *at == 0 })
        {
            wish.written.push(part.clone());
            wish.is_new |= part.agent.is_some() && part.before.is_empty();
        }
    }
}

/// Says what was written, and what the gateway shows instead.
fn undone(part: &Part) -> GatewayError {
    let shows = outcome::Change::of_config(part).diff.replace('\n', ", ");
    GatewayError::Undone {
        what: part.what.clone(),
        times: "twice",
        shows: format!(" (shown → written): {shows}"),
    }
}

/// Returns whether a refused write may be the fault of one of its agents, so that it is worth
/// finding out which.
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

/// Whether a refused write may be taken after reading again: the config had changed, or keys were
/// refused that can be left out, which is remembered.
fn may_be_tried_again(call: &Call, change: &Change, error: &GatewayError) -> bool {
    let Some(rpc) = error.rpc() else { return false };
    if change.has_nulls_in_list()
        && rpc.is_config_invalid()
        && !call.client().capabilities().replaces_lists
    {
        call.client().learn(|known| known.replaces_lists = true);
        return true;
    }
    if let Some(keys) = droppable(&rpc.unrecognized_keys()) {
        call.client().learn(|known| {
            // To ask again costs a write; to remember all that a gateway makes up costs memory.
            if known.refused_keys.len() > MAX_REFUSED_KEYS {
                known.refused_keys.clear();
            }
            known.refused_keys.extend(keys);
        });
        return true;
    }
    rpc.is_config_stale()
}
