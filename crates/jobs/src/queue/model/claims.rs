//! The claim of the model: its sweep, and the jobs that it may give.

use mission_core::Kind;
use uuid::Uuid;

use super::job::Job;
use super::machine::{Model, More};
use super::operations::{End, LEASE};
use crate::queue::State;
use crate::queue::redis::claim::{Batch, RawClaim};
use crate::queue::redis::scripts::millis;

/// The number of leases lost in a row, while it ran alone, that makes a job poison.
const POISON: u32 = 3;
/// The number of runs that a lane may have at once before its gateway has answered.
const FEW: u64 = 2;
/// The time after which an answer of a gateway counts no more.
const HEARD: u64 = 300_000;
/// The time after which an answer gives no claim to a worker's last slots, and the number of runs
/// with which there is none either.
const RECENT: u64 = 10_000;
const NOT_MUCH: usize = 4;
/// The most jobs that share a run.
const GROUP: usize = 32;

impl Model {
    /// Ends expired jobs, makes due jobs ready, takes back lost leases and removes old jobs.
    pub(super) fn look_around(&mut self) {
        self.kind_resumed = false;
        for id in self.due(|job| if job.waits() { job.expires_at } else { None }) {
            self.go(
                id,
                State::Dead,
                More { failure: Some("expired".to_owned()), ..More::reason("expired") },
            );
        }
        for from in [State::Scheduled, State::Retrying, State::Snoozed, State::Blocked] {
            for id in self.due(|job| (job.state == from).then_some(job.at)) {
                // An earlier job of this loop may have replaced it.
                if self.job(id).state == from {
                    if from == State::Scheduled {
                        self.arrive(id, Some(from));
                    } else {
                        self.go(id, State::Ready, More::default());
                    }
                }
            }
        }
        self.forget_agents();
        self.take_back_leases();
        for lane in self.lanes.values_mut() {
            if lane.held_until <= self.now {
                lane.held_until = 0;
            }
        }
        for state in [State::Done, State::Superseded, State::Cancelled, State::Dead] {
            self.prune(state);
        }
    }

    /// Returns the jobs whose time of this sort has come, soonest first, and by id if the times are
    /// equal, as Redis does.
    fn due(&self, time: impl Fn(&Job) -> Option<u64>) -> Vec<Uuid> {
        let mut due: Vec<_> =
            self.jobs.values().filter_map(|job| Some((time(job)?, job.id))).collect();
        due.retain(|(time, _)| *time <= self.now);
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    fn take_back_leases(&mut self) {
        let quiet = self
            .looked_at
            .replace(self.now)
            .is_some_and(|last| last.abs_diff(self.now) > LEASE / 2);
        if quiet {
            self.calm_until = self.now + LEASE / 2;
        }
        // A longer time can only come from a clock that was set back.
        if self.calm_until > self.now && self.calm_until <= self.now + LEASE {
            return;
        }
        for id in self.due(|job| (job.state == State::Running).then_some(job.at)) {
            self.lose(id);
        }
    }

    fn lose(&mut self, id: Uuid) {
        let now = self.now;
        let job = self.job(id);
        job.note(now, "lost");
        job.lost += 1;
        job.token = None;
        let reason = if job.lost > POISON {
            Some("poison")
        } else {
            (job.attempts >= job.max_attempts).then_some("attempts")
        };
        let failure =
            Some(if reason == Some("poison") { "poison" } else { "lease_lost" }.to_owned());
        match reason.filter(|_| job.cancel.is_none()) {
            Some(reason) => {
                self.go(id, State::Dead, More { failure, ..More::reason(reason) });
            }
            None => self.wait_again(id, State::Ready, More { failure, ..More::default() }),
        }
    }

    fn prune(&mut self, state: State) {
        let keep = self.limits.keep;
        let mut inside: Vec<_> = self
            .jobs
            .values()
            .filter(|job| job.state == state)
            .map(|job| (job.at, job.id))
            .collect();
        inside.sort_unstable();
        let excess = inside.len().saturating_sub(usize::try_from(keep.count).unwrap_or(usize::MAX));
        let age = millis(keep.age);
        // Jobs that are too old as well are left for the next time.
        let old = if excess > 0 {
            excess
        } else {
            inside.partition_point(|(at, _)| at + age <= self.now)
        };
        for (_, id) in &inside[..old] {
            let job = self.jobs.remove(id).expect("it was listed");
            if job.kind == Kind::Cleanup {
                self.withdraw(&job);
            }
            self.touched.insert(*id);
        }
    }

    /// Returns the first jobs of their lines that this worker may be given now.
    pub(super) fn claimable(&self, worker: &str) -> Vec<&Job> {
        if self.turn.as_ref().is_some_and(|turn| turn.worker == worker) {
            return Vec::new();
        }
        let kept_free = self.turn.as_ref().map(|turn| turn.lane);
        let fits = |job: &&Job| {
            job.lost == 0
                && Some(job.lane) != kept_free
                && !self.is_paused(job)
                && self.lane_gives(job.lane, worker)
        };
        self.heads().filter(fits).collect()
    }

    /// Returns the ready jobs that are the first of their lines, of which nothing runs. A
    /// heartbeat-sync need only be the first that is ready.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(|job| job.state == State::Ready).filter(|job| {
            let line = self.line(&job.subject);
            let passes =
                |other: &&&Job| job.kind == Kind::HeartbeatSync && other.state != State::Ready;
            line.iter().find(|other| !passes(other)).is_some_and(|first| first.id == job.id)
                && line.iter().all(|other| other.state != State::Running)
        })
    }

    pub(super) fn is_paused(&self, job: &Job) -> bool {
        ["all".to_owned(), format!("kind:{}", job.kind), format!("gateway:{}", job.lane)]
            .iter()
            .any(|scope| self.paused.contains(scope))
    }

    fn lane_gives(&self, lane: Uuid, worker: &str) -> bool {
        let (failures, held_until) =
            self.lanes.get(&lane).map_or((0, 0), |lane| (lane.failures, lane.held_until));
        let window = usize::try_from(self.window(lane)).unwrap_or(usize::MAX);
        let limit = if failures > 0 { 1 } else { self.limits.lane_concurrency.min(window) };
        (self.unreserved != Some(0) || self.may_have_reserve(lane))
            && (!self.is_unproven(lane) || self.may_prove(lane))
            && held_until <= self.now
            && self.running(lane).count() < limit
            && self.running(lane).all(|job| job.worker.as_deref() == Some(worker))
    }

    /// Returns whether the lane may have one of a worker's last slots.
    pub(super) fn may_have_reserve(&self, lane: Uuid) -> bool {
        let heard = self.windows.get(&lane).and_then(|(_, heard)| *heard);
        match self.running(lane).count() {
            0 => self.free > 1 || !self.is_unproven(lane),
            runs => runs < NOT_MUCH && heard.is_some_and(|heard| self.now < heard + RECENT),
        }
    }

    /// Returns whether the lane's gateway has not answered for a while, or not since it could not
    /// be reached.
    pub(super) fn is_unproven(&self, lane: Uuid) -> bool {
        let heard = self.windows.get(&lane).and_then(|(_, heard)| *heard);
        heard.is_none_or(|heard| self.now >= heard + HEARD)
            || self.lanes.get(&lane).is_some_and(|lane| lane.failures > 0)
    }

    /// Returns whether the lane may have a slot although its gateway is unproven.
    fn may_prove(&self, lane: Uuid) -> bool {
        let share = if self.running(lane).next().is_some() { 2 } else { 1 };
        self.unproven.is_none_or(|(runs, most)| runs * share < most)
    }

    /// Returns how many runs the lane may have at once, as far as its gateway's answers decide.
    pub(super) fn window(&self, lane: Uuid) -> u64 {
        match self.windows.get(&lane) {
            Some((window, Some(heard))) if self.now < heard + HEARD => *window,
            _ => FEW,
        }
    }

    /// Applies the end of a run to the window of its lane.
    pub(super) fn widen(&mut self, lane: Uuid, end: &End) {
        let (window, now) = (self.window(lane), self.now);
        let known = self.windows.entry(lane).or_insert((FEW, None));
        let failed =
            matches!(end.state, State::Retrying | State::Snoozed | State::Blocked | State::Dead);
        match end.signal {
            "reached" | "blocked" => *known = ((window * 2).min(1024), Some(now)),
            _ if end.state == State::Done => *known = ((window * 2).min(1024), Some(now)),
            "unreachable" => known.0 = FEW,
            "" if failed => known.0 = (window / 2).max(FEW),
            _ => {}
        }
    }

    /// Checks the answer of a claim and applies it. Returns the number of runs.
    pub(super) fn take(
        &mut self,
        worker: &str,
        wanted: usize,
        (held, unproven): (usize, usize),
        batch: &Batch,
    ) -> Result<usize, String> {
        let slots = self.limits.slots;
        let reserve = (slots / 10).max(1);
        self.unreserved = (slots >= 4).then(|| slots.saturating_sub(held + reserve));
        self.free = slots.saturating_sub(held);
        self.unproven = (slots > 0).then_some((unproven, slots.div_ceil(2)));
        if let Some(runs) = self.take_alone(worker, wanted, held, batch)? {
            return Ok(runs);
        }
        let mut runs = 0;
        let mut jobs = batch.jobs.iter().peekable();
        while let Some(first) = jobs.next() {
            runs += 1;
            self.take_first(worker, first)?;
            self.unreserved = self.unreserved.map(|runs| runs.saturating_sub(1));
            self.free = self.free.saturating_sub(1);
            if let Some((runs, _)) = &mut self.unproven {
                *runs += usize::from(first.unproven);
            }
            let mut expected = self.group(first);
            while let Some(member) = jobs.next_if(|job| job.leader == Some(first.token)) {
                if expected.is_empty() || expected.remove(0).to_string() != member.id {
                    return Err(format!("{} must not share the run of {}", member.id, first.id));
                }
                self.take_one(worker, member)?;
            }
            if !expected.is_empty() {
                return Err(format!("{expected:?} should share the run of {}", first.id));
            }
        }
        if runs > wanted {
            return Err(format!("{runs} runs were given, {wanted} wanted"));
        }
        if runs < wanted {
            if let Some(job) = self.claimable(worker).first() {
                return Err(format!("{} could have been given", job.id));
            }
            self.check_wait(batch)?;
        }
        Ok(runs)
    }

    /// Checks that the job is the first of its line and the best of its lane.
    fn take_first(&mut self, worker: &str, raw: &RawClaim) -> Result<(), String> {
        let claimable = self.claimable(worker);
        let Some(job) = claimable.iter().find(|job| job.id.to_string() == raw.id) else {
            return Err(format!("{} cannot be claimed by {worker} now", raw.id));
        };
        // A sync may have the place of a newer one, which was offered before it was ready.
        let better = claimable.iter().find(|other| {
            other.lane == job.lane && other.rank < job.rank && job.kind != Kind::HeartbeatSync
        });
        if let Some(better) = better {
            return Err(format!("{} should have come before {}", better.id, job.id));
        }
        if let Some(leader) = raw.leader {
            return Err(format!("{} cannot share the run {leader}", raw.id));
        }
        self.take_one(worker, raw)
    }

    /// Returns the jobs right behind the claimed one that must share its run.
    fn group(&self, first: &RawClaim) -> Vec<Uuid> {
        let first = &self.jobs[&first.id.parse::<Uuid>().unwrap()];
        if first.kind != Kind::HeartbeatSync || first.lost > 0 || first.apart {
            return Vec::new();
        }
        let line = self.line(&first.subject);
        let shares = |job: &&&Job| job.state == State::Ready && job.lost == 0 && !job.apart;
        let behind = line.iter().skip_while(|job| job.id != first.id).skip(1);
        behind.take_while(shares).take(GROUP - 1).map(|job| job.id).collect()
    }

    pub(super) fn take_one(&mut self, worker: &str, raw: &RawClaim) -> Result<(), String> {
        if raw.token <= self.last_token {
            return Err(format!("token {} is not above {}", raw.token, self.last_token));
        }
        self.last_token = raw.token;
        let id = raw.id.parse().map_err(|_| format!("{:?} is no id", raw.id))?;
        let (now, lane) = (self.now, self.job(id).lane);
        let lane_failures = self.lane(lane).failures;
        let job = self.job(id);
        job.worker = Some(worker.to_owned());
        job.token = Some(raw.token);
        job.started_at = Some(now);
        job.attempts += 1;
        job.runs += 1;
        job.lane_failures = lane_failures;
        self.go(id, State::Running, More { at: Some(now + LEASE), ..More::default() });

        let job = self.jobs[&id].clone();
        let expires_in = raw.expires_in.map(millis);
        let expected = (
            (job.kind.as_str(), job.lane.to_string(), job.attempts, job.max_attempts, job.runs),
            (job.enqueued_at, lane_failures, job.seq),
            (job.expires_at.map(|time| time.saturating_sub(now)), self.used(&job)),
            (self.heartbeat_and_connection(&job), self.applied(&job), self.is_unproven(lane)),
        );
        let got = (
            (raw.kind.as_str(), raw.lane.clone(), raw.attempt, raw.max_attempts, raw.run),
            (raw.enqueued_at_ms, raw.lane_failures, raw.seq),
            (expires_in, super::records::Used::of(raw)),
            (
                (
                    raw.heartbeat.clone(),
                    raw.connection.map(|id| id.to_string()).unwrap_or_default(),
                ),
                raw.applied.clone(),
                raw.unproven,
            ),
        );
        if expected == got { Ok(()) } else { Err(format!("claimed {got:?}, not {expected:?}")) }
    }

    /// Returns the time of the next change that needs no call.
    pub(super) fn next(&self) -> Option<u64> {
        let expiries =
            self.jobs.values().filter(|job| job.waits()).filter_map(|job| job.expires_at);
        let dues = self.jobs.values().filter(|job| job.state.is_waiting()).map(|job| job.at);
        let holds = self.lanes.values().map(|lane| lane.held_until).filter(|time| *time > 0);
        expiries.chain(dues).chain(holds).min()
    }

    /// Checks that a worker with a free slot does not sleep past the time when there is something
    /// to do.
    fn check_wait(&self, batch: &Batch) -> Result<(), String> {
        let Some(next) = self.next() else { return Ok(()) };
        let wait = next.saturating_sub(self.now);
        let told = batch.next_due.map(millis);
        if told.is_some_and(|told| told <= wait) {
            Ok(())
        } else {
            Err(format!("told to wait {told:?} ms, not {wait}"))
        }
    }
}
