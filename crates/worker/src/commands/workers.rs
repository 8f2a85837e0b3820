//! `worker workers`, `worker drain` and `worker undrain`: list workers, and stop one from claiming
//! jobs.

use mission_jobs::queue::WorkerRecord;
use serde_json::json;

use crate::cli::{ApiTarget, OneWorker};
use crate::exit::Exit;
use crate::output::{Output, say};
use crate::queue_client::with_client;
use crate::settings::Settings;
use mission_core::humanize::span;

/// Prints the workers with a heartbeat in the last hour.
pub async fn list(settings: &Settings, output: Output, at: &ApiTarget) -> Result<(), Exit> {
    let (workers, now) = with_client(settings, at, async |client| {
        Ok((client.workers().await?, client.summary().await?.at_ms))
    })
    .await?;
    output.print_all(&workers, |worker| in_words(worker, now));
    if workers.is_empty() {
        say("worker: no worker sent a heartbeat in the last hour");
    }
    Ok(())
}

/// Stops a worker from claiming jobs, or lets it claim again.
pub async fn drain(
    settings: &Settings,
    output: Output,
    OneWorker { at, name, why }: &OneWorker,
    drain: bool,
) -> Result<(), Exit> {
    let changed = with_client(settings, at, async |client| {
        Ok(client.drain(name, drain, &why.reason).await?)
    })
    .await?;
    output.print(&json!({ "worker": name, "draining": drain, "changed": changed }), || {
        match (drain, changed) {
            (true, _) => {
                format!("{name} is draining: it claims no new jobs; running jobs continue.")
            }
            (false, true) => format!("{name} claims jobs again."),
            (false, false) => format!("{name} was not draining."),
        }
    });
    Ok(())
}

/// Describes a worker in one line.
fn in_words(worker: &WorkerRecord, now_ms: u64) -> String {
    let WorkerRecord { name, host, version, pid, running, concurrency, .. } = worker;
    let seen = span(now_ms.saturating_sub(worker.seen_at_ms));
    let state = match (worker.gone, worker.draining) {
        (true, _) => format!("gone, last heartbeat {seen} ago"),
        (false, true) => "draining".to_owned(),
        (false, false) => format!("up {}", span(now_ms.saturating_sub(worker.started_at_ms))),
    };
    format!(
        "{name} on {host}, version {version}, pid {pid}: {running} of {concurrency} slots in use, \
            {state}"
    )
}
