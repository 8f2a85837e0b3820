//! How much memory all gateways of a process may take together with what they send.
//!
//! Small frames and small answers are free, so that nobody waits for them whatever the others do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of frames that are received or wait to be read: one of the largest, and some others.
const RECEIVED: usize = 40 * MIB;
/// Bytes, by estimate, of answers that runs work with.
const KEPT: usize = 128 * MIB;
/// Frames of so many bytes are free.
pub(super) const FREE_FRAME: usize = 64 * KIB;
/// Answers that take so many bytes, by estimate, are free. Also the steps in which larger ones are
/// counted.
const STEP: usize = MIB;
/// How long an answer waits until others have let go of theirs. No run waits for ever for what
/// another one holds that itself waits.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

/// Memory that was set aside; given back when it is dropped.
pub(super) type Held = OwnedSemaphorePermit;

/// The memory of one process.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    received: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Self {
        let of = |bytes: usize| Arc::new(Semaphore::new(bytes / KIB));
        Self { received: of(RECEIVED), kept: of(KEPT) }
    }
}

impl Memory {
    /// Sets so many bytes aside for a frame, at most all that there are; waits until others have
    /// given back enough.
    pub(super) fn for_frame(
        &self,
        bytes: usize,
    ) -> impl Future<Output = Option<Held>> + Send + use<> {
        let pool = Arc::clone(&self.received);
        async move { pool.acquire_many_owned(in_kib(bytes.min(RECEIVED))).await.ok() }
    }

    /// Begins to count an answer that may take so many bytes.
    pub(super) fn for_answer(&self, limit: usize) -> Room<'_> {
        Room {
            memory: self,
            limit: limit.min(KEPT),
            used: 0,
            granted: STEP,
            held: None,
            refusal: None,
        }
    }

    /// Waits until there is room for so many bytes, for a while; false if there was none.
    pub(super) async fn wait_for(&self, bytes: usize) -> bool {
        timeout(ROOM_WITHIN, self.kept.acquire_many(in_kib(bytes.min(KEPT)))).await.is_ok()
    }
}

/// The memory that an answer takes while it is made.
#[derive(Debug)]
pub(super) struct Room<'a> {
    memory: &'a Memory,
    limit: usize,
    used: usize,
    granted: usize,
    held: Option<Held>,
    refusal: Option<NoRoom>,
}

/// Why an answer gets no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// It would take more than so many bytes.
    TooLarge(usize),
    /// Others have so much that the next of so many bytes cannot be had now.
    Crowded(usize),
}

impl Room<'_> {
    /// Counts so many bytes more.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limit {
            return Err(*self.refusal.insert(NoRoom::TooLarge(self.limit)));
        }
        if self.used > self.granted {
            let more = (self.used - self.granted).next_multiple_of(STEP);
            let Ok(held) = Arc::clone(&self.memory.kept).try_acquire_many_owned(in_kib(more))
            else {
                return Err(*self.refusal.insert(NoRoom::Crowded(self.granted + more)));
            };
            self.granted += more;
            match &mut self.held {
                Some(all) => all.merge(held),
                None => self.held = Some(held),
            }
        }
        Ok(())
    }

    /// Why it got no more, if that happened.
    pub(super) const fn refusal(&self) -> Option<NoRoom> {
        self.refusal
    }

    /// What it holds; none if it is free.
    pub(super) fn held(self) -> Option<Held> {
        self.held
    }
}

fn in_kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_is_free_and_all_else_is_shared() {
        let memory = Memory::default();
        let mut first = memory.for_answer(KEPT);
        assert_eq!(first.take(KEPT - MIB), Ok(()));
        let mut second = memory.for_answer(KEPT);
        assert_eq!(second.take(MIB), Ok(()), "the first MiB of each is free");
        assert_eq!(second.take(2 * MIB), Ok(()), "what the first left");
        assert_eq!(second.take(1), Err(NoRoom::Crowded(4 * MIB)));
        assert_eq!(second.refusal(), Some(NoRoom::Crowded(4 * MIB)));
        drop(first);
        assert_eq!(memory.for_answer(2 * MIB).take(2 * MIB + 1), Err(NoRoom::TooLarge(2 * MIB)));
        let mut third = memory.for_answer(KEPT);
        assert_eq!(third.take(KEPT - 2 * MIB), Ok(()), "it was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_room() {
        let memory = Memory::default();
        let mut all = memory.for_answer(KEPT);
        assert_eq!(all.take(KEPT), Ok(()));
        let held = all.held();
        assert!(!memory.wait_for(2 * MIB).await);
        drop(held);
        assert!(memory.wait_for(KEPT).await);
    }
}
