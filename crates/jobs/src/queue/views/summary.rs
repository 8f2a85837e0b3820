//! The summary of a queue.

use serde::{Deserialize, Serialize};

use crate::queue::Counts;
use crate::queue::admin::pause::Pause;
use crate::queue::views::slots::Slots;

/// The values on the first screen of a queue. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Summary {
    /// The time of the summary.
    pub at_ms: u64,
    /// The number of jobs in each state.
    pub counts: Counts,
    /// The time since which the oldest ready job has been ready.
    pub oldest_ready_at_ms: Option<u64>,
    /// The time when the next waiting job is due.
    pub next_due_at_ms: Option<u64>,
    /// The time when a job last ended.
    pub last_ended_at_ms: Option<u64>,
    /// The number of workers with a heartbeat in the last 30 s.
    pub workers: u64,
    /// The number of these workers that claim no more jobs.
    pub draining: u64,
    /// The slots of the workers that take jobs.
    #[serde(default)]
    pub slots: Slots,
    /// The pauses in force, oldest first.
    pub paused: Vec<Pause>,
}
