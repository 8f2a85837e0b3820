//! The time until an idle worker begins an enqueued job.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::arena::Arena;
use super::figures::{Spread, count, millis};
use super::load;
use super::workers::{Worker, done};
use crate::error::OrFail;

/// The time without jobs after which a worker counts as idle.
const UNTIL_IDLE: Duration = Duration::from_millis(10);
/// The default concurrency of a worker.
const CONCURRENCY: usize = 16;

/// The options of the measurement.
#[derive(Debug, Args)]
pub struct Options {
    /// The number of jobs, which are enqueued one after another.
    #[arg(long, value_parser = count, default_value_t = 300)]
    pub jobs: usize,
}

/// The result: milliseconds from before the call to enqueue until the handler is called.
#[derive(Debug, Serialize)]
pub struct Latency {
    milliseconds: Spread,
}

/// Takes the measurement.
pub async fn measure(options: &Options, arena: &mut Arena) -> anyhow::Result<Latency> {
    let (begins, mut runs) = mpsc::unbounded_channel();
    let worker = Worker::start(&arena.queue, CONCURRENCY, move |_| {
        // The receiver lives until the worker has stopped.
        let _ = begins.send(Instant::now());
        std::future::ready(done())
    });
    let mut values = Vec::new();
    // The first one loads the scripts and is not counted.
    for number in 0..=options.jobs {
        sleep(UNTIL_IDLE).await;
        let job = load::envelope(number, 50, None)?;
        let before = Instant::now();
        arena.queue.enqueue(&[job]).await.or_unreachable()?;
        let begun = runs.recv().await.context("the worker ended")?;
        if number > 0 {
            values.push(millis(begun - before));
        }
    }
    worker.stop().await?;
    Ok(Latency { milliseconds: Spread::of(values) })
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { count, p50, p95, p99, max, .. } = self.milliseconds;
        write!(
            f,
            "latency, {count} jobs one after another, from enqueueing to the handler of an idle \
                worker\n\
             p50 {p50:.2} ms   p95 {p95:.2} ms   p99 {p99:.2} ms   max {max:.2} ms"
        )
    }
}
