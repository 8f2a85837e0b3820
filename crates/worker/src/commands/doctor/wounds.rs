//! Checks for keys of the queue that were removed or spoilt, and repairs them.

use mission_jobs::Queue;
use mission_jobs::queue::{QueueError, Wounds};

use super::{Finding, Grade};
use crate::queue_client::redis::author;
use mission_core::humanize::count;

/// The most keys and entries that are named.
const MOST_NAMED: usize = 20;

/// Reports what is to be repaired.
pub async fn check(queue: &Queue) -> Result<Option<Finding>, QueueError> {
    let wounds = queue.wounds().await?;
    if wounds.is_empty() {
        return Ok(None);
    }
    let part = if wounds.complete { "" } else { " (only a part of the keys was looked at)" };
    let says = format!("keys were removed or spoilt: {}{part}", in_words(&wounds));
    let remedy = "`worker doctor --repair` repairs them while workers run; find out who writes to \
        these keys, or whether Redis evicts them";
    Ok(Some(Finding::new("keys", Grade::Failed, says).remedy(remedy)))
}

/// Repairs them, and reports what was repaired.
pub async fn repair(queue: &Queue) -> Result<Finding, QueueError> {
    let wounds = queue.repair(&author()).await?;
    let mut says = if wounds.is_empty() {
        "nothing was to be repaired".to_owned()
    } else {
        format!("repaired: {}", in_words(&wounds))
    };
    if !wounds.uncounted.is_empty() {
        let gateways = count(wounds.uncounted.len() as u64, "gateway");
        says =
            format!("{says}; the jobs of {gateways} were not counted, because they are too many");
    }
    let finding = Finding::new("repair", Grade::Ok, says);
    if wounds.found.keys().any(|kind| kind == "types" || kind == "unreadable") {
        let remedy = format!(
            "what was in the way is kept in the keys {{{0}}}:wrong:TIME:KEY and in the hash \
                {{{0}}}:unreadable; look at it, then remove it",
            queue.name()
        );
        return Ok(finding.remedy(remedy));
    }
    Ok(finding)
}

fn in_words(wounds: &Wounds) -> String {
    let mut says = wounds.in_words().join("; ");
    let named: Vec<&str> = wounds.about.iter().map(String::as_str).take(MOST_NAMED).collect();
    if !named.is_empty() {
        let more = wounds.about.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        says = format!("{says} ({}{more})", named.join(", "));
    }
    says
}
