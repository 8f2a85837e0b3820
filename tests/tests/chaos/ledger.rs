//! The final state of the jobs in the queue, checked against the promises.

use std::collections::BTreeMap;

use mission_gateway_sim::Call;
use mission_jobs::queue::views::attempt::Attempt;
use mission_jobs::{JobRecord, State};

use super::fleet::{Life, Span};

/// The maximum time from a claim in Redis to its answer. If Redis is killed meanwhile, the leases
/// of the claimed jobs are lost.
const ANSWER_MS: u64 = 2000;
/// The time within which a worker that was frozen past its lease stops its run: at the next
/// renewal.
const FENCED_WITHIN_MS: u64 = 5000;

/// Holds all jobs in the order of their enqueueing, and what was done to workers and Redis.
pub struct Ledger<'a> {
    pub jobs: &'a [JobRecord],
    pub lives: &'a [Life],
    pub redis_kills: &'a [u64],
}

/// A run, with the position of its job.
#[derive(Clone, Copy)]
struct Run<'a> {
    place: usize,
    job: &'a JobRecord,
    attempt: &'a Attempt,
}

impl Run<'_> {
    fn tell(&self) -> String {
        let Attempt { number, worker, started_at_ms, ended_at_ms, result } = self.attempt;
        let (id, kind) = (self.job.id, &self.job.kind);
        format!(
            "job {} ({kind} {id}) run {number} of {worker} {started_at_ms}..{ended_at_ms} {}",
            self.place, result.outcome
        )
    }
}

impl<'a> Ledger<'a> {
    /// Returns every violation of the promises.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (place, job) in self.jobs.iter().enumerate() {
            self.ended(place, job, &mut faults);
            self.runs_are_whole(place, job, &mut faults);
        }
        self.subjects_ran_one_at_a_time(&mut faults);
        self.lanes_had_one_worker_at_a_time(&mut faults);
        self.order_was_kept(&mut faults);
        self.stale_workers_ended_nothing(&mut faults);
        faults
    }

    fn runs(&self) -> impl Iterator<Item = Run<'a>> {
        let jobs = self.jobs.iter().enumerate();
        jobs.flat_map(|(place, job)| {
            job.history.iter().map(move |attempt| Run { place, job, attempt })
        })
    }

    /// Returns the runs by a name, in the order in which they started.
    fn runs_by(&self, name: impl Fn(&JobRecord) -> &str) -> BTreeMap<String, Vec<Run<'a>>> {
        let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for run in self.runs() {
            runs.entry(name(run.job).to_owned()).or_default().push(run);
        }
        for runs in runs.values_mut() {
            runs.sort_by_key(|run| (run.attempt.started_at_ms, run.attempt.ended_at_ms));
        }
        runs
    }

    /// Checks that the job is not lost: it is done, or superseded by a newer one of its subject, or
    /// rightly a poison job.
    fn ended(&self, place: usize, job: &JobRecord, faults: &mut Vec<String>) {
        match job.state {
            State::Done => {}
            State::Superseded => {
                let newer = job
                    .superseded_by
                    .and_then(|id| self.jobs[place..].iter().find(|job| job.id == id));
                if !newer.is_some_and(|newer| replaces(newer, job)) {
                    faults.push(format!(
                        "job {place} ({} {}) is superseded by {newer:?}",
                        job.kind, job.id
                    ));
                }
            }
            State::Dead if is_poison(job) => {}
            state => faults.push(format!(
                "job {place} ({} {} of {}) is {state} since {:?} at {:?}: {:?}",
                job.kind, job.id, job.subject, job.started_at_ms, job.worker, job.failure
            )),
        }
    }

    /// Checks that the runs ended once and in order, that nothing followed the last one, and that
    /// each lost lease has a cause.
    fn runs_are_whole(&self, place: usize, job: &JobRecord, faults: &mut Vec<String>) {
        let numbers: Vec<u32> = job.history.iter().map(|run| run.number).collect();
        if !numbers.iter().copied().eq(1..=job.runs) {
            faults.push(format!(
                "job {place} ({}) had {} runs, its history has {numbers:?}",
                job.id, job.runs
            ));
        }
        let done = job.history.iter().position(|run| run.result.outcome == "done");
        let last = (job.state == State::Done).then(|| job.history.len().saturating_sub(1));
        if done != last {
            faults.push(format!(
                "job {place} ({}) is {}, its run {done:?} was done",
                job.id, job.state
            ));
        }
        for attempt in job.history.iter().filter(|attempt| attempt.result.outcome == "lost") {
            if self.cause(attempt).is_none() {
                faults
                    .push(format!("lost without a cause: {}", Run { place, job, attempt }.tell()));
            }
        }
    }

    /// Returns what took a lease from its worker, and when.
    fn cause(&self, lost: &Attempt) -> Option<(Cause, u64)> {
        let run = Span { from_ms: lost.started_at_ms, to_ms: lost.ended_at_ms };
        let life = self.lives.iter().find(|life| life.is(&lost.worker))?;
        let frozen =
            life.frozen.iter().find(|span| span.from_ms < run.to_ms && span.to_ms > run.from_ms);
        let killed = life
            .killed_ms
            .filter(|at| *at < run.to_ms)
            .map(|at| (Cause::Kill, at.max(run.from_ms)));
        let redis =
            self.redis_kills.iter().find(|at| (run.from_ms..run.from_ms + ANSWER_MS).contains(at));
        let frozen = frozen.map(|span| (Cause::Freeze, span.from_ms.max(run.from_ms)));
        killed.or(frozen).or(redis.map(|at| (Cause::Redis, *at)))
    }

    /// Checks that runs of a subject do not overlap, except heartbeat-syncs that were claimed
    /// together.
    fn subjects_ran_one_at_a_time(&self, faults: &mut Vec<String>) {
        for (subject, runs) in self.runs_by(|job| &job.subject) {
            let mut before: Option<Run> = None;
            for run in runs {
                if let Some(before) = before
                    && run.attempt.started_at_ms < before.attempt.ended_at_ms
                    && !are_together(&before, &run)
                {
                    faults.push(format!(
                        "doubled in {subject}: {} and {}",
                        before.tell(),
                        run.tell()
                    ));
                }
                if before.is_none_or(|before| before.attempt.ended_at_ms <= run.attempt.ended_at_ms)
                {
                    before = Some(run);
                }
            }
        }
    }

    /// Checks that overlapping runs of a lane belong to the same worker.
    fn lanes_had_one_worker_at_a_time(&self, faults: &mut Vec<String>) {
        for (lane, runs) in self.runs_by(|job| &job.lane) {
            let mut until: BTreeMap<&str, Run> = BTreeMap::new();
            for run in runs {
                let others = until.iter().filter(|(worker, _)| **worker != run.attempt.worker);
                for (_, other) in others
                    .filter(|(_, other)| run.attempt.started_at_ms < other.attempt.ended_at_ms)
                {
                    faults.push(format!(
                        "two workers in lane {lane}: {} and {}",
                        other.tell(),
                        run.tell()
                    ));
                }
                let last = until.entry(&run.attempt.worker).or_insert(run);
                if last.attempt.ended_at_ms < run.attempt.ended_at_ms {
                    *last = run;
                }
            }
        }
    }

    /// Checks that done jobs of a subject were done in the order of their enqueueing.
    fn order_was_kept(&self, faults: &mut Vec<String>) {
        let mut before: BTreeMap<&str, Run> = BTreeMap::new();
        for run in self.runs().filter(|run| run.attempt.result.outcome == "done") {
            if let Some(older) = before.insert(&run.job.subject, run)
                && older.attempt.ended_at_ms > run.attempt.started_at_ms
                && !are_together(&older, &run)
            {
                faults.push(format!("out of order: {} before {}", run.tell(), older.tell()));
            }
        }
    }

    /// Checks that a worker that continued a run after losing its lease had its ack refused. Only
    /// the worker's log shows that: in the queue, a stale ack that was accepted would look like one
    /// of the worker that holds the job now.
    fn stale_workers_ended_nothing(&self, faults: &mut Vec<String>) {
        for run in self.runs().filter(|run| run.attempt.result.outcome == "lost") {
            let Some(life) = self.lives.iter().find(|life| life.is(&run.attempt.worker)) else {
                continue;
            };
            if self.cause(run.attempt).is_none_or(|(cause, _)| cause != Cause::Freeze)
                || !life.saw_its_thaw()
            {
                continue;
            }
            let (ran, refused) = life.ends_of(run.job.id);
            let ended = |attempt: &&Attempt| {
                !["lost", "released"].contains(&attempt.result.outcome.as_str())
            };
            let acked = run
                .job
                .history
                .iter()
                .filter(|attempt| life.is(&attempt.worker))
                .filter(ended)
                .count();
            if ran > refused + acked {
                faults.push(format!("a stale worker ended {}", run.tell()));
            }
        }
    }

    /// Returns the number of lost leases, by cause.
    pub fn lost(&self) -> BTreeMap<Cause, usize> {
        let lost = self.runs().filter(|run| run.attempt.result.outcome == "lost");
        lost.filter_map(|run| self.cause(run.attempt)).fold(
            BTreeMap::new(),
            |mut count, (cause, _)| {
                *count.entry(cause).or_default() += 1;
                count
            },
        )
    }

    /// Returns the times from a worker's kill until a lease was taken back, and until the job ran
    /// again or ended, ascending and in ms. The second can be much longer, because another worker
    /// that was killed may have owned the lane meanwhile.
    pub fn recoveries(&self) -> (Vec<u64>, Vec<u64>) {
        let (mut taken_back, mut gone_on) = (Vec::new(), Vec::new());
        for job in self.jobs {
            for (place, attempt) in
                job.history.iter().enumerate().filter(|(_, run)| run.result.outcome == "lost")
            {
                let Some((Cause::Kill, killed_ms)) = self.cause(attempt) else { continue };
                let next =
                    job.history.get(place + 1).map(|run| run.started_at_ms).or(job.finished_at_ms);
                taken_back.push(attempt.ended_at_ms - killed_ms);
                gone_on.extend(next.map(|next| next - killed_ms));
            }
        }
        taken_back.sort_unstable();
        gone_on.sort_unstable();
        (taken_back, gone_on)
    }

    /// Returns whether the worker still runs a job of the lane.
    fn is_at_work(&self, lane: &str, life: &Life) -> bool {
        self.jobs.iter().any(|job| {
            job.lane == lane && job.worker.as_ref().is_some_and(|worker| life.is(worker))
        })
    }

    /// Counts the writes to a lane's gateway by workers that ran no job of the lane at that time.
    /// They are allowed for a short time after the thaw of a worker that was frozen past its lease;
    /// all others are faults.
    pub fn late_writes(&self, lane: &str, writes: &[Call], faults: &mut Vec<String>) -> usize {
        let runs: Vec<Run> = self.runs().filter(|run| run.job.lane == lane).collect();
        let mut allowed = 0;
        for write in writes.iter().filter(|write| write.ok) {
            let Some(life) = self.lives.iter().find(|life| life.device == write.device) else {
                faults.push(format!("{} on {lane} by an unknown device", write.method));
                continue;
            };
            let at = write.at_ms;
            let holds =
                |run: &&Run| (run.attempt.started_at_ms..=run.attempt.ended_at_ms).contains(&at);
            if runs.iter().filter(holds).any(|run| life.is(&run.attempt.worker))
                || self.is_at_work(lane, life)
            {
                continue;
            }
            match life.frozen.iter().rfind(|span| span.to_ms <= at).map(|span| at - span.to_ms) {
                Some(after) if after <= FENCED_WITHIN_MS => allowed += 1,
                after => faults.push(format!(
                    "{} on {lane} at {at} by worker {}, which ran no job there, last thawed \
                        {after:?} ms",
                    write.method, life.pid
                )),
            }
        }
        allowed
    }
}

/// The cause of a lost lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    Kill,
    Freeze,
    /// Redis died before it answered the claim.
    Redis,
}

/// Returns whether the job is dead because three workers in a row died while they ran it.
pub fn is_poison(job: &JobRecord) -> bool {
    let last: Vec<&str> =
        job.history.iter().rev().take(3).map(|run| run.result.outcome.as_str()).collect();
    job.state == State::Dead && job.reason.as_deref() == Some("poison") && last == ["lost"; 3]
}

/// Returns whether the newer job supersedes the older one.
fn replaces(newer: &JobRecord, older: &JobRecord) -> bool {
    let provisions = |job: &JobRecord| job.kind.starts_with("provision");
    newer.subject == older.subject
        && (provisions(older) || (older.kind == "cleanup" && newer.kind == "cleanup"))
}

/// Returns whether both runs are heartbeat-syncs that were claimed together, which run as one.
fn are_together(one: &Run, other: &Run) -> bool {
    let start = |run: &Run| (run.attempt.started_at_ms, run.attempt.worker.clone());
    one.job.kind == "heartbeat-sync"
        && other.job.kind == "heartbeat-sync"
        && start(one) == start(other)
}
