//! The shards of a queue, and the commands that only several of them need.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Value, cmd, pipe};
use tokio::time::timeout;
use uuid::Uuid;

use super::{CLOCK, Scripts, lua, millis};
use crate::queue::error::QueueError;
use crate::queue::redis::connection::Connection;
use crate::queue::redis::functions::Functions;
use crate::queue::redis::keys::Keys;
use crate::queue::shards::MAX_SHARDS;

/// The longest time to look whether a shard has been used.
const LOOK: Duration = Duration::from_secs(2);

impl Scripts {
    /// Makes the shards of a queue. The first has this connection.
    pub(crate) fn shards(queue: &str, connection: &Arc<Connection>, count: usize) -> Vec<Self> {
        let functions = Arc::new(Functions::new(CLOCK, lua::ALL));
        let shard = |number| {
            let own = if number == 0 { Arc::clone(connection) } else { connection.for_shard() };
            Self::of(Keys::of(queue, number), Arc::clone(&functions), own)
        };
        (0..count).map(shard).collect()
    }

    /// Makes the only shard of a queue whose scripts have another clock.
    #[cfg(test)]
    pub(crate) fn with_clock(queue: &str, connection: Connection, clock: &str) -> Self {
        let functions = Arc::new(Functions::new(clock, lua::ALL));
        Self::of(Keys::of(queue, 0), functions, Arc::new(connection))
    }

    fn of(keys: Keys, functions: Arc<Functions>, connection: Arc<Connection>) -> Self {
        let (listening, confirming) = (connection.for_blocking(), connection.another());
        Self { keys, functions, connection, listening, confirming }
    }

    /// Replaces the pauses of this shard if their version is still this one.
    pub(crate) async fn take_pauses(
        &self,
        before: &str,
        version: &str,
        paused: HashMap<String, String>,
    ) -> Result<(), QueueError> {
        self.run(lua::pauses, (before, version, paused.into_iter().collect::<Vec<_>>())).await
    }

    /// Returns the number of shards of the queue whose first shard this is; none if it does not
    /// exist.
    pub(crate) async fn shard_count(&self) -> Result<Option<usize>, QueueError> {
        let mut ask = cmd("MGET");
        ask.arg(self.keys.shards()).arg(self.keys.layout());
        let (stored, layout): (Option<String>, Option<String>) = self.read("shards", &ask).await?;
        if let Some(stored) = stored {
            let count = stored.parse().ok().filter(|count| (1..=MAX_SHARDS).contains(count));
            let unreadable = || QueueError::ShardsUnreadable { key: self.keys.shards(), stored };
            return count.ok_or_else(unreadable).map(Some);
        }
        // A queue of one shard does not say so. One of several whose number was removed has others.
        Ok(if layout.is_some() { Some(self.shards_seen().await) } else { None })
    }

    /// Returns the number of shards that have been used, by their keys. Those that cannot be
    /// reached now count as unused.
    pub(crate) async fn shards_seen(&self) -> usize {
        let connection = self.connection.for_shard();
        let is_used = async |number| {
            let mut ask = cmd("EXISTS");
            ask.arg(self.keys.of_shard(number).layout());
            let answer = connection.request(async |mut redis| ask.query_async(&mut redis).await);
            matches!(timeout(LOOK, answer).await, Ok(Ok(true)))
        };
        if !is_used(1).await {
            return 1;
        }
        let used = join_all((2..MAX_SHARDS).map(is_used)).await;
        used.iter().rposition(|used| *used).map_or(2, |last| last + 3)
    }

    /// Replaces the number of shards.
    pub(crate) async fn replace_shard_count(&self, count: usize) -> Result<(), QueueError> {
        self.read("shards", cmd("SET").arg(self.keys.shards()).arg(count)).await
    }

    /// Stores the number of shards of a new queue, unless another process has. Returns the number
    /// that is stored.
    pub(crate) async fn keep_shard_count(&self, count: usize) -> Result<usize, QueueError> {
        let mut set = cmd("SET");
        set.arg(self.keys.shards()).arg(count).arg("NX");
        let _: Value = self.read("shards", &set).await?;
        Ok(self.shard_count().await?.unwrap_or(1))
    }

    /// Asks this shard for anything.
    pub(crate) async fn ping(&self) -> Result<(), QueueError> {
        self.read("ping", cmd("EXISTS").arg(self.keys.layout())).await
    }

    pub(crate) async fn has_job(&self, id: Uuid) -> Result<bool, QueueError> {
        self.read("job", cmd("HEXISTS").arg(self.keys.jobs()).arg(id.to_string())).await
    }

    /// Takes an idempotency key for a job that is not stored yet. Returns the id that has it, with
    /// `?` before it until that job is stored; none if it was free.
    pub(crate) async fn take_key(
        &self,
        key: &str,
        id: Uuid,
        life: Duration,
    ) -> Result<Option<String>, QueueError> {
        let mut set = cmd("SET");
        set.arg(self.keys.idempotency(key)).arg(format!("?{id}"));
        set.arg("NX").arg("PX").arg(millis(life));
        if self.read::<Option<String>>("key", &set).await?.is_some() {
            return Ok(None);
        }
        let held: Option<String> =
            self.read("key", cmd("GET").arg(self.keys.idempotency(key))).await?;
        if held.is_none() {
            // Its life has just ended. If somebody else is faster now, the key is theirs.
            let _: Option<String> = self.read("key", &set).await?;
            return self.read("key", cmd("GET").arg(self.keys.idempotency(key))).await;
        }
        Ok(held)
    }

    /// Records that the job of an idempotency key is stored.
    pub(crate) async fn confirm_key(&self, key: &str, id: Uuid) -> Result<(), QueueError> {
        let mut set = cmd("SET");
        set.arg(self.keys.idempotency(key)).arg(id.to_string()).arg("XX").arg("KEEPTTL");
        self.read::<Value>("key", &set).await.map(drop)
    }

    /// Returns the version of the pauses; empty if nothing was ever paused.
    pub(crate) async fn pauses_version(&self) -> Result<String, QueueError> {
        let version: Option<String> =
            self.read("pauses", cmd("GET").arg(self.keys.pauses())).await?;
        Ok(version.unwrap_or_default())
    }

    /// Waits until this number of replicas have these jobs, at most for this time. Returns how many
    /// have them.
    pub(crate) async fn confirm(
        &self,
        ids: &[Uuid],
        replicas: u8,
        at_most: Duration,
    ) -> Result<u64, QueueError> {
        if ids.is_empty() {
            return Ok(replicas.into());
        }
        // All in one pipeline, so that the same master answers: it has the jobs, and its replicas
        // have what follows them. Without a write of this connection WAIT would mean nothing.
        let mut ask = pipe();
        ask.cmd("HMGET").arg(self.keys.jobs());
        for id in ids {
            ask.arg(id.to_string());
        }
        ask.cmd("SET").arg(self.keys.confirmed()).arg(1).ignore();
        ask.cmd("WAIT").arg(replicas).arg(millis(at_most));
        let (jobs, confirmed): (Vec<Option<Vec<u8>>>, u64) = self
            .confirming
            .request(async |mut redis| ask.query_async(&mut redis).await)
            .await
            .map_err(|error| QueueError::from_redis("wait", &error))?;
        Ok(if jobs.iter().all(Option::is_some) { confirmed } else { 0 })
    }
}
