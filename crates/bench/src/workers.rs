//! Workers within this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use apalis::prelude::{WorkerBuilder, WorkerContext, WorkerError};
use mission_core::{Outcome, Report};
use mission_jobs::{Claimed, Queue, RunResult, Settings};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::error::OrFail;

/// The interval of checks whether all jobs have ended, once the last has begun.
const LOOK: Duration = Duration::from_millis(1);

/// A running worker with default settings. Dropping it ends it as `kill -9` would.
pub struct Worker {
    context: WorkerContext,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    /// Starts a worker in this process.
    pub fn start<F>(
        queue: &Queue,
        concurrency: usize,
        handler: impl Fn(Claimed) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = RunResult> + Send + 'static,
    {
        Self::with(queue, Settings { concurrency, ..Settings::default() }, handler)
    }

    fn with<F>(
        queue: &Queue,
        settings: Settings,
        handler: impl Fn(Claimed) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = RunResult> + Send + 'static,
    {
        let context = WorkerContext::new("bench");
        let worker = WorkerBuilder::new(&context).backend(queue.consumer(settings)).build(handler);
        Self { context, task: tokio::spawn(worker.run()) }
    }

    /// Stops the worker and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // It fails only if the worker has ended, which the task tells better.
        let _ = self.context.stop();
        (&mut self.task).await?.context("the worker ended")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the result of a job that did nothing.
pub fn done() -> RunResult {
    let report = Report { summary: "nothing to change".to_owned(), ..Report::default() };
    Outcome::Done(Box::new(report)).into()
}

/// A count of the runs that have begun.
#[derive(Default)]
pub struct Tally {
    begun: AtomicUsize,
    expected: usize,
    all: Notify,
}

impl Tally {
    /// Makes a counter that waits for a number of runs.
    pub fn of(expected: usize) -> Arc<Self> {
        Arc::new(Self { expected, ..Self::default() })
    }

    /// Counts a run that has begun.
    pub fn count(&self) {
        if self.begun.fetch_add(1, Ordering::Relaxed) + 1 == self.expected {
            self.all.notify_one();
        }
    }

    /// Returns the number of runs that have begun.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits until all runs have begun.
    pub async fn all(&self) {
        self.all.notified().await;
    }
}

/// Works a number of jobs off with a handler that does nothing, until Redis has the end of each.
pub async fn drain(queue: &Queue, jobs: usize, concurrency: usize) -> anyhow::Result<()> {
    drain_with(queue, jobs, Settings { concurrency, ..Settings::default() }).await
}

/// Works off as [`drain`], with these settings.
pub async fn drain_with(queue: &Queue, jobs: usize, settings: Settings) -> anyhow::Result<()> {
    let tally = Tally::of(jobs);
    let counting = tally.clone();
    let worker = Worker::with(queue, settings, move |_| {
        counting.count();
        std::future::ready(done())
    });
    tally.all().await;
    while !queue.is_idle().await.or_unreachable()? {
        sleep(LOOK).await;
    }
    worker.stop().await
}
