//! `worker migrate`: moves a queue from an earlier layout of its keys to the present one.

use std::time::{Duration, Instant};

use mission_core::humanize::count;
use mission_jobs::private_redis::RedisRole;
use mission_jobs::queue::{Layout, Migration};
use serde_json::json;

use crate::commands::by_state;
use crate::exit::Exit;
use crate::open_queue::{Store, with_store};
use crate::output::{Output, say};
use crate::settings::Settings;

/// The least time between two reports of the progress.
const BETWEEN_REPORTS: Duration = Duration::from_secs(2);

/// Moves the queue, or prints what would be moved. Fails if some jobs cannot be read.
pub async fn run(settings: &Settings, output: Output, dry_run: bool) -> Result<(), Exit> {
    with_store(settings, RedisRole::Command, async |store| migrate(store, output, dry_run).await)
        .await
}

async fn migrate(Store { queue, .. }: &Store, output: Output, dry_run: bool) -> Result<(), Exit> {
    let before = queue.migration().await?;
    if dry_run || before.layout == Layout::Present {
        output.print(&before, || would_do(&before));
        return Ok(());
    }
    let mut reported = Instant::now();
    let migrated = queue
        .migrate(|moved| {
            if reported.elapsed() >= BETWEEN_REPORTS {
                reported = Instant::now();
                say(&format!("worker: {} moved", count(moved, "job")));
            }
        })
        .await?;
    let jobs = queue.counts().await?;
    let (unreadable, absent) = (&migrated.unreadable, &migrated.absent);
    let shown = json!({
        "moved": migrated.moved,
        "unreadable": unreadable,
        "absent": absent,
        "jobs": jobs,
    });
    output.print(&shown, || {
        let mut left = if unreadable.is_empty() {
            String::new()
        } else {
            format!(
                "\n{} cannot be read and stay in their old keys, where nothing uses them: {}",
                count(unreadable.len() as u64, "job"),
                unreadable.join(", ")
            )
        };
        if !absent.is_empty() {
            let ids = count(absent.len() as u64, "id");
            left.extend(["\n", &ids, " of jobs that somebody had removed were dropped."]);
        }
        let moved = count(migrated.moved, "job");
        let jobs = by_state(&jobs, "no jobs");
        format!("{moved} moved. The queue has {jobs}. Start the new workers and producers.{left}")
    });
    if unreadable.is_empty() { Ok(()) } else { Err(Exit::FAILED) }
}

/// Describes what a move would do.
fn would_do(before: &Migration) -> String {
    let jobs = by_state(&before.jobs, "no jobs");
    match before.layout {
        Layout::Present => "The queue has the present layout: nothing is to be moved.".to_owned(),
        Layout::Earlier => format!("All jobs would be moved: {jobs}."),
        Layout::Moving => format!("A move has begun and would be completed. The queue has {jobs}."),
    }
}
