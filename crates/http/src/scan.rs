//! Searches that collect all matches. They take many reads of Redis, so only few run at once.

use axum::http::StatusCode;
use mission_jobs::Queue;
use mission_jobs::queue::{Found, MAX_PAGE, Search};
use tokio::sync::Semaphore;

use super::problem::{Answer, Problem};

/// The most such searches at once.
const AT_ONCE: usize = 2;

/// The limit on searches that collect all matches.
pub(crate) struct Scans(Semaphore);

impl Default for Scans {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Scans {
    /// Returns the jobs that a search finds, `most` at most. Further ones begin at `next`.
    pub(crate) async fn find(&self, queue: &Queue, search: &Search, most: usize) -> Answer<Found> {
        let _permit = self.0.try_acquire().map_err(|_| {
            let detail = format!(
                "{AT_ONCE} other exports or bulk actions are searching; try again when they have \
                    ended"
            );
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).for_seconds(5)
        })?;
        let mut all = queue.search(search, None, MAX_PAGE).await?;
        while all.jobs.len() < most {
            let Some(after) = all.next.take() else { break };
            let found =
                queue.search(search, Some(&after), MAX_PAGE.min(most - all.jobs.len())).await?;
            all.jobs.extend(found.jobs);
            all.looked_at += found.looked_at;
            all.next = found.next;
        }
        Ok(all)
    }
}
