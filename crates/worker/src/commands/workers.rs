//! `worker workers`, `worker drain`, `worker undrain`: who takes jobs, and who shall take no more.

use mission_jobs::queue::WorkerRecord;
use serde_json::json;

use crate::cli::ApiTarget;
use crate::exit::Exit;
use crate::humanize::span;
use crate::output::{Output, say};
use crate::queue_client::{Console, ConsoleError};
use crate::settings::Settings;

/// Lists workers.
pub async fn list(settings: &Settings, output: Output, at: &ApiTarget) -> Result<(), Exit> {
    let console = Console::open(settings, at.api.as_deref()).await?;
    let found = async { Ok((console.workers().await?, console.summary().await?.at_ms)) }.await;
    console.close().await;
    let (workers, now) = found.map_err(ConsoleError::exit)?;
    for worker in &workers {
        output.print(worker, || in_words(worker, now));
    }
    if workers.is_empty() {
        say("worker: no worker has been heard of in the last hour");
    }
    Ok(())
}

/// Has a worker take no more jobs, or take them again.
pub async fn drain(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    name: &str,
    reason: &str,
    drain: bool,
) -> Result<(), Exit> {
    let console = Console::open(settings, at.api.as_deref()).await?;
    let done = console.drain(name, drain, reason).await;
    console.close().await;
    let changed = done.map_err(ConsoleError::exit)?;
    output.print(&json!({ "worker": name, "draining": drain, "changed": changed }), || {
        match (drain, changed) {
            (true, _) => format!("{name} takes no more jobs; those that it runs go on"),
            (false, true) => format!("{name} takes jobs again"),
            (false, false) => format!("{name} was not drained"),
        }
    });
    Ok(())
}

/// A worker on a line.
fn in_words(worker: &WorkerRecord, now_ms: u64) -> String {
    let WorkerRecord { name, host, version, pid, running, concurrency, .. } = worker;
    let seen = span(now_ms.saturating_sub(worker.seen_at_ms));
    let state = match (worker.gone, worker.draining) {
        (true, _) => format!("gone, last heard of {seen} ago"),
        (false, true) => "drains: takes no more jobs".to_owned(),
        (false, false) => format!("up {}", span(now_ms.saturating_sub(worker.started_at_ms))),
    };
    format!(
        "{name} on {host}, version {version}, process {pid}: runs {running} of {concurrency}, \
            {state}"
    )
}
