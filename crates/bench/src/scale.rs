//! A great many jobs at once: waiting, due at the same moment, and running.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::arena::Arena;
use super::figures::{count, float, grouped, per_second};
use super::held::{self, Held};
use super::slow::Slow;
use super::{load, workers};

/// A delay that makes jobs scheduled, and is over when the worker starts.
const SCHEDULED: Duration = Duration::from_millis(1);

/// The options of the measurement.
#[derive(Debug, Args)]
pub struct Options {
    /// The number of jobs that are due at once. 0 skips this part.
    #[arg(long, default_value_t = 100_000)]
    pub jobs: usize,
    /// The number of gateways of these jobs.
    #[arg(long, value_parser = count, default_value_t = 1000)]
    pub gateways: usize,
    /// The concurrency of the worker.
    #[arg(long, value_parser = count, default_value_t = 100)]
    pub concurrency: usize,
    /// The number of jobs that run at the same time in one worker. 0 skips this part.
    #[arg(long, default_value_t = 100_000)]
    pub in_flight: usize,
    /// The seconds for which they run.
    #[arg(long, default_value_t = 30)]
    pub hold: u64,
}

/// The result of the measurement.
#[derive(Debug, Serialize)]
pub struct Scale {
    backlogs: Vec<Backlog>,
    held: Option<Held>,
}

/// A backlog that existed before the worker started.
#[derive(Debug, Serialize)]
struct Backlog {
    jobs: usize,
    gateways: usize,
    concurrency: usize,
    /// The first state of the jobs: ready, or scheduled and then due all at once.
    state: &'static str,
    enqueued_per_second: f64,
    drained_per_second: f64,
    bytes_per_job: f64,
    bytes_per_ended_job: f64,
    slow: Slow,
}

/// Takes the measurement.
pub async fn measure(options: &Options, arena: &mut Arena) -> anyhow::Result<Scale> {
    let mut backlogs = Vec::new();
    if options.jobs > 0 {
        backlogs.push(backlog(options, arena, "ready", Duration::ZERO).await?);
        backlogs.push(backlog(options, arena, "scheduled", SCHEDULED).await?);
    }
    let span = Duration::from_secs(options.hold);
    let mut held = None;
    if options.in_flight > 0 {
        held = Some(held::measure(options.in_flight, span, arena).await?);
    }
    Ok(Scale { backlogs, held })
}

async fn backlog(
    options: &Options,
    arena: &Arena,
    state: &'static str,
    delay: Duration,
) -> anyhow::Result<Backlog> {
    let &Options { jobs, gateways, concurrency, .. } = options;
    arena.clear().await?;
    Slow::begin(arena).await?;
    let empty = arena.memory().await?;
    let enqueueing = load::fill(&arena.queue, jobs, gateways, delay).await?;
    let full = arena.memory().await?;
    let began = Instant::now();
    workers::drain(&arena.queue, jobs, concurrency).await?;
    let draining = began.elapsed();
    Ok(Backlog {
        jobs,
        gateways,
        concurrency,
        state,
        enqueued_per_second: per_second(jobs, enqueueing),
        drained_per_second: per_second(jobs, draining),
        bytes_per_job: (full - empty) / float(jobs),
        bytes_per_ended_job: (arena.memory().await? - empty) / float(jobs),
        slow: Slow::take(arena).await?,
    })
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backlogs = self.backlogs.iter().map(ToString::to_string);
        let parts: Vec<String> = backlogs.chain(self.held.as_ref().map(Held::to_string)).collect();
        f.write_str(&parts.join("\n"))
    }
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateways, concurrency, state, bytes_per_job, bytes_per_ended_job, .. } = self;
        write!(
            f,
            "scale, {} jobs {state} at once, for {gateways} gateways, {concurrency} at once\n\
             enqueued {}/s   drained {}/s   Redis memory per job: {} bytes, once ended {}\n{}",
            grouped(float(self.jobs)),
            grouped(self.enqueued_per_second),
            grouped(self.drained_per_second),
            grouped(*bytes_per_job),
            grouped(*bytes_per_ended_job),
            self.slow
        )
    }
}
