//! Workers that sleep because there was nothing for them, and whether they would be woken.

use std::collections::BTreeMap;

use super::machine::Model;
use super::operations::WORKERS;

/// Until when each worker sleeps at most, if it does, in ms that have really passed.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// What a clock would say that nobody sets.
    passed: u64,
    until: BTreeMap<u8, u64>,
}

impl Sleepers {
    pub(super) fn pass(&mut self, ms: u64) {
        self.passed += ms;
    }

    pub(super) fn sleeps(&self, worker: u8) -> bool {
        self.until.contains_key(&worker)
    }

    /// It found nothing more to do, and was told how long that may last.
    pub(super) fn sleep(&mut self, worker: u8, wait: Option<u64>) {
        self.until.insert(worker, wait.map_or(u64::MAX, |wait| self.passed + wait));
    }

    /// What they were told does not hold any more. They look again now and then whatever they were
    /// told.
    pub(super) fn rouse_all(&mut self) {
        self.until.clear();
    }

    pub(super) fn rouse(&mut self, worker: u8) {
        self.until.remove(&worker);
    }

    /// Whatever a worker that sleeps could be given, it is woken for; a free lane's jobs by a token
    /// for anybody, or by one for another that sleeps, because who is woken looks at everything.
    pub(super) fn check(&self, model: &Model, wakes: &str) -> Result<(), String> {
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
                // Holds that are over come to light when somebody looks.
                let held = model.lanes.get(&job.lane).is_some_and(|lane| lane.held_until > 0);
                // Whoever looks first at jobs of a kind that is not paused any more wakes the owner
                // of their lane.
                let owned = !model.kind_resumed && model.running(job.lane).next().is_some();
                if !held && !(if owned { woken(&format!("wake:{name}")) } else { anybody }) {
                    return Err(format!(
                        "{name} sleeps, and could be given {}; tokens: {wakes}",
                        job.id
                    ));
                }
            }
        }
        self.check_due(model, anybody)
    }

    /// If all sleep, one of them wakes up in time for the job that is due next.
    fn check_due(&self, model: &Model, anybody: bool) -> Result<(), String> {
        let waiting = model.jobs.values().filter(|job| job.state.is_waiting());
        let Some(next) = waiting.min_by_key(|job| job.at) else { return Ok(()) };
        let due = self.passed + next.at.saturating_sub(model.now);
        let all = self.until.len() == usize::from(WORKERS);
        if all && !anybody && self.until.values().all(|until| *until > due) {
            return Err(format!("all sleep, and nobody knows when {} is due", next.id));
        }
        Ok(())
    }
}

/// How a worker is called.
pub(super) fn name(worker: u8) -> String {
    format!("worker-{worker}")
}
