//! The config stage: agents' entries, and what channels show of heartbeats.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use super::{ownership, settling};
use crate::gateway::roster::{
    Change, Config, DesiredAgent, Part, Shape, VISIBILITY, droppable, known_refusals, latest,
};
use crate::gateway::{Answer, Awaited, Call, Defect, GatewayError, Method, Need, RpcError, Wish};
use crate::heartbeat;
use crate::journal::{Refused, Step};
use crate::outcome::{self, Report};

/// How often the config is read before a write that was acknowledged counts as lost. Some gateways go on showing the
/// old config for seconds; the waits between add up to about eight.
const READINGS: u32 = 12;
/// How often a write may be refused because the config has changed. Some gateways go on giving an old hash for a while;
/// the waits between add up to about seven seconds.
const MAX_REFUSALS: u32 = 10;
/// The name in the journal of what channels show of heartbeats.
const CHANNELS: &str = "channels";
/// Most keys remembered that a gateway does not know, before it is asked anew.
const MAX_REFUSED_KEYS: usize = 256;

/// Makes every agent's entry as desired, with as few writes as possible, and reads back. Runs that want something of the
/// same gateway's config at the same time share their writes; `coming` has announced this one. The shape of the config, and
/// whether one of the agents is new in it.
///
/// Nothing is read where `known`, a config that this run has just read, is as desired already.
pub(super) async fn settle(
    call: &Call,
    desired: &[DesiredAgent],
    known: Option<&Config>,
    coming: Option<Awaited>,
    report: &mut Report,
) -> Result<(Shape, bool), GatewayError> {
    if let Some(config) = known.filter(|config| is_settled(call, config, desired)) {
        let shape = shape_of(call, config);
        report_refused(call, shape, desired, report);
        return Ok((shape, false));
    }
    let desk = &call.client().desk;
    let desired: Arc<[DesiredAgent]> = desired.into();
    let mut granted = desk.put(Arc::clone(&desired), Arc::clone(call.journal()));
    drop(coming);
    loop {
        tokio::select! {
            biased;
            answer = &mut granted => match answer {
                Ok(granted) => {
                    let granted = granted?;
                    granted.written.into_iter().for_each(|change| report.note(change));
                    report_refused(call, granted.shape, &desired, report);
                    return Ok((granted.shape, granted.is_new));
                }
                // The run that wrote for this one was stopped.
                Err(_) => granted = desk.put(Arc::clone(&desired), Arc::clone(call.journal())),
            },
            _pen = desk.pen.lock() => {
                desk.gather().await;
                Writer { call, batch: Vec::new(), refusals: 0, unseen: READINGS, written: None }.run().await;
            }
        }
    }
}

/// Writes what all wishes on the desk want, reads back, and answers them. Only who holds the pen does this.
struct Writer<'a> {
    call: &'a Call,
    /// The wishes that are not answered yet.
    batch: Vec<Wish>,
    /// How many writes were refused that may be tried again.
    refusals: u32,
    /// How often the config was read since the latest write without showing it.
    unseen: u32,
    /// What was written last.
    written: Option<Change>,
}

impl Writer<'_> {
    /// Goes on until all wishes are answered. One that comes after the first write waits for the next one.
    async fn run(mut self) {
        let mut is_first = true;
        loop {
            let config = read(self.call).await;
            if std::mem::take(&mut is_first) {
                self.call.client().desk.take_into(&mut self.batch);
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
            if self.unseen < READINGS {
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

    fn answer_those_that_are_done(&mut self, config: &Config) {
        let shape = shape_of(self.call, config);
        let refused = refused_keys(self.call, shape);
        let is_done = |wish: &mut Wish| {
            let left: Vec<DesiredAgent> = wish.faultless().cloned().collect();
            (left.is_empty() && !wish.faults.is_empty()) || config.is_as_desired(&left, &refused)
        };
        let done: Vec<Wish> = self.batch.extract_if(.., is_done).collect();
        let mut suspects = self.call.client().desk.suspects();
        for wish in done {
            suspects.clear(&wish.faultless().map(|agent| agent.id.clone()).collect());
            wish.answer(Ok(shape));
        }
    }

    /// Finds the agents whose entries are not the job's, see [`ownership`](super::ownership). This is
    /// where an entry is looked at last before it is written.
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
        let left = latest(self.batch.iter().flat_map(Wish::faultless).cloned().collect());
        let left: Vec<_> = left.into_iter().filter(|agent| !config.has_agent_as_desired(agent, &refused)).collect();
        let picked = self.call.client().desk.suspects().pick(&left.iter().map(|agent| agent.id.clone()).collect());
        let next: Vec<_> = left.into_iter().filter(|agent| picked.contains(&agent.id)).collect();
        let change = config.change(shape, &next, &refused, self.call.default_agent())?;
        let replaces_lists = self.call.client().capabilities().replaces_lists;
        let change = if replaces_lists { change.without_nulls_in_list() } else { change };
        Some(change).filter(|_| !self.batch.is_empty())
    }

    /// Remembers the members of heartbeats that were written and are not there: the gateway drops what it
    /// does not know without a word. Returns whether there are any.
    fn learn_dropped(&mut self, config: &Config) -> bool {
        let Some(written) = self.written.take() else { return false };
        let dropped = written.dropped_keys(config);
        if dropped.is_empty() {
            return false;
        }
        self.call.client().learn(|known| known.refused_keys.extend(dropped));
        true
    }

    /// Writes down in the journal of each job what is about to be written for it. Returns whether it may
    /// be; a wish whose job has written as much as it may gets a fault.
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
                wish.faults.extend(ids.into_iter().map(|id| (id, GatewayError::NotSaved(error.clone()))));
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
        let ids: BTreeSet<String> = change.parts.iter().filter_map(|part| part.agent.clone()).collect();
        match answer {
            Ok(is_acknowledged) => {
                self.unseen = 0;
                if is_acknowledged {
                    self.answered(&change, true);
                }
                note(&mut self.batch, &change);
                self.written = Some(change);
            }
            Err(error) if self.refusals < MAX_REFUSALS && may_be_tried_again(self.call, &change, &error) => {
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

    /// Finds whom a refused write is to be held against: the agents that the gateway finds fault with; if
    /// it does not say which, one half of them after the other is tried; else all.
    fn blame(&mut self, config: &Config, change: &Change, ids: &BTreeSet<String>, error: &GatewayError) {
        let Some(rpc) = error.rpc() else { return self.fail(error) };
        if rpc.needs_a_person() == Some(Need::Include) {
            let error = GatewayError::Included { file: config.included_files(), error: Box::new(rpc.clone()) };
            return self.fail(&error);
        }
        let named = change.culprits(rpc);
        if named.is_none() && !rpc.issue_paths().is_empty() || !may_be_about_one_agent(rpc) {
            return self.fail(error);
        }
        let culprits = match named {
            Some(culprits) => culprits,
            None => self.call.client().desk.suspects().refused(ids).into_iter().collect(),
        };
        for wish in &mut self.batch {
            let of_wish: Vec<_> = culprits.iter().filter(|agent| wish.wants(agent)).cloned().collect();
            wish.faults.extend(of_wish.into_iter().map(|agent| (agent, error.clone())));
        }
    }

    /// Ends all wishes with an error.
    fn fail(&mut self, error: &GatewayError) {
        for wish in self.batch.drain(..) {
            wish.answer(Err(error.clone()));
        }
    }
}

/// The steps that a change takes for a wish: of each agent those that want it, the rest for the first.
fn steps(batch: &[Wish], at: usize, change: &Change) -> Vec<Step> {
    let of_wish = change.parts.iter().filter(|part| match &part.agent {
        Some(agent) => batch[at].wants(agent),
        None => at == 0,
    });
    of_wish.map(|part| Step::Write(part.agent.clone().unwrap_or_else(|| CHANNELS.to_owned()))).collect()
}

/// Notes what was written, for the reports: of each agent in those that want it, the rest in the first.
fn note(batch: &mut [Wish], change: &Change) {
    for part in &change.parts {
        let wants = |wish: &Wish| part.agent.as_deref().is_some_and(|agent| wish.wants(agent));
        let wishes = batch.iter_mut().enumerate();
        for (_, wish) in wishes.filter(|(at, wish)| if part.agent.is_some() { wants(wish) } else { *at == 0 }) {
            wish.written.push(outcome::Change::of_config(part));
            wish.is_new |= part.agent.is_some() && part.before.is_empty();
        }
    }
}

/// Says what was written, and what the gateway shows instead.
fn undone(part: &Part) -> GatewayError {
    let shows = outcome::Change::of_config(part).diff.replace('\n', ", ");
    GatewayError::Undone { what: part.what.clone(), times: "twice", shows: format!(" (shown → written): {shows}") }
}

/// Returns whether a refused write may be the fault of one of its agents, so that it is worth finding out
/// which.
fn may_be_about_one_agent(rpc: &RpcError) -> bool {
    rpc.needs_a_person() == Some(Need::Maintenance)
        || rpc.is_config_invalid()
        || (rpc.code == "UNAVAILABLE"
            && !rpc.is_rate_limited()
            && !rpc.is_starting()
            && rpc.retry_after_ms.is_none()
            && !rpc.is_size_drop())
}

/// Reads the config, together with others that do so now.
pub(super) async fn read(call: &Call) -> Result<Arc<Config>, GatewayError> {
    let read = async |_| take(call, call.read(Method::ConfigGet, json!({})).await?);
    call.client().desk.config.read(read).await
}

/// The config in an answer; what it says of the gateway is remembered.
pub(super) fn take(call: &Call, answer: Answer) -> Result<Config, GatewayError> {
    let config = Config::read(answer)?;
    call.client().learn(|known| {
        known.heartbeat_turns = config.heartbeat_turns_per_day();
        known.shown_chars = config.shown_chars();
    });
    Ok(config)
}

/// The shape to write: the one shown; else the one that fits what the gateway says of itself.
pub(super) fn shape_of(call: &Call, config: &Config) -> Shape {
    let guess = if call.has_ownership() { Shape::Entries } else { Shape::List };
    config.shape.unwrap_or(guess)
}

/// Whether the config is as desired, as far as this gateway can keep it.
pub(super) fn is_settled(call: &Call, config: &Config, desired: &[DesiredAgent]) -> bool {
    let shape = shape_of(call, config);
    config.is_as_desired(desired, &refused_keys(call, shape))
}

pub(super) fn refused_keys(call: &Call, shape: Shape) -> BTreeSet<String> {
    let mut refused = known_refusals(shape);
    refused.extend(call.client().capabilities().refused_keys);
    if channels_restart(call).is_some() {
        refused.insert(VISIBILITY.to_owned());
    }
    refused
}

/// What [`settle`] would write now, and the config that it was compared with.
pub(super) async fn plan(
    call: &Call,
    desired: &[DesiredAgent],
    report: &mut Report,
) -> Result<(Arc<Config>, Option<Change>), GatewayError> {
    let config = read(call).await?;
    let shape = shape_of(call, &config);
    report_refused(call, shape, desired, report);
    let change = config.change(shape, desired, &refused_keys(call, shape), call.default_agent());
    Ok((config, change))
}

/// Reports what the gateway does not know of what is desired.
fn report_refused(call: &Call, shape: Shape, desired: &[DesiredAgent], report: &mut Report) {
    for key in refused_keys(call, shape) {
        if key == VISIBILITY {
            let why = channels_restart(call).unwrap_or(UNKNOWN_KEY);
            report.skip(format!("config channels.defaults.{}", shape.visibility_key()), why);
            continue;
        }
        let of_agents = key.strip_prefix("heartbeat.");
        if of_agents.is_some_and(|key| heartbeat::meant(key).is_some()) {
            continue;
        }
        if of_agents.is_none_or(|key| desired.iter().any(|agent| agent.heartbeat.contains_key(key))) {
            report.skip(format!("config {key}"), UNKNOWN_KEY);
        }
    }
    // Known before a gateway refuses them, or drops them without a word.
    for (key, meant) in desired.iter().flat_map(|agent| heartbeat::misspelt(&agent.heartbeat)) {
        report.skip(format!("config heartbeat.{key}"), format!("no gateway is known to have it; is `{meant}` meant?"));
    }
}

const UNKNOWN_KEY: &str = "this gateway does not know it";

/// Why what channels show of heartbeats is left alone; none if it may be written. Some versions restart for it and do harm
/// by that.
fn channels_restart(call: &Call) -> Option<&'static str> {
    if call.has_defect(Defect::StaleRestart) {
        return Some(Defect::StaleRestart.sentence());
    }
    call.has_defect(Defect::SessionsLost).then_some("this version restarts when `channels` changes for the first time")
}

/// Whether a refused write may be taken after reading again: the config had changed, or keys were refused that can be
/// left out, which is remembered.
fn may_be_tried_again(call: &Call, change: &Change, error: &GatewayError) -> bool {
    let Some(rpc) = error.rpc() else { return false };
    if change.has_nulls_in_list() && rpc.is_config_invalid() && !call.client().capabilities().replaces_lists {
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

/// Sends a merge patch. Success means that it was, or may have been, carried out; the next reading tells.
///
/// Returns whether it was acknowledged.
pub(super) async fn patch(call: &Call, patch: &Value, hash: Option<Value>) -> Result<bool, GatewayError> {
    let mut params = json!({ "raw": patch.to_string() });
    if let Some(hash) = hash {
        params["baseHash"] = hash;
    }
    match call.write(Method::ConfigPatch, params).await {
        Ok(_) => Ok(true),
        Err(error) if error.may_have_been_carried_out() && error.is_connection_lost() => {
            debug!(method = ?error.method(), "reading back after an unanswered config write");
            Ok(false)
        }
        // Written, and the gateway restarts because it could not take it in while running.
        Err(error) if error.rpc().is_some_and(|rpc| rpc.is_form(&["config.patch persisted but was not applied*"])) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
