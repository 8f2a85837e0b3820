//! The queue at a glance.

use serde::{Deserialize, Serialize};

use crate::queue::Counts;
use crate::queue::admin::pause::Pause;

/// What the first screen says of a queue. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Summary {
    /// When this was so.
    pub at_ms: u64,
    /// How many jobs are in each state.
    pub counts: Counts,
    /// Since when the job has been ready that has been so the longest.
    pub oldest_ready_at_ms: Option<u64>,
    /// When the next waiting job is due.
    pub next_due_at_ms: Option<u64>,
    /// When a job last ended.
    pub last_ended_at_ms: Option<u64>,
    /// How many workers have been heard of lately.
    pub workers: u64,
    /// How many of them take no more jobs.
    pub draining: u64,
    /// What is paused, oldest first.
    pub paused: Vec<Pause>,
}
