//! The checks that are possible while some shards of the queue cannot be reached.

use std::time::Duration;

use mission_jobs::Queue;
use mission_jobs::queue::PlainSecrets;

use super::{Finding, Grade, drained, of_server, paused, secrets, worker};
use crate::exit::Exit;
use crate::open_queue::Store;
use crate::settings::Settings;

/// The longest time that a shard may take to answer, with the connections to the nodes of a
/// cluster.
const PATIENCE: Duration = Duration::from_secs(6);

/// Returns the numbers of the shards that cannot be reached, in a queue with several. Fails if the
/// queue has another number of shards.
pub async fn away(queue: &Queue) -> Result<Vec<usize>, Exit> {
    if queue.shard_count() == 1 {
        return Ok(Vec::new());
    }
    Ok(queue.shards_away(PATIENCE).await)
}

/// Reports these shards, and checks what is possible without them.
pub async fn check(
    settings: &Settings,
    store: &Store,
    away: &[usize],
    repair: bool,
) -> Vec<Finding> {
    let (queue, private) = (&store.queue, store.private_url.is_some());
    let all = queue.shard_count();
    let numbers: Vec<String> = away.iter().map(ToString::to_string).collect();
    let says = format!(
        "{} of {all} shards cannot be reached, {} can; these cannot: {}",
        away.len(),
        all - away.len(),
        numbers.join(", ")
    );
    let missing = Finding::new("shards", Grade::Failed, says).remedy(
        "check the masters of the cluster with `redis-cli --cluster check HOST:PORT`; jobs of \
            other shards go on meanwhile",
    );
    let mut findings = vec![missing];
    if !away.contains(&0) {
        if let Ok(server) = queue.server().await {
            findings.extend(of_server(&server, private));
        }
        findings.extend(queue.paused().await.iter().flatten().map(paused));
        findings.extend(queue.workers().await.iter().flatten().filter_map(drained));
    }
    // Records and documents are in all shards.
    let unread = PlainSecrets { found: 0, looked_at: 0, complete: true };
    findings.push(secrets(settings, private, (0, 0), unread));
    findings.push(worker(settings).await);
    let repaired = if repair { "; nothing was repaired" } else { "" };
    let says = format!(
        "keys, jobs, clock, gateways and slots were not checked, because that needs all \
            shards{repaired}"
    );
    findings.push(Finding::new("queue", Grade::Warning, says));
    findings
}
