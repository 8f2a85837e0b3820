//! Reads that concurrent callers share.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;

/// A value that concurrent callers share. Each caller gets a value whose read started after its
/// call. A value is kept only while callers wait for it, so it is never stale.
#[derive(Debug)]
pub struct SingleFlight<T> {
    /// The start time and the result of the last read, kept while other callers wait for one.
    last: Mutex<Option<(Instant, Arc<T>)>>,
    readers: AtomicUsize,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { last: Mutex::new(None), readers: AtomicUsize::new(0) }
    }
}

impl<T> SingleFlight<T> {
    /// Returns a value read after this call: by this caller with `read`, or by another caller at
    /// the same time. `read` is told whether others are waiting. Errors are not shared: the next
    /// caller in line reads again.
    pub async fn read<F, E>(&self, read: impl FnOnce(bool) -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.read_when(ready(()), read).await
    }

    /// Like [`read`](Self::read), but the read starts only when `is_worth_it` completes. Callers
    /// that arrive until then share its result.
    pub(crate) async fn read_when<F, E>(
        &self,
        is_worth_it: impl Future<Output = ()>,
        read: impl FnOnce(bool) -> F,
    ) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let asked = Instant::now();
        let reader = Reader::of(&self.readers);
        let mut last = self.last.lock().await;
        let found = match last.take() {
            Some((began, found)) if began > asked => (began, found),
            _ => {
                is_worth_it.await;
                (Instant::now(), Arc::new(read(reader.is_one_of_many()).await?))
            }
        };
        if reader.is_one_of_many() {
            *last = Some(found.clone());
        }
        Ok(found.1)
    }
}

/// A caller that reads or waits to read.
struct Reader<'a>(&'a AtomicUsize);

impl<'a> Reader<'a> {
    fn of(readers: &'a AtomicUsize) -> Self {
        readers.fetch_add(1, Ordering::Relaxed);
        Self(readers)
    }

    fn is_one_of_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    /// Reads slowly, and returns the number of earlier reads.
    async fn count(shared: &SingleFlight<usize>, readings: &AtomicUsize) -> usize {
        let read = |_| async {
            let before = readings.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(before)
        };
        *shared.read(read).await.unwrap_or_else(|never| match never {})
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_during_a_reading_gets_the_next_together_with_all_who_did() {
        let (shared, readings) = (SingleFlight::default(), AtomicUsize::new(0));
        let late = async |after: u64| {
            sleep(Duration::from_millis(after)).await;
            count(&shared, &readings).await
        };
        let found = tokio::join!(late(0), late(300), late(600), late(900));
        assert_eq!(found, (0, 1, 1, 1), "a read that started before the call is not used");
        assert_eq!(count(&shared, &readings).await, 2, "nothing is kept");
    }
}
