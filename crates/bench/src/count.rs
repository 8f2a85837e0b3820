//! Instructions of Redis per job, counted by callgrind. Unlike times they are the same on a busy
//! machine.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use mission_jobs::private_redis::OPTIONS;
use mission_jobs::{Keep, Queue, Settings};
use serde::Serialize;
use tokio::process::Command;
use tokio::time::sleep;

use super::arena::Arena;
use super::figures::{count, float, grouped};
use super::{load, workers};
use crate::error::OrFail;

/// The time that Redis has to start; callgrind makes it some fifty times slower.
const START_WITHIN: u32 = 600;

/// The options of the measurement.
#[derive(Debug, Args)]
pub struct Options {
    /// The number of jobs per phase.
    #[arg(long, value_parser = count, default_value_t = 2_000)]
    pub jobs: usize,
    /// The number of gateways of these jobs.
    #[arg(long, value_parser = count, default_value_t = 50)]
    pub gateways: usize,
    /// The concurrency of the worker.
    #[arg(long, value_parser = count, default_value_t = 100)]
    pub concurrency: usize,
}

/// The result of the measurement: instructions per job.
#[derive(Debug, Serialize)]
pub struct Counted {
    jobs: usize,
    enqueue_one: usize,
    enqueue_50: usize,
    process: usize,
    process_and_remove: usize,
}

/// A part of the life of a queue that is counted as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Nothing,
    One,
    Fifty,
    Process,
    Remove,
}

/// Takes the measurement: each phase has a Redis of its own, and is compared with the one before.
pub async fn measure(options: &Options, arena: &mut Arena) -> anyhow::Result<Counted> {
    let &Options { jobs, .. } = options;
    let total = async |phase| instructions(arena.dir.path(), options, phase).await;
    let (nothing, one, fifty) =
        (total(Phase::Nothing).await?, total(Phase::One).await?, total(Phase::Fifty).await?);
    let (process, remove) = (total(Phase::Process).await?, total(Phase::Remove).await?);
    let each = |more: usize, less: usize| more.saturating_sub(less) / jobs;
    Ok(Counted {
        jobs,
        enqueue_one: each(one, nothing),
        enqueue_50: each(fifty, nothing),
        process: each(process, fifty),
        process_and_remove: each(remove, fifty),
    })
}

/// Runs a phase, and returns the instructions that Redis has executed from its start to its end.
async fn instructions(dir: &Path, options: &Options, phase: Phase) -> anyhow::Result<usize> {
    let &Options { jobs, gateways, concurrency } = options;
    let (socket, counts) = (dir.join("counted.sock"), dir.join("counts"));
    let mut redis = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg("redis-server")
        .args(OPTIONS.split(' '))
        .args(["--save", "", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(tempfile::tempdir_in(dir)?.keep())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("valgrind did not start; run `apt install valgrind`")
        .or_setup()?;
    let queue = Queue::open(&format!("unix://{}", socket.display()), "bench").or_setup()?;
    let mut tries = 0;
    while let Err(error) = queue.counts().await {
        tries += 1;
        anyhow::ensure!(tries < START_WITHIN, "Redis did not start under valgrind: {error}");
        sleep(Duration::from_millis(100)).await;
    }
    let envelopes = load::envelopes(0..jobs, gateways, Duration::ZERO)?;
    match phase {
        Phase::Nothing => {}
        Phase::One => load::one_at_a_time(&queue, &envelopes).await?,
        _ => drop(load::enqueue(&queue, &envelopes).await?),
    }
    let count = if phase == Phase::Remove { 100 } else { u64::MAX };
    if matches!(phase, Phase::Process | Phase::Remove) {
        // Under callgrind time passes some fifty times faster for Redis: what a worker does every few
        // seconds, whatever runs, must not count as a part of a job.
        let (lease, every) = (Duration::from_secs(4 * 3600), Duration::from_secs(3600));
        let at_leisure = Settings { lease, renew: every, sweep: every, ..Settings::default() };
        let settings = Settings { concurrency, ..at_leisure };
        let keep_ended = Keep { count, ..settings.keep_ended };
        workers::drain_with(&queue, jobs, Settings { keep_ended, ..settings }).await?;
    }
    let client = redis::Client::open(format!("unix://{}", socket.display()))?;
    let mut connection = client.get_multiplexed_async_connection().await.or_unreachable()?;
    // The answer to a successful SHUTDOWN is the end of the connection.
    let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").query_async::<()>(&mut connection).await;
    redis.wait().await?;
    let text = std::fs::read_to_string(&counts).context("the counts of callgrind")?;
    let total = text.lines().find_map(|line| {
        line.strip_prefix("totals: ")
            .or_else(|| line.strip_prefix("summary: "))?
            .trim()
            .parse()
            .ok()
    });
    total.context("callgrind wrote no total")
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "instructions of Redis per job, {} jobs", grouped(float(self.jobs)))?;
        for (name, instructions) in [
            ("enqueue, one at a time", self.enqueue_one),
            ("enqueue, 50 at a time", self.enqueue_50),
            ("claim and end, none removed", self.process),
            ("claim and end, an old one removed", self.process_and_remove),
        ] {
            writeln!(f, "{name:36} {:>10}", grouped(float(instructions)))?;
        }
        Ok(())
    }
}
