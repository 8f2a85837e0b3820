//! The jobs of the model that run alone, because they have lost a worker.

use super::job::Job;
use super::machine::{Model, Turn};
use super::operations::LEASE;
use crate::queue::State;
use crate::queue::redis::claim::Batch;

/// The longest time for which other jobs come before the next turn.
const REST: u64 = 600_000;

impl Model {
    /// Checks the answer to a worker that runs a job alone, or is to do so, and applies it. Returns
    /// the number of runs, or none if the answer is to be that of any other claim.
    pub(super) fn take_alone(
        &mut self,
        worker: &str,
        wanted: usize,
        held: usize,
        batch: &Batch,
    ) -> Result<Option<usize>, String> {
        self.check_turn(worker, wanted);
        let rests = self.rest > self.now && self.rest <= self.now + REST;
        // Whoever finds nothing else to do needs no rest.
        let idle = held == 0 && self.claimable(worker).is_empty();
        if self.turn.is_none() && wanted > 0 && (!rests || idle) {
            self.turn = self.suspect(worker).map(|job| Turn {
                worker: worker.to_owned(),
                job: job.id,
                lane: job.lane,
                since: self.now,
                till: self.now + LEASE,
                token: None,
            });
        }
        let turn = self.turn.clone().filter(|turn| turn.worker == worker);
        if batch.alone != turn.is_some() {
            return Err(format!("{worker} stands aside: {}; its turn: {turn:?}", batch.alone));
        }
        let Some(turn) = turn else { return Ok(None) };
        let gets = turn.token.is_none()
            && wanted > 0
            && held == 0
            && self.running(turn.lane).next().is_none();
        match &batch.jobs[..] {
            [] if !gets => Ok(Some(0)),
            [raw] if gets && raw.id == turn.job.to_string() && raw.leader.is_none() => {
                self.take_one(worker, raw)?;
                self.turn = Some(Turn { token: Some(raw.token), ..turn });
                Ok(Some(1))
            }
            jobs => Err(format!("{worker} got {jobs:?} in {turn:?}")),
        }
    }

    /// Returns the first job that this worker may run alone.
    fn suspect(&self, worker: &str) -> Option<&Job> {
        let suspects = self.heads().filter(|job| job.lost > 0);
        suspects.filter(|job| self.may_run_alone(job, worker)).min_by_key(|job| job.rank)
    }

    fn may_run_alone(&self, job: &Job, worker: &str) -> bool {
        let held_until = self.lanes.get(&job.lane).map_or(0, |lane| lane.held_until);
        !self.is_paused(job)
            && held_until <= self.now
            && self.running(job.lane).all(|other| other.worker.as_deref() == Some(worker))
    }

    /// Ends the turn if its run has ended, its job may not run now, or its worker is gone.
    fn check_turn(&mut self, worker: &str, wanted: usize) {
        let Some(turn) = self.turn.clone() else { return };
        let job = self.jobs.get(&turn.job);
        let runs = job.is_some_and(|job| {
            job.state == State::Running && job.token.is_some() && job.token == turn.token
        });
        let waits = job.is_some_and(|job| {
            job.state == State::Ready
                && turn.token.is_none()
                && self.may_run_alone(job, &turn.worker)
        });
        if (runs || waits) && turn.till > self.now && turn.till <= self.now + LEASE {
            if turn.worker == worker && (runs || wanted > 0) {
                self.turn = Some(Turn { till: self.now + LEASE, ..turn });
            }
        } else {
            self.turn = None;
            self.rest = self.now + self.now.saturating_sub(turn.since).min(REST);
        }
    }
}
