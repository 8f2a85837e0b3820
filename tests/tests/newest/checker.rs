//! The expected end of an agent, from nothing but what was sent of it, what people did, and when.
//!
//! This is a second reading of docs/protocol.md ("Records"). It shares no code with the queue, its
//! scripts, or the model that those are compared with.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::story::{Fate, Kind, Story};

/// A fact that changes what is wanted of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    /// A document was enqueued.
    Arrived,
    /// A cleanup that waited is due.
    Due,
    /// A cleanup that waited has ended before it was due.
    Lapsed,
    Cancelled,
    /// A person has retried a dead job.
    Retried,
    /// A cleanup is done.
    Cleaned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    #[default]
    Wanted,
    ToBeDeleted,
    Deleted,
}

/// A document, by its place in the story, with the time since which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    pub place: usize,
    pub at: u64,
    /// The number of the fact that made it count.
    order: usize,
}

/// The state that is wanted of an agent in the end.
#[derive(Debug, Default)]
pub struct Wanted {
    pub phase: Phase,
    /// The phase to which the agent returns if its cleanup is cancelled.
    before: Phase,
    generation: Option<u64>,
    newest: Option<usize>,
    /// The newest document that provisions it, and the newest of those that have each part.
    pub desired: Option<Since>,
    pub token: Option<Since>,
    pub wake: Option<Since>,
    pub reset: Option<Since>,
    pub bootstrap: Option<Since>,
    /// The newest heartbeat-sync, and whether one came while a cleanup was to remove the agent.
    sync: Option<Since>,
    pub is_sync_unclear: bool,
    /// The documents since the agent was last gone, which can have left keys in its entry.
    pub traces: BTreeSet<usize>,
    life_began: usize,
    /// The cleanups that wait until they are due, with their generations.
    waiting: BTreeMap<usize, Option<u64>>,
    /// The documents that were overtaken before they came, each with the one that is newer.
    pub outdated: BTreeMap<usize, Option<usize>>,
    /// Set if two facts fell in the same millisecond, so that their order is not known.
    pub is_unclear: bool,
    pub faults: Vec<String>,
}

impl Wanted {
    /// Returns what is wanted after everything that has happened.
    pub fn of(story: &Story, fates: &BTreeMap<Uuid, Fate>) -> Self {
        let mut facts = Vec::new();
        for (place, sent) in story.sent.iter().enumerate() {
            let fate = &fates[&sent.job];
            facts.push((fate.enqueued_at, place, Fact::Arrived));
            let is_cleanup = sent.kind == Kind::Cleanup;
            if is_cleanup && sent.delayed {
                let due = fate.change("scheduled", "ready");
                let lapsed = fate.timeline.get(1).map_or(0, |(_, at)| *at);
                facts.push(due.map_or((lapsed, place, Fact::Lapsed), |at| (at, place, Fact::Due)));
            }
            facts.extend(fate.change("dead", "ready").map(|at| (at, place, Fact::Retried)));
            match fate.state.as_str() {
                "cancelled" => facts.push((fate.ended_at(), place, Fact::Cancelled)),
                "done" if is_cleanup => facts.push((fate.ended_at(), place, Fact::Cleaned)),
                _ => {}
            }
        }
        // A cleanup that waits lapses because of a document, in the same call.
        let rank = |fact| match fact {
            Fact::Arrived => 0,
            Fact::Lapsed => 2,
            _ => 1,
        };
        facts.sort_by_key(|(at, place, fact)| (*at, rank(*fact), *place));
        let mut wanted = Self::default();
        for pair in facts.windows(2) {
            let is_known = pair.iter().all(|(_, _, fact)| *fact == Fact::Arrived)
                || pair[1].2 == Fact::Lapsed && fates[&story.sent[pair[1].1].job].is("superseded");
            wanted.is_unclear |= pair[0].0 == pair[1].0 && !is_known;
        }
        for (order, (at, place, fact)) in facts.into_iter().enumerate() {
            wanted.take(story, fact, Since { place, at, order });
        }
        wanted
    }

    /// Returns the document whose heartbeat counts.
    pub fn heartbeat(&self) -> Option<Since> {
        let newer = |sync: &Since| self.desired.is_none_or(|desired| sync.order > desired.order);
        self.sync.filter(newer).or(self.desired)
    }

    fn take(&mut self, story: &Story, fact: Fact, since: Since) {
        let (place, sent) = (since.place, &story.sent[since.place]);
        match fact {
            Fact::Arrived if sent.kind == Kind::Sync => {
                if self.phase != Phase::Deleted {
                    self.sync = Some(since);
                    self.traces.insert(place);
                    self.is_sync_unclear |= self.phase == Phase::ToBeDeleted;
                }
            }
            Fact::Arrived => self.arrive(story, since),
            Fact::Due => {
                let generation = self.waiting.remove(&place).flatten();
                if !self.record(story, since, generation) {
                    self.faults.push(format!("document {place} was due although it was outdated"));
                }
            }
            Fact::Lapsed => {
                self.waiting.remove(&place);
            }
            Fact::Cancelled if sent.kind == Kind::Cleanup => {
                if self.newest == Some(place) && self.phase == Phase::ToBeDeleted {
                    self.phase = self.before;
                    if self.phase == Phase::Deleted {
                        self.clear();
                    }
                }
            }
            Fact::Cancelled => {
                for owed in [&mut self.wake, &mut self.reset, &mut self.bootstrap] {
                    *owed = owed.filter(|owed| owed.place != place);
                }
            }
            // A person decides: the job counts as the newest of its agent.
            Fact::Retried if sent.kind == Kind::Cleanup => {
                self.record(story, since, None);
            }
            Fact::Retried if sent.kind == Kind::Provision && self.phase != Phase::Wanted => {
                self.record(story, since, None);
                (self.wake, self.reset, self.bootstrap) = (None, None, None);
            }
            Fact::Retried => {}
            Fact::Cleaned => self.cleaned(place),
        }
    }

    fn arrive(&mut self, story: &Story, since: Since) {
        let sent = &story.sent[since.place];
        let waiting = self.waiting.iter().filter_map(|(place, number)| Some(((*number)?, *place)));
        let highest = waiting.max();
        let generation = match (sent.generation, highest) {
            (Some(own), Some((highest, newer))) if own < highest => {
                self.outdated.insert(since.place, Some(newer));
                return;
            }
            (None, Some((highest, _))) => Some(highest.max(self.generation.unwrap_or(0))),
            (own, _) => own,
        };
        if sent.kind == Kind::Cleanup && sent.delayed {
            self.waiting.insert(since.place, generation);
        } else if !self.record(story, since, generation) {
            self.outdated.insert(since.place, self.newest);
        }
    }

    /// Makes a document the newest, unless its generation is older. Returns whether it is.
    fn record(&mut self, story: &Story, since: Since, generation: Option<u64>) -> bool {
        let (place, sent) = (since.place, &story.sent[since.place]);
        let generation = generation.or(self.generation);
        if generation.unwrap_or(0) < self.generation.unwrap_or(0) {
            return false;
        }
        (self.generation, self.newest) = (generation, Some(place));
        if sent.kind == Kind::Cleanup {
            if self.phase != Phase::ToBeDeleted {
                self.before = self.phase;
            }
            self.phase = Phase::ToBeDeleted;
            return true;
        }
        if self.phase != Phase::Wanted {
            (self.token, self.wake, self.reset, self.bootstrap) = (None, None, None, None);
            (self.phase, self.life_began) = (Phase::Wanted, place);
        }
        self.desired = Some(since);
        self.traces.insert(place);
        let parts = [
            (sent.token, &mut self.token),
            (sent.wake, &mut self.wake),
            (sent.reset, &mut self.reset),
            (sent.force_bootstrap, &mut self.bootstrap),
        ];
        for (_, newest) in parts.into_iter().filter(|(has, _)| *has) {
            *newest = Some(since);
        }
        true
    }

    fn cleaned(&mut self, place: usize) {
        match self.phase {
            Phase::ToBeDeleted if self.newest == Some(place) => {
                self.phase = Phase::Deleted;
                self.clear();
            }
            // A newer cleanup waits, and no new life has begun in between.
            Phase::ToBeDeleted if self.desired.is_none_or(|desired| desired.place < place) => {
                self.before = Phase::Deleted;
            }
            // A new life has begun already.
            Phase::Wanted => self.traces.retain(|trace| *trace >= self.life_began),
            Phase::ToBeDeleted | Phase::Deleted => {}
        }
    }

    fn clear(&mut self) {
        (self.desired, self.token, self.sync) = (None, None, None);
        (self.wake, self.reset, self.bootstrap) = (None, None, None);
        self.is_sync_unclear = false;
        self.traces.clear();
    }
}
