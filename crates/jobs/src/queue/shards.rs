//! The shards of a queue. Each is a complete queue of its own, with a hash tag of its own, so that
//! the nodes of a cluster share the work. All jobs of a gateway are in one shard.
//!
//! The first shard has the keys of a queue without shards. What concerns the whole queue is there:
//! the number of shards, the pauses, the workers as people see them, and idempotency keys only in
//! the shard of their text.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use uuid::Uuid;

use super::error::QueueError;
use super::redis::connection::Connection;
use super::redis::scripts::Scripts;

/// The most shards of a queue.
pub const MAX_SHARDS: usize = 64;

/// Returns the first 16 bits of the SHA-256 of a text. Modulo the number of shards, those of a
/// gateway's id name its shard, and those of an idempotency key name the shard that keeps the key.
fn hash(text: &str) -> u16 {
    let digest = Sha256::digest(text);
    u16::from_be_bytes([digest[0], digest[1]])
}

/// Makes the id of a new job of a gateway: a UUID v7 whose last 16 bits are the hash of the
/// gateway's id, so that the id alone leads to the shard.
pub(crate) fn new_id(lane: Uuid) -> Uuid {
    let mut bytes = Uuid::now_v7().into_bytes();
    bytes[14..].copy_from_slice(&hash(&lane.to_string()).to_be_bytes());
    Uuid::from_bytes(bytes)
}

/// The shards of a queue, at least one.
pub(crate) struct Shards {
    all: Vec<Arc<Scripts>>,
    /// Set once Redis has the same number of shards.
    agreed: OnceCell<()>,
}

impl Shards {
    /// Makes the shards of a queue.
    pub(crate) fn new(queue: &str, connection: &Arc<Connection>, count: usize) -> Self {
        Self::of(Scripts::shards(queue, connection, count))
    }

    pub(crate) fn of(shards: Vec<Scripts>) -> Self {
        Self { all: shards.into_iter().map(Arc::new).collect(), agreed: OnceCell::new() }
    }

    /// Returns the first shard, without a check.
    pub(crate) fn first(&self) -> &Arc<Scripts> {
        &self.all[0]
    }

    /// Returns all shards, without a check.
    pub(crate) fn all(&self) -> &[Arc<Scripts>] {
        &self.all
    }

    pub(crate) fn number_of(&self, lane: Uuid) -> usize {
        self.number(hash(&lane.to_string()))
    }

    pub(crate) fn of_key(&self, key: &str) -> &Scripts {
        &self.all[self.number(hash(key))]
    }

    fn number(&self, hash: u16) -> usize {
        usize::from(hash) % self.all.len()
    }

    /// Checks that the queue in Redis has as many shards as this process believes. With `creates`,
    /// a queue that does not exist yet gets this number for good.
    pub(crate) async fn check(&self, creates: bool) -> Result<(), QueueError> {
        let set = self.all.len();
        if self.agreed.initialized() {
            return Ok(());
        }
        let mut stored = self.first().shard_count().await?;
        if stored.is_none() && creates && set > 1 {
            stored = Some(self.first().keep_shard_count(set).await?);
        }
        match stored {
            Some(stored) if stored != set => Err(QueueError::Shards { stored, set }),
            Some(_) => {
                // Another call may have done it.
                let _ = self.agreed.set(());
                Ok(())
            }
            // Another process may still create it, with another number.
            None => Ok(()),
        }
    }

    /// Stores the number of shards again if somebody has removed it.
    pub(crate) async fn keep_count(&self) -> Result<(), QueueError> {
        if self.agreed.initialized() && self.all.len() > 1 {
            self.first().keep_shard_count(self.all.len()).await?;
        }
        Ok(())
    }

    /// Replaces a number of shards that cannot be read, unless more shards have been used than this
    /// process believes in.
    pub(crate) async fn repair_count(&self) -> Result<(), QueueError> {
        let set = self.all.len();
        match self.first().shard_count().await {
            Err(QueueError::ShardsUnreadable { .. }) => {
                let stored = self.first().shards_seen().await;
                if stored > set {
                    return Err(QueueError::Shards { stored, set });
                }
                self.first().replace_shard_count(set).await
            }
            found => found.map(|_| ()),
        }
    }

    /// Returns the shard of a gateway.
    pub(crate) async fn of_lane(&self, lane: Uuid) -> Result<&Arc<Scripts>, QueueError> {
        self.check(false).await?;
        Ok(&self.all[self.number_of(lane)])
    }

    /// Returns the shard that has a job. Ids that this program or the Python client made name it;
    /// for others all shards are asked.
    pub(crate) async fn of_job(&self, id: Uuid) -> Result<&Arc<Scripts>, QueueError> {
        self.check(false).await?;
        let [.., high, low] = id.into_bytes();
        let named = &self.all[self.number(u16::from_be_bytes([high, low]))];
        if self.all.len() == 1 || named.has_job(id).await? {
            return Ok(named);
        }
        let have = try_join_all(self.all.iter().map(|shard| shard.has_job(id))).await?;
        Ok(have.iter().position(|has| *has).map_or(named, |found| &self.all[found]))
    }

    /// Asks all shards at the same time. Returns their answers in order.
    pub(crate) async fn ask<T, F>(
        &self,
        ask: impl Fn(Arc<Scripts>) -> F,
    ) -> Result<Vec<T>, QueueError>
    where
        F: Future<Output = Result<T, QueueError>>,
    {
        self.check(false).await?;
        try_join_all(self.all.iter().map(|shard| ask(Arc::clone(shard)))).await
    }

    /// Returns the numbers of the shards that do not answer within this time.
    pub(crate) async fn away(&self, within: Duration) -> Vec<usize> {
        let answers = join_all(self.all.iter().map(|shard| timeout(within, shard.ping()))).await;
        let fails = |(number, answer)| (!matches!(answer, Ok(Ok(())))).then_some(number);
        answers.into_iter().enumerate().filter_map(fails).collect()
    }

    /// Brings the pauses of a shard to the state of the first, where they are made and ended.
    pub(crate) async fn copy_pauses(&self, to: &Scripts) -> Result<(), QueueError> {
        // In this order: if somebody else copies meanwhile, the version is not the same any more.
        let before = to.pauses_version().await?;
        let version = self.first().pauses_version().await?;
        if before == version {
            return Ok(());
        }
        let paused = self.first().paused().await?;
        to.take_pauses(&before, &version, paused).await
    }

    /// Brings the pauses of all shards to the state of the first. Those that cannot be reached get
    /// them by a sweep of a worker.
    pub(crate) async fn spread_pauses(&self) {
        let copies = self.all[1..].iter().map(|shard| async move {
            if let Err(error) = self.copy_pauses(shard).await {
                tracing::warn!(%error, "a shard learns of a pause or its end later");
            }
        });
        join_all(copies).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_text_is_that_of_the_protocol() {
        // printf 7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01 | sha256sum
        assert_eq!(hash("7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01"), 0x293c);
    }

    #[test]
    fn an_id_ends_with_the_hash_of_its_gateway_and_is_of_version_7() {
        let lane = Uuid::from_u128(7);
        let (first, second) = (new_id(lane), new_id(lane));
        assert_eq!(first.as_u128() & 0xffff, u128::from(hash(&lane.to_string())));
        assert_eq!(first.get_version_num(), 7);
        assert!(first < second);
    }
}
