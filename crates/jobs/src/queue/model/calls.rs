//! The calls of the model, except claim, which is in `claims.rs`.

use mission_core::Kind;
use uuid::Uuid;

use super::events;
use super::job::Job;
use super::machine::{Lane, Model, More};
use super::operations::{End, GIVE_UP_AFTER, LEASE, New, SNOOZE_LIMIT};
use super::records::Used;
use crate::queue::State;

impl Model {
    /// Returns the answer of the call: ids, states, replaced jobs.
    pub(super) fn enqueue(&mut self, jobs: &[(Job, New)]) -> Vec<(Uuid, Option<State>, Vec<Uuid>)> {
        self.replaced.clear();
        let mut ids = Vec::new();
        for (job, new) in jobs {
            let known = job.key.as_ref().and_then(|key| self.keys.get(key).copied());
            let id = known.unwrap_or(job.id);
            if let Some(key) = &job.key {
                self.keys.insert(key.clone(), id);
            }
            ids.push(id);
            if known.is_none() && !self.jobs.contains_key(&id) {
                self.store(job.clone(), new);
            }
        }
        self.free_reconnected();
        ids.into_iter()
            .map(|id| {
                let replaced = self.replaced.get(&id).cloned().unwrap_or_default();
                (id, self.jobs.get(&id).map(|job| job.state), replaced)
            })
            .collect()
    }

    fn store(&mut self, mut job: Job, new: &New) {
        let (now, id) = (self.now, job.id);
        job.seq = self.number();
        job.rank = (job.priority, job.seq);
        job.enqueued_at = now;
        job.expires_at = (new.expires_in > 0).then_some(now + new.expires_in);
        self.latest.insert(job.subject.clone(), job.seq);
        // One that was removed may come again.
        job.before = self.newest.insert(job.subject.clone(), id).filter(|before| *before != id);
        job.state = State::Scheduled;
        self.jobs.insert(id, job);
        if let Err(newer) = self.record_document(id) {
            self.overtaken(id, None, newer);
        } else if new.delay > 0 {
            self.entered(id, None, now, More { at: Some(now + new.delay), ..More::default() });
        } else {
            self.arrive(id, None);
        }
    }

    /// Applies that a job is due for the first time. A cleanup changes the record of its agent
    /// then.
    pub(super) fn arrive(&mut self, id: Uuid, from: Option<State>) {
        let now = self.now;
        if self.job(id).kind == Kind::Cleanup
            && let Err(newer) = self.record_agent(id)
        {
            return self.overtaken(id, from, newer);
        }
        self.job(id).state = State::Ready;
        self.entered(id, from, now, More::default());
        self.join_line(id);
    }

    /// Applies that the document of a job is older than the record.
    fn overtaken(&mut self, id: Uuid, from: Option<State>, newer: Uuid) {
        let now = self.now;
        self.job(id).state = State::Superseded;
        self.entered(id, from, now, More { superseded_by: Some(newer), ..More::default() });
    }

    /// Returns whether this worker holds the lease.
    fn holds(&self, worker: &str, (id, token): (Uuid, u64)) -> bool {
        self.jobs.get(&id).is_some_and(|job| {
            job.state == State::Running
                && job.worker.as_deref() == Some(worker)
                && job.token == Some(token)
        })
    }

    /// Returns the tokens of lost leases, and those of jobs that were cancelled.
    pub(super) fn renew(&mut self, worker: &str, leases: &[(Uuid, u64)]) -> (Vec<u64>, Vec<u64>) {
        let (mut lost, mut cancelled) = (Vec::new(), Vec::new());
        for lease in leases {
            if !self.holds(worker, *lease) {
                lost.push(lease.1);
                continue;
            }
            let end = self.now + LEASE;
            let job = self.job(lease.0);
            job.at = end;
            if job.cancel.is_some() {
                cancelled.push(lease.1);
            }
        }
        (lost, cancelled)
    }

    /// Returns the job's state, or none if the lease is lost.
    pub(super) fn ack(
        &mut self,
        worker: &str,
        (id, token): (Uuid, u64),
        end: &End,
        used: &Used,
    ) -> Option<State> {
        let job = self.jobs.get(&id).filter(|job| job.token == Some(token))?.clone();
        if job.state != State::Running {
            return Some(job.state);
        }
        if job.worker.as_deref() != Some(worker) {
            return None;
        }
        let now = self.now;
        let failure = (end.state != State::Done).then(|| "test".to_owned());
        let since = job.snoozed_since.unwrap_or(now);
        let ended = self.job(id);
        ended.note(now, "acked");
        ended.attempts -= u32::from(!end.counts);
        ended.lost = 0;
        ended.snoozed_since = (end.state == State::Snoozed).then_some(since);
        if end.apart {
            self.job(id).apart = true;
        } else {
            self.widen(job.lane, end);
        }
        self.learn(&job, end);
        let at = now + end.delay;
        let too_long = if matches!(end.signal, "unreachable" | "busy" | "restarting") {
            let away_since = self.lane(job.lane).away_since.expect("just learnt");
            (at.saturating_sub(away_since) > GIVE_UP_AFTER).then_some("gateway_gone")
        } else {
            let too_long = end.state == State::Snoozed && at.saturating_sub(since) > SNOOZE_LIMIT;
            too_long.then_some("snooze_deadline")
        };
        let too_long = too_long.filter(|_| end.state.is_waiting() && job.cancel.is_none());
        if let Some(reason) = too_long {
            self.go(id, State::Dead, More { failure, ..More::reason(reason) });
        } else if end.state == State::Done && self.is_overtaken(&job, used) {
            let job = self.job(id);
            job.attempts -= u32::from(end.counts);
            job.token = None;
            self.wait_again(id, State::Ready, More::default());
        } else if end.state.is_waiting() {
            self.wait_again(id, end.state, More { at: Some(at), failure, ..More::default() });
        } else {
            let reason = match end.state {
                State::Dead => Some("permanent".to_owned()),
                State::Cancelled => {
                    Some(job.cancel.clone().unwrap_or_else(|| "cancelled".to_owned()))
                }
                _ => None,
            };
            self.go(id, end.state, More { reason, failure, ..More::default() });
        }
        self.follow(id, end, used);
        Some(self.job(id).state)
    }

    /// Applies the signal of a run to its lane.
    fn learn(&mut self, job: &Job, end: &End) {
        let until = self.now + end.leave_alone;
        let number = if end.signal == "unreachable" { self.number() } else { 0 };
        let now = self.now;
        let lane = self.lane(job.lane);
        if matches!(end.signal, "unreachable" | "busy" | "restarting") {
            lane.away_since.get_or_insert(now);
        }
        match end.signal {
            "unreachable" => {
                lane.failures = lane.failures.max(job.lane_failures + 1);
                lane.held_until = lane.held_until.max(until);
                // Another job is the next probe.
                self.job(job.id).rank = (job.priority, number);
            }
            "busy" | "restarting" => lane.held_until = lane.held_until.max(until),
            "" => {}
            _ => *lane = Lane::default(),
        }
    }

    /// Applies the consequences of a run's end for other jobs.
    fn follow(&mut self, id: Uuid, end: &End, used: &Used) {
        let job = self.job(id);
        job.freeable = job.state == State::Blocked && end.signal == "blocked";
        let job = job.clone();
        let known = self.records.connections.get(&job.lane);
        if job.freeable
            && known
                .is_some_and(|known| known.document != id && Some(known.changed) >= job.started_at)
        {
            // It has run with a connection that is not the gateway's any more.
            self.job(id).freed = false;
            self.go(id, State::Ready, More::default());
        }
        if end.state == State::Done {
            self.observe(&job, used, end.applied());
        }
        if job.state != State::Done {
            return;
        }
        if end.signal == "reached" {
            let freeable = self
                .jobs
                .values()
                .filter(|other| other.lane == job.lane && other.freeable && !other.freed);
            for id in freeable.map(|job| job.id).collect::<Vec<_>>() {
                self.job(id).freed = true;
                self.go(id, State::Ready, More::default());
            }
        }
    }

    /// Returns how many jobs were handed back.
    pub(super) fn release(&mut self, worker: &str, leases: &[(Uuid, u64)]) -> usize {
        let held: Vec<_> = leases.iter().filter(|lease| self.holds(worker, **lease)).collect();
        for (id, _) in &held {
            let now = self.now;
            let job = self.job(*id);
            job.note(now, "released");
            job.attempts -= 1;
            job.token = None;
            self.wait_again(*id, State::Ready, More::default());
        }
        held.len()
    }

    /// Returns the answer of the call.
    pub(super) fn snooze(
        &mut self,
        id: Uuid,
        ms: u64,
        by: &str,
        why: &str,
    ) -> (&'static str, String) {
        let Some(from) = self.jobs.get(&id).map(|job| job.state) else {
            return ("missing", String::new());
        };
        if !matches!(from, State::Ready | State::Retrying | State::Snoozed | State::Blocked) {
            return ("refused", from.to_string());
        }
        self.job(id).snoozed_since = None;
        let at = Some(self.now + ms);
        self.go(id, State::Snoozed, More { at, by: Some(by.to_owned()), ..More::default() });
        self.job(id).snoozed_by = Some(format!("{by}: {why}"));
        ("ok", from.to_string())
    }

    /// Returns the answer of the call.
    pub(super) fn cancel(
        &mut self,
        id: Uuid,
        discard: bool,
        by: &str,
        why: &str,
    ) -> (&'static str, String) {
        if !self.jobs.contains_key(&id) {
            return ("missing", String::new());
        }
        let job = self.job(id);
        let from = job.state;
        if discard && from != State::Dead {
            return ("refused", from.to_string());
        }
        let why = format!("cancelled by {by}: {why}");
        match from {
            State::Done | State::Superseded | State::Cancelled => {
                return ("refused", from.to_string());
            }
            State::Running => job.cancel = Some(why),
            _ => self.go(
                id,
                State::Cancelled,
                More { by: Some(by.to_owned()), ..More::reason(&why) },
            ),
        }
        ("ok", from.to_string())
    }

    /// Returns the answer of the call.
    pub(super) fn retry(&mut self, id: Uuid, force: bool, by: &str) -> (&'static str, String) {
        if !self.jobs.contains_key(&id) {
            return ("missing", String::new());
        }
        let (job, latest) = (self.jobs[&id].clone(), &self.latest);
        let from = job.state;
        let dead = from == State::Dead;
        if !dead && !from.is_waiting() {
            return ("refused", from.to_string());
        }
        let (lane, subject) = (job.lane, job.subject);
        if dead && latest.get(&subject).is_some_and(|latest| *latest > job.seq) && !force {
            return ("outdated", from.to_string());
        }
        let job = self.job(id);
        job.attempts = 0;
        job.lost = 0;
        job.freed = false;
        (job.snoozed_since, job.reason, job.finished_at, job.cancel) = (None, None, None, None);
        *self.lane(lane) = Lane::default();
        if from == State::Scheduled {
            self.arrive(id, Some(from));
            return ("ok", from.to_string());
        }
        if dead {
            let seq = self.number();
            let job = self.job(id);
            (job.seq, job.rank, job.expires_at) = (seq, (job.priority, seq), None);
            let kind = job.kind;
            self.newest.entry(subject.clone()).or_insert(id);
            self.latest.insert(subject.clone(), seq);
            if kind == Kind::Cleanup {
                self.job(id).generation = None;
                self.record_agent(id).expect("the newest of its agent");
            } else if self.records.agents.get(&subject).is_some_and(|agent| agent.phase.is_some()) {
                let job = self.job(id);
                (job.generation, job.parts) = (None, "tp".into());
                self.record_agent(id).expect("the newest of its agent");
            }
        }
        self.go(id, State::Ready, More { by: Some(by.to_owned()), ..More::default() });
        if dead {
            self.join_line(id);
        }
        ("ok", from.to_string())
    }

    /// Returns whether anything changed.
    pub(super) fn pause(&mut self, pause: bool, scope: &str, by: &str, why: &str) -> bool {
        let event = if pause { "paused" } else { "resumed" };
        let was_paused =
            if pause { !self.paused.insert(scope.to_owned()) } else { self.paused.remove(scope) };
        self.kind_resumed |= !pause && scope.starts_with("kind:");
        let told = pause || was_paused;
        if told {
            self.events.push((String::new(), events::pause_text(event, self.now, scope, by, why)));
        }
        told
    }
}

impl Job {
    /// Returns the job as it is enqueued, without the values that the queue adds.
    pub(super) fn new(id: Uuid, lane: Uuid, subject: String, new: &New) -> Self {
        Self {
            id,
            name: id.to_string(),
            kind: new.kind,
            lane,
            subject,
            state: State::Ready,
            at: 0,
            seq: 0,
            rank: (0, 0),
            priority: new.priority,
            attempts: 0,
            max_attempts: new.max_attempts,
            runs: 0,
            lost: 0,
            apart: false,
            worker: None,
            token: None,
            enqueued_at: 0,
            started_at: None,
            finished_at: None,
            snoozed_since: None,
            expires_at: None,
            parts: new.parts.to_owned(),
            generation: new.generation,
            revision: new.revision,
            fingerprint: new.fingerprint,
            heartbeats: new.heartbeats(),
            cancel: None,
            snoozed_by: None,
            before: None,
            reason: None,
            superseded_by: None,
            failure: None,
            group: None,
            key: new.key.map(|key| format!("key-{key}")),
            freeable: false,
            freed: false,
            lane_failures: 0,
            timeline: Vec::new(),
            history: Vec::new(),
        }
    }
}
