//! The memory that all gateways of a process may use together for the data they send.
//!
//! Small frames and small answers are free, so they never have to wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The bytes of frames that are being received or wait to be parsed: one of the largest, and some
/// others.
const RECEIVED: usize = 40 * MIB;
/// The estimated bytes of answers that runs work with.
const KEPT: usize = 128 * MIB;
/// Frames up to this many bytes are free.
pub(super) const FREE_FRAME: usize = 64 * KIB;
/// Answers up to this many estimated bytes are free. Larger ones are counted in steps of this size.
const STEP: usize = MIB;
/// The time for which an answer waits for memory. The limit prevents runs from waiting for each
/// other forever.
const MEMORY_WITHIN: Duration = Duration::from_secs(10);

/// A reservation of memory, released on drop.
pub(super) type Reservation = OwnedSemaphorePermit;

/// The memory budget of one process.
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
    /// Reserves memory for a frame, at most the whole pool; waits until enough has been released.
    pub(super) fn for_frame(
        &self,
        bytes: usize,
    ) -> impl Future<Output = Option<Reservation>> + Send + use<> {
        let pool = Arc::clone(&self.received);
        async move { pool.acquire_many_owned(in_kib(bytes.min(RECEIVED))).await.ok() }
    }

    /// Creates the budget of an answer that may take up to `limit` bytes.
    pub(super) fn for_answer(&self, limit: usize) -> Budget<'_> {
        Budget {
            memory: self,
            limit: limit.min(KEPT),
            used: 0,
            granted: STEP,
            reservation: None,
            refusal: None,
        }
    }

    /// Waits for a limited time until that many bytes are available; returns `false` if they were
    /// not.
    pub(super) async fn wait_for(&self, bytes: usize) -> bool {
        timeout(MEMORY_WITHIN, self.kept.acquire_many(in_kib(bytes.min(KEPT)))).await.is_ok()
    }
}

/// The budget of an answer while it is parsed.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    memory: &'a Memory,
    limit: usize,
    used: usize,
    granted: usize,
    /// The memory reserved so far; `None` if the answer is free.
    pub(super) reservation: Option<Reservation>,
    /// The reason for the last refusal, if there was one.
    pub(super) refusal: Option<OverBudget>,
}

/// The reason why an answer gets no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OverBudget {
    /// The answer would take more than this many bytes.
    TooLarge(usize),
    /// Other answers hold so much that this many bytes are not available now.
    Crowded(usize),
}

impl Budget<'_> {
    /// Adds bytes to the amount in use.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limit {
            return Err(*self.refusal.insert(OverBudget::TooLarge(self.limit)));
        }
        if self.used > self.granted {
            let more = (self.used - self.granted).next_multiple_of(STEP);
            let Ok(held) = Arc::clone(&self.memory.kept).try_acquire_many_owned(in_kib(more))
            else {
                return Err(*self.refusal.insert(OverBudget::Crowded(self.granted + more)));
            };
            self.granted += more;
            match &mut self.reservation {
                Some(all) => all.merge(held),
                None => self.reservation = Some(held),
            }
        }
        Ok(())
    }
}

fn in_kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_answers_are_free_and_larger_ones_share_the_memory() {
        let memory = Memory::default();
        let mut first = memory.for_answer(KEPT);
        assert_eq!(first.take(KEPT - MIB), Ok(()));
        let mut second = memory.for_answer(KEPT);
        assert_eq!(second.take(MIB), Ok(()), "the first MiB of each is free");
        assert_eq!(second.take(2 * MIB), Ok(()), "what the first left");
        assert_eq!(second.take(1), Err(OverBudget::Crowded(4 * MIB)));
        assert_eq!(second.refusal, Some(OverBudget::Crowded(4 * MIB)));
        drop(first);
        assert_eq!(
            memory.for_answer(2 * MIB).take(2 * MIB + 1),
            Err(OverBudget::TooLarge(2 * MIB))
        );
        let mut third = memory.for_answer(KEPT);
        assert_eq!(third.take(KEPT - 2 * MIB), Ok(()), "it was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_memory_is_limited() {
        let memory = Memory::default();
        let mut all = memory.for_answer(KEPT);
        assert_eq!(all.take(KEPT), Ok(()));
        let held = all.reservation;
        assert!(!memory.wait_for(2 * MIB).await);
        drop(held);
        assert!(memory.wait_for(KEPT).await);
    }
}
