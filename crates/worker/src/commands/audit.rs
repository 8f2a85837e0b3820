//! `worker audit`: lists the actions of operators.

use mission_jobs::queue::{AuditEntry, MAX_PAGE};

use crate::cli::ApiTarget;
use crate::exit::Exit;
use crate::output::Output;
use crate::queue_client::with_client;
use crate::settings::Settings;
use mission_core::humanize::utc_time;

/// Prints at most `limit` entries, newest first.
pub async fn run(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    limit: usize,
) -> Result<(), Exit> {
    with_client(settings, at, async |client| {
        let (mut left, mut after) = (limit, None);
        while left > 0 {
            let page = client.audit(after.as_deref(), left.min(MAX_PAGE)).await?;
            output.print_all(&page, line);
            left = left.saturating_sub(page.len());
            after = page.last().map(|entry| entry.id.clone());
            if after.is_none() {
                break;
            }
        }
        Ok(())
    })
    .await
}

fn line(entry: &AuditEntry) -> String {
    let deed = &entry.record;
    let was = deed.before.as_ref().map_or_else(String::new, |before| format!(" ({before})"));
    let why = if deed.why.is_empty() { String::new() } else { format!(": {}", deed.why) };
    format!(
        "{} {} from {}: {} {}{was}{why}",
        utc_time(deed.at_ms),
        deed.by,
        deed.from,
        deed.action,
        deed.target
    )
}
