//! The measurements of `worker bench`: the speed and the size of the queue on this machine, and
//! the time to recover from lost workers.
//!
//! Each measurement has a private Redis of its own in a temporary directory, so it never touches
//! the configured queue. Gateways take no part: handlers do nothing, or what they call never
//! answers.

mod arena;
mod children;
mod count;
mod error;
mod figures;
mod held;
mod idle;
mod latency;
mod load;
mod machine;
mod process;
mod recovery;
mod scale;
mod slow;
mod throughput;
mod workers;

use std::fmt::Display;

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use arena::Arena;
pub use children::{Launch, WorkerProcess};
pub use error::BenchError;
use machine::Machine;

/// The measurements.
#[derive(Debug, Subcommand)]
pub enum Measure {
    /// Jobs enqueued and worked per second, with a handler that does nothing.
    Throughput(throughput::Options),
    /// Time from enqueueing a job until an idle worker begins it.
    Latency(latency::Options),
    /// Many jobs at once, waiting and running: longest scripts, memory, drain rate.
    Scale(scale::Options),
    /// Time from `kill -9` of a worker until its job runs again.
    Recovery(recovery::Options),
    /// CPU and memory of a worker without jobs, with Redis and without.
    Idle(idle::Options),
    /// Instructions of Redis per job, counted by valgrind; some minutes.
    Count(count::Options),
}

impl Measure {
    /// Returns all measurements, in sizes that take less than three minutes together.
    #[must_use]
    pub fn all() -> [Self; 5] {
        [
            Self::Throughput(throughput::Options {
                jobs: 10_000,
                gateways: 50,
                concurrency: vec![10, 100],
                rounds: 3,
            }),
            Self::Latency(latency::Options { jobs: 300 }),
            Self::Scale(scale::Options {
                jobs: 20_000,
                gateways: 1000,
                concurrency: 100,
                in_flight: 10_000,
                hold: 10,
            }),
            Self::Recovery(recovery::Options { workers: 20 }),
            Self::Idle(idle::Options { seconds: 10 }),
        ]
    }

    /// Takes the measurement in an arena of its own.
    pub async fn run(&self, bench: &Bench) -> Result<Measured, BenchError> {
        match self {
            Self::Throughput(options) => {
                bench.take("throughput", options, throughput::measure).await
            }
            Self::Latency(options) => bench.take("latency", options, latency::measure).await,
            Self::Scale(options) => bench.take("scale", options, scale::measure).await,
            Self::Recovery(options) => bench.take("recovery", options, recovery::measure).await,
            Self::Idle(options) => bench.take("idle", options, idle::measure).await,
            Self::Count(options) => bench.take("count", options, count::measure).await,
        }
    }
}

/// The parts of the calling program that measurements need.
pub struct Bench {
    /// True once the user stops the program.
    pub stopping: watch::Receiver<bool>,
    /// Makes the command that starts a worker as a process of its own.
    pub launch: Launch,
}

impl Bench {
    /// Describes the machine and the versions.
    pub async fn machine(&self) -> Result<Measured, BenchError> {
        self.take("machine", &(), Machine::look).await
    }

    async fn take<O, T: Serialize + Display>(
        &self,
        name: &str,
        options: &O,
        measure: impl AsyncFnOnce(&O, &mut Arena) -> anyhow::Result<T>,
    ) -> Result<Measured, BenchError> {
        let result = Arena::with(self, async |arena| measure(options, arena).await).await?;
        Ok(Measured { document: json!({ name: result }), table: result.to_string() })
    }
}

/// The result of a measurement.
#[derive(Debug)]
pub struct Measured {
    /// The figures, as the one member of an object that names the measurement.
    pub document: Value,
    /// The same for people.
    pub table: String,
}
