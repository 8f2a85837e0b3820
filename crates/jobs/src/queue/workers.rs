//! The workers of a queue, as they tell of themselves.

use serde::Serialize;

/// A worker that has been seen in the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WorkerRecord {
    /// Its name to the queue.
    pub name: String,
    /// The machine that it runs on.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Its process there.
    pub pid: u32,
    /// When it began, in milliseconds since 1970 by Redis's clock.
    pub started_at_ms: u64,
    /// When it was last heard of.
    pub seen_at_ms: u64,
    /// It has not been heard of for so long that it must have ended, or have lost Redis.
    pub gone: bool,
    /// Jobs that it runs.
    pub running: u64,
    /// How many it may run at once.
    pub concurrency: u64,
    /// It takes no more jobs, because somebody wants that.
    pub draining: bool,
}

/// The name of this machine; `?` if it has none.
#[must_use]
pub fn host() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    name.ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "?".to_owned())
}
