//! All that a search finds: many questions to Redis, so only few do it at once.

use axum::http::StatusCode;
use mission_jobs::Queue;
use mission_jobs::queue::{Found, MAX_PAGE, Search};
use tokio::sync::Semaphore;

use super::problem::Problem;

/// How many may look for everything at the same time.
const AT_ONCE: usize = 2;

/// Who looks for everything.
pub struct Scans(Semaphore);

impl Default for Scans {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Scans {
    /// All jobs that are found, so many at most; what there is beyond begins at `next`.
    pub async fn find(
        &self,
        queue: &Queue,
        search: &Search,
        most: usize,
    ) -> Result<Found, Problem> {
        let _place = self.0.try_acquire().map_err(|_| {
            let detail = format!(
                "{AT_ONCE} others are collecting all that a search finds; try again when \
                    they are done"
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
