//! The actions of people and programs on jobs. The script that carries out an action also records
//! it in the queue's [audit](Queue::audit).

use std::time::Duration;

use redis::ToRedisArgs;
use uuid::Uuid;

use crate::queue::Queue;
use crate::queue::admin::actor::Author;
use crate::queue::admin::pause::PauseScope;
use crate::queue::error::QueueError;
use crate::queue::redis::bundle::Source;
use crate::queue::redis::scripts::operators::ActionAnswer;
use crate::queue::redis::scripts::{lua, millis};
use crate::queue::states::State;

/// The longest time that a person can snooze a job: 30 days.
pub const MAX_SNOOZE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Queue {
    /// Makes a dead, blocked, retrying, snoozed or scheduled job ready at once, and gives it all its
    /// attempts again. Its gateway is tried at once too. Returns the state that the job was in.
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
        let refused = |state| QueueError::NotRetryable { id, state };
        self.act(lua::retry, id, force, by, why, refused).await
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
        let refused = |state| QueueError::NotSnoozable { id, state };
        let wait = millis(wait.min(MAX_SNOOZE));
        self.act(lua::snooze, id, wait, by, why, refused).await
    }

    /// Ends a job, also a dead one. Returns the state that it was in.
    ///
    /// A running job is stopped when its worker next renews the lease, within
    /// [`crate::queue::Settings::renew`], and may have changed its gateway in part. If its run ends
    /// before that, the result of the run stands.
    pub async fn cancel(&self, id: Uuid, by: &Author, why: &str) -> Result<State, QueueError> {
        let refused = |state| QueueError::NotCancellable { id, state };
        self.act(lua::cancel, id, false, by, why, refused).await
    }

    /// Cancels a dead job, so that it cannot be retried. Refuses any other job.
    pub async fn discard(&self, id: Uuid, by: &Author, why: &str) -> Result<(), QueueError> {
        let refused = |state| QueueError::NotDiscardable { id, state };
        self.act(lua::cancel, id, true, by, why, refused).await.map(drop)
    }

    /// Runs the script of an action on a job; `own` is the argument that only this script has.
    /// Returns the state that the job was in.
    async fn act(
        &self,
        script: Source,
        id: Uuid,
        own: impl ToRedisArgs,
        by: &Author,
        why: &str,
        refused: impl FnOnce(State) -> QueueError,
    ) -> Result<State, QueueError> {
        let shard = self.shards.of_job(id).await?;
        let (came, state): ActionAnswer = shard.act(script, by, why, (id.to_string(), own)).await?;
        let state = State::from_name(&state).ok_or_else(|| QueueError::Script {
            script: script.name,
            reason: format!("unknown state {state:?}"),
        });
        match came.as_str() {
            "ok" => state,
            "missing" => Err(QueueError::Missing { id }),
            "outdated" => Err(QueueError::Outdated { id }),
            _ => Err(refused(state?)),
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
        self.set_paused("pause", scope, by, why).await.map(drop)
    }

    /// Lets workers claim jobs of this scope again. Returns whether they had been paused.
    pub async fn resume(
        &self,
        scope: &PauseScope,
        by: &Author,
        why: &str,
    ) -> Result<bool, QueueError> {
        self.set_paused("resume", scope, by, why).await
    }

    async fn set_paused(
        &self,
        action: &str,
        scope: &PauseScope,
        by: &Author,
        why: &str,
    ) -> Result<bool, QueueError> {
        let first = self.first().await?;
        let changed = first.act(lua::pause, by, why, (action, scope.to_string())).await?;
        self.shards.spread_pauses().await;
        Ok(changed)
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
        let script = lua::drain;
        let first = self.first().await?;
        let came: String = first.act(script, by, why, (worker, drain)).await?;
        match came.as_str() {
            "missing" => Err(QueueError::NoWorker { name: worker.to_owned() }),
            came => Ok(came == "ok"),
        }
    }
}
