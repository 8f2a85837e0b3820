//! What people and programs do to jobs by hand. Each deed stands in the queue's
//! [audit](Queue::audit), written with it.

use std::time::Duration;

use uuid::Uuid;

use crate::queue::Queue;
use crate::queue::admin::actor::Author;
use crate::queue::admin::pause::Scope;
use crate::queue::error::QueueError;
use crate::queue::states::State;

/// The longest that a job can be snoozed.
pub const MAX_SNOOZE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Queue {
    /// Makes a dead, blocked, retrying or snoozed job ready at once, with all its attempts before
    /// it again. Its gateway is tried at once too. Returns the state that it was in.
    ///
    /// A dead job comes back as the newest request of its agent. If there have been newer ones it
    /// would undo them, and is refused as [`QueueError::Outdated`], unless `force` is set.
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

    /// Lets a ready, retrying, snoozed or blocked job wait for that long, at most [`MAX_SNOOZE`].
    /// It counts neither as an attempt nor as patience with a busy gateway; a newer job of the
    /// agent makes it due all the same. Returns the state that it was in.
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

    /// Ends a job that is not wanted any more; also a dead one. Returns the state that it was in.
    ///
    /// A running job is stopped when its worker next renews the lease, within
    /// [`crate::queue::Settings::renew`], and may have changed its gateway in part. If it ends before
    /// that, it has ended as it did.
    pub async fn cancel(&self, id: Uuid, by: &Author, why: &str) -> Result<State, QueueError> {
        let (came, state) = self.scripts.cancel(id, false, by, why).await?;
        match came.as_str() {
            "ok" => known("cancel", &state),
            "missing" => Err(QueueError::Missing { id }),
            _ => Err(QueueError::NotCancellable { id, state: known("cancel", &state)? }),
        }
    }

    /// Cancels a dead job, and no other: it will not be retried.
    pub async fn discard(&self, id: Uuid, by: &Author, why: &str) -> Result<(), QueueError> {
        let (came, state) = self.scripts.cancel(id, true, by, why).await?;
        match came.as_str() {
            "ok" => Ok(()),
            "missing" => Err(QueueError::Missing { id }),
            _ => Err(QueueError::NotDiscardable { id, state: known("cancel", &state)? }),
        }
    }

    /// Stops all workers from taking such jobs, until [resumed](Self::resume). Running ones go on.
    pub async fn pause(&self, scope: &Scope, by: &Author, why: &str) -> Result<(), QueueError> {
        self.scripts.pause(true, &scope.to_string(), by, why).await.map(drop)
    }

    /// Lets workers take such jobs again. Returns whether they had been paused.
    pub async fn resume(&self, scope: &Scope, by: &Author, why: &str) -> Result<bool, QueueError> {
        self.scripts.pause(false, &scope.to_string(), by, why).await
    }

    /// Has a worker take no more jobs, or take them again. It learns of it within
    /// [`crate::queue::Settings::renew`]; what it runs goes on. Returns whether that is new.
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
