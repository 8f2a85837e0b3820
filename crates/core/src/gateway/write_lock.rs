//! The lock that a run holds while it changes a gateway's config, and the reading that one cleanup
//! leaves for the next.
//!
//! A cleanup reads the config before and after it deletes an agent. If many cleanups of one gateway
//! queue up, the reading after a deletion begins when the next cleanup is already waiting, so it is
//! as fresh as one that the next cleanup would make itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::agents_config::Config;

/// The config of a gateway and its list of agents, read together.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The time at which the reading began.
    pub(crate) began: Instant,
    /// The config that the gateway returned.
    pub(crate) config: Arc<Config>,
    /// The agents that the gateway listed.
    pub(crate) listed: Vec<Value>,
}

/// Allows one run at a time to change the config of a gateway. It lives as long as the gateway's
/// client.
#[derive(Debug, Default)]
pub(crate) struct WriteLock {
    /// The lock itself, and the reading that the previous holder has left for the next one.
    left: Mutex<Option<Reading>>,
    /// The number of runs that wait for the lock and could use a reading.
    readers: AtomicUsize,
}

/// The lock while it is held.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    left: MutexGuard<'a, Option<Reading>>,
    readers: &'a AtomicUsize,
}

impl WriteLock {
    /// Waits for the lock. Drops a reading that was left, because a write follows.
    pub(crate) async fn lock(&self) -> Writing<'_> {
        let mut left = self.left.lock().await;
        *left = None;
        Writing { left, readers: &self.readers }
    }

    /// Waits for the lock, and takes the reading of the previous holder if that reading began after
    /// this call.
    pub(crate) async fn lock_after_reading(&self) -> (Writing<'_>, Option<Reading>) {
        let asked = Instant::now();
        self.readers.fetch_add(1, Ordering::Relaxed);
        let reader = Reader(self);
        let mut left = self.left.lock().await;
        let reading = left.take().filter(|reading| reading.began > asked);
        drop(reader);
        (Writing { left, readers: &self.readers }, reading)
    }
}

impl Writing<'_> {
    /// Leaves a reading for the next run that waits for one. The reading is made only if there is
    /// such a run, because a config occupies the memory for answers as long as it is kept.
    pub(crate) fn leave(&mut self, reading: impl FnOnce() -> Option<Reading>) {
        if self.readers.load(Ordering::Relaxed) > 0 {
            *self.left = reading();
        }
    }
}

/// A run that waits for the lock, counted while it does.
struct Reader<'a>(&'a WriteLock);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // The last waiting run may have been stopped, and then nobody takes the reading.
        if self.0.readers.fetch_sub(1, Ordering::Relaxed) == 1
            && let Ok(mut left) = self.0.left.try_lock()
        {
            *left = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;
    use std::pin::pin;

    use super::*;

    fn reading() -> Reading {
        let config = Config::read(json!({ "hash": "h", "config": {} })).expect("a config");
        Reading { began: Instant::now(), config: Arc::new(config), listed: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_is_left_only_to_runs_that_asked_before_it_began() {
        let lock = WriteLock::default();
        let mut first = lock.lock().await;
        let mut second = pin!(lock.lock_after_reading());
        assert!(second.as_mut().now_or_never().is_none());
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        let old = reading();
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        let mut third = pin!(lock.lock_after_reading());
        assert!(third.as_mut().now_or_never().is_none());
        first.leave(|| Some(old.clone()));
        drop(first);
        let (mut second, left) = second.await;
        assert!(left.is_some());
        // The third run asked after this reading had begun.
        second.leave(|| Some(old));
        drop(second);
        let (mut third, left) = third.await;
        assert!(left.is_none());
        // Nobody waits, so no reading is made.
        third.leave(|| unreachable!("nobody waits for it"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_or_a_stopped_run_drops_the_reading() {
        let lock = WriteLock::default();
        let mut first = lock.lock().await;
        let mut writer = Box::pin(lock.lock());
        assert!(writer.as_mut().now_or_never().is_none());
        let mut second = Box::pin(lock.lock_after_reading());
        assert!(second.as_mut().now_or_never().is_none());
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        first.leave(|| Some(reading()));
        drop(first);
        drop(writer.await);
        let (mut holder, left) = second.await;
        assert!(left.is_none());
        let mut stopped = Box::pin(lock.lock_after_reading());
        assert!(stopped.as_mut().now_or_never().is_none());
        holder.leave(|| Some(reading()));
        drop(holder);
        drop(stopped);
        assert!(lock.left.lock().await.is_none());
    }
}
