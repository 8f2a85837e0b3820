//! What many read at once, read for all of them.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Something that many read at once; each of them gets what was read after it had asked. Nothing is
/// kept longer than somebody waits for it, so nothing gets old.
#[derive(Debug)]
pub struct Shared<T> {
    /// When the last reading began, and what it brought; kept while others wait for one.
    last: Mutex<Option<(Instant, Arc<T>)>>,
    readers: AtomicUsize,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { last: Mutex::new(None), readers: AtomicUsize::new(0) }
    }
}

impl<T> Shared<T> {
    /// What was read after this call: by this caller with `read`, which learns whether others wait
    /// for it, or by another that asked at the same time. Errors are not shared: the next in line
    /// tries again.
    pub async fn read<F, E>(&self, read: impl FnOnce(bool) -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.read_when(ready(()), read).await
    }

    /// The same, where the reading begins when it is worth it. Who asks until then gets what it
    /// brings.
    pub async fn read_when<F, E>(
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

/// One who reads, or waits to.
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

    /// A reading that takes a while, and says how many there were before.
    async fn count(shared: &Shared<usize>, readings: &AtomicUsize) -> usize {
        let read = |_| async {
            let before = readings.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(before)
        };
        *shared.read(read).await.unwrap_or_else(|never| match never {})
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_during_a_reading_gets_the_next_together_with_all_who_did() {
        let (shared, readings) = (Shared::default(), AtomicUsize::new(0));
        let late = async |after: u64| {
            sleep(Duration::from_millis(after)).await;
            count(&shared, &readings).await
        };
        let found = tokio::join!(late(0), late(300), late(600), late(900));
        assert_eq!(
            found,
            (0, 1, 1, 1),
            "a reading that had begun before one asked is not believed"
        );
        assert_eq!(count(&shared, &readings).await, 2, "nothing is kept");
    }
}
