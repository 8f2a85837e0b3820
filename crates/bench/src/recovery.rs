//! The time for which a job is stuck after its worker was killed.
//!
//! Each of K worker processes runs one job, for a gateway that accepts connections and never
//! answers. When all run, a worker in this process starts, the processes are killed with `kill -9`,
//! each at a random moment, and the time until each job begins again is measured. Separate
//! processes make the phases of renewing and killing independent of each other. A single survivor
//! is the worst case, because it alone sweeps lost leases.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use mission_jobs::{Envelope, State};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::arena::Arena;
use super::children::Child;
use super::figures::{Spread, count};
use super::load;
use super::workers::{Worker, done};
use crate::error::OrFail;

/// The time at which a process is killed, from when all run. A run gives up after 20 s without an
/// answer, so all kills come before that.
const KILLED_AFTER_MS: std::ops::Range<u64> = 500..17_000;
/// The time within which all jobs must begin.
const BEGUN_WITHIN: Duration = Duration::from_secs(10);
/// The time within which the last job must begin again, after the last kill.
const AGAIN_WITHIN: Duration = Duration::from_secs(120);

/// The options of the measurement.
#[derive(Debug, Args)]
pub struct Options {
    /// The number of worker processes to kill. Each runs one job.
    #[arg(long, value_parser = count, default_value_t = 50)]
    pub workers: usize,
}

/// The result: seconds from the kill until the job's next run began.
#[derive(Debug, Serialize)]
pub struct Recovery {
    workers: usize,
    seconds: Spread,
}

/// Takes the measurement.
pub async fn measure(options: &Options, arena: &mut Arena) -> anyhow::Result<Recovery> {
    let mut children = HashMap::new();
    for number in 0..options.workers {
        let child = Child::start(arena, number, 1).await?;
        children.insert(child.pid, child);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    tasks.spawn(never_answer(listener));

    let job = |number| load::envelope(number, options.workers, Some(&url));
    let jobs = (0..options.workers).map(job).collect::<Result<Vec<_>, _>>()?;
    load::enqueue(&arena.queue, &jobs).await?;
    timeout(BEGUN_WITHIN, all_running(arena, jobs.len()))
        .await
        .context("not every worker took a job; is the machine too busy for so many?")??;

    let (begins, mut begun) = mpsc::unbounded_channel();
    let survivor = Worker::start(&arena.queue, options.workers, move |claimed| {
        // The receiver lives until the worker has stopped.
        let _ = begins.send((claimed.id, Instant::now()));
        std::future::ready(done())
    });
    let killed = kill_all(arena, &jobs, children).await?;
    let mut again = HashMap::new();
    while again.len() < jobs.len() {
        let next = timeout(AGAIN_WITHIN, begun.recv()).await;
        let next = next.context("a job of a killed worker does not run again")?;
        let (id, at) = next.context("the worker ended")?;
        again.entry(id).or_insert(at);
    }
    survivor.stop().await?;
    let mut seconds = Vec::new();
    for (id, killed) in killed {
        check_lost(arena, id).await?;
        seconds.push(again[&id].duration_since(killed).as_secs_f64());
    }
    Ok(Recovery { workers: options.workers, seconds: Spread::of(seconds) })
}

async fn all_running(arena: &Arena, jobs: usize) -> anyhow::Result<()> {
    while arena.queue.counts().await.or_unreachable()?.of(State::Running) < jobs as u64 {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Kills all processes, each at a random moment. Returns their jobs with the times of the kills.
async fn kill_all(
    arena: &Arena,
    jobs: &[Envelope],
    mut children: HashMap<u32, Child>,
) -> anyhow::Result<Vec<(Uuid, Instant)>> {
    let mut kills = JoinSet::new();
    for job in jobs {
        let record = arena.queue.get(job.id).await.or_unreachable()?;
        let worker = record.and_then(|record| record.worker).unwrap_or_default();
        let child = pid(&worker).and_then(|pid| children.remove(&pid));
        let mut child = child.with_context(|| format!("job {} is run by {worker:?}", job.id))?;
        let (id, after) = (job.id, Duration::from_millis(rand::random_range(KILLED_AFTER_MS)));
        kills.spawn(async move {
            sleep(after).await;
            let at = Instant::now();
            child.kill().await.map(|()| (id, at))
        });
    }
    kills.join_all().await.into_iter().collect()
}

/// Returns the process id in a worker's name: `worker run` names it `worker-PID`, and the queue
/// adds `-` and a random part.
fn pid(worker: &str) -> Option<u32> {
    worker.strip_prefix("worker-")?.split('-').next()?.parse().ok()
}

/// Fails unless the job was lost with its worker and then done by another.
async fn check_lost(arena: &Arena, id: Uuid) -> anyhow::Result<()> {
    let record = arena.queue.get(id).await.or_unreachable()?;
    let runs = record.map(|record| record.history).unwrap_or_default();
    let outcomes: Vec<_> = runs.into_iter().map(|run| run.result.outcome).collect();
    if outcomes != ["lost", "done"] {
        bail!("job {id} should have been lost once and then be done, but was {outcomes:?}");
    }
    Ok(())
}

/// Accepts connections, keeps them open and never answers.
async fn never_answer(listener: TcpListener) {
    let mut open = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        open.push(stream);
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { count, min, p50, p90, max, .. } = self.seconds;
        write!(
            f,
            "recovery, {count} workers killed at random moments, one other left; from the kill to \
                the job's next run\n\
             min {min:.1} s   p50 {p50:.1} s   p90 {p90:.1} s   max {max:.1} s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_found_by_its_name() {
        assert_eq!(pid("worker-123-0af3"), Some(123));
        assert_eq!(pid("bench-0af3"), None);
    }
}
