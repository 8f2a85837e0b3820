//! Workers that sleep because they found nothing to do, and the checks that they would be woken.

use std::collections::BTreeMap;

use super::Checked;
use super::machine::Model;
use super::operations::WORKERS;

/// The time until which each sleeping worker sleeps at most, in ms that have really passed.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// The time of a clock that nobody sets.
    passed: u64,
    until: BTreeMap<u8, u64>,
}

impl Sleepers {
    pub(super) fn pass(&mut self, ms: u64) {
        self.passed += ms;
    }

    /// Returns whether the worker sleeps.
    pub(super) fn sleeps(&self, worker: u8) -> bool {
        self.until.contains_key(&worker)
    }

    /// Notes that the worker found nothing more to do and sleeps at most for this time.
    pub(super) fn sleep(&mut self, worker: u8, wait: Option<u64>) {
        self.until.insert(worker, wait.map_or(u64::MAX, |wait| self.passed + wait));
    }

    /// Forgets all sleepers, because the times that they were given are not valid any more. Workers
    /// look again from time to time anyway.
    pub(super) fn rouse_all(&mut self) {
        self.until.clear();
    }

    pub(super) fn rouse(&mut self, worker: u8) {
        self.until.remove(&worker);
    }

    /// Checks that a sleeping worker is woken for every job that it could be given. For the jobs of
    /// a free lane, a token for anybody suffices, or one for another sleeper, because a woken
    /// worker looks at everything.
    pub(super) fn check(&self, model: &Model, wakes: &str) -> Checked {
        let woken = |name: &str| wakes.split(' ').any(|wake| wake == name);
        let asleep = || {
            (0..WORKERS)
                .filter(|worker| self.until.get(worker).is_some_and(|until| *until > self.passed))
        };
        let anybody =
            woken("wake") || asleep().any(|worker| woken(&format!("wake:{}", name(worker))));
        for worker in asleep() {
            let name = name(worker);
            for job in model.claimable(&name) {
                // The end of a hold is noticed only when a worker looks.
                let held = model.lanes.get(&job.lane).is_some_and(|lane| lane.held_until > 0);
                // The first worker that looks at jobs of a resumed kind wakes the owner of their
                // lane.
                let owned = !model.kind_resumed && model.running(job.lane).next().is_some();
                // A worker that has no slot left for such a lane looks again soon.
                let limited = model.limits.slots > 0
                    && (model.is_unproven(job.lane) || !model.may_have_reserve(job.lane));
                if !held
                    && !limited
                    && !(if owned { woken(&format!("wake:{name}")) } else { anybody })
                {
                    let id = job.id;
                    Err(format!("{name} sleeps, and could be given {id}; tokens: {wakes}"))?;
                }
            }
        }
        self.check_due(model, anybody)
    }

    /// Checks that if all workers sleep, one of them wakes up in time for the job that is due next.
    fn check_due(&self, model: &Model, anybody: bool) -> Checked {
        let waiting = model.jobs.values().filter(|job| job.state.is_waiting());
        let Some(next) = waiting.min_by_key(|job| job.at) else { return Ok(()) };
        let due = self.passed + next.at.saturating_sub(model.now);
        let all = self.until.len() == usize::from(WORKERS);
        if all && !anybody && self.until.values().all(|until| *until > due) {
            Err(format!("all sleep, and nobody knows when {} is due", next.id))?;
        }
        Ok(())
    }
}

/// Returns the name of a worker.
pub(super) fn name(worker: u8) -> String {
    format!("worker-{worker}")
}
