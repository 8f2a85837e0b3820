//! The actions of people and programs on jobs. The script that carries out an action also records
//! it in the queue's [audit](Queue::audit).

use std::time::Duration;

use uuid::Uuid;

use crate::queue::Queue;
use crate::queue::admin::actor::Author;
use crate::queue::admin::pause::PauseScope;
use crate::queue::error::QueueError;
use crate::queue::states::State;

/// The longest time that a person can snooze a job: 30 days.
pub const MAX_SNOOZE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Queue {
    /// Makes a dead, blocked, retrying or snoozed job ready at once, and gives it all its attempts
    /// again. Its gateway is tried at once too. Returns the state that the job was in.
    ///
    /// A dead job comes back as the newest request of its agent. If newer ones have come, it would
    /// undo them, so it is refused with [`QueueError::Outdated`] unless `force` is set.
    pub async fn retry(
        &self,
        id: Uuid,
        force: bool,
        by: &Author,
        why: &str,
    ) -> Result<State, QueueError> {
        let (came, state) = self.scripts.retry(id, force, by, why).await?;
        match came.as_str() {
            "ok" => known("retry", &state),
            "missing" => Err(QueueError::Missing { id }),
            "outdated" => Err(QueueError::Outdated { id }),
            _ => Err(QueueError::NotRetryable { id, state: known("retry", &state)? }),
        }
    }

    /// Makes a ready, retrying, snoozed or blocked job wait for this time, at most [`MAX_SNOOZE`].
    /// The wait counts neither as an attempt nor towards the limit for a busy gateway. A newer job
    /// of the agent makes the job due all the same. Returns the state that the job was in.
    pub async fn snooze(
        &self,
        id: Uuid,
        wait: Duration,
        by: &Author,
        why: &str,
    ) -> Result<State, QueueError> {
        let (came, state) = self.scripts.snooze(id, wait.min(MAX_SNOOZE), by, why).await?;
        match came.as_str() {
            "ok" => known("snooze", &state),
            "missing" => Err(QueueError::Missing { id }),
            _ => Err(QueueError::NotSnoozable { id, state: known("snooze", &state)? }),
        }
    }

    /// Ends a job, also a dead one. Returns the state that it was in.
    ///
    /// A running job is stopped when its worker next renews the lease, within
    /// [`crate::queue::Settings::renew`], and may have changed its gateway in part. If its run ends
    /// before that, the result of the run stands.
    pub async fn cancel(&self, id: Uuid, by: &Author, why: &str) -> Result<State, QueueError> {
        let (came, state) = self.scripts.cancel(id, false, by, why).await?;
        match came.as_str() {
            "ok" => known("cancel", &state),
            "missing" => Err(QueueError::Missing { id }),
            _ => Err(QueueError::NotCancellable { id, state: known("cancel", &state)? }),
        }
    }

    /// Cancels a dead job, so that it cannot be retried. Refuses any other job.
    pub async fn discard(&self, id: Uuid, by: &Author, why: &str) -> Result<(), QueueError> {
        let (came, state) = self.scripts.cancel(id, true, by, why).await?;
        match came.as_str() {
            "ok" => Ok(()),
            "missing" => Err(QueueError::Missing { id }),
            _ => Err(QueueError::NotDiscardable { id, state: known("cancel", &state)? }),
        }
    }

    /// Stops all workers from claiming jobs of this scope until it is [resumed](Self::resume).
    /// Running jobs continue.
    pub async fn pause(
        &self,
        scope: &PauseScope,
        by: &Author,
        why: &str,
    ) -> Result<(), QueueError> {
        self.scripts.pause(true, &scope.to_string(), by, why).await.map(drop)
    }

    /// Lets workers claim jobs of this scope again. Returns whether they had been paused.
    pub async fn resume(
        &self,
        scope: &PauseScope,
        by: &Author,
        why: &str,
    ) -> Result<bool, QueueError> {
        self.scripts.pause(false, &scope.to_string(), by, why).await
    }

    /// Stops a worker from claiming jobs, or lets it claim them again. The worker learns of it
    /// within [`crate::queue::Settings::renew`], and its running jobs continue. Returns whether
    /// this changed anything.
    pub async fn drain(
        &self,
        worker: &str,
        drain: bool,
        by: &Author,
        why: &str,
    ) -> Result<bool, QueueError> {
        match self.scripts.drain(worker, drain, by, why).await?.as_str() {
            "missing" => Err(QueueError::NoWorker { name: worker.to_owned() }),
            came => Ok(came == "ok"),
        }
    }
}

fn known(script: &'static str, state: &str) -> Result<State, QueueError> {
    State::from_name(state)
        .ok_or_else(|| QueueError::Script { script, reason: format!("unknown state {state:?}") })
}
