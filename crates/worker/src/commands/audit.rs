//! `worker audit`: lists the actions of operators.

use mission_jobs::queue::AuditEntry;

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
            let page = client.audit(after.as_deref(), left).await?;
            output.print_all(&page, line);
            left = left.saturating_sub(page.len());
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
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
