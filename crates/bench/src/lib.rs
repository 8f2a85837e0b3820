//! The measurements of `worker bench`: the speed and the size of the queue on this machine, and
//! the time to recover from lost workers.
//!
//! Each measurement has a private Redis of its own in a temporary directory, so it never touches
//! the configured queue. Gateways take no part: handlers do nothing, or what they call never
//! answers.

mod arena;
mod children;
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

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use arena::Arena;
pub use children::{Launch, WorkerProcess};
pub use error::BenchError;
use error::OrFail as _;
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
                let result =
                    Arena::with(bench, async |arena| throughput::measure(options, arena).await)
                        .await?;
                Measured::new("throughput", &result, result.table())
            }
            Self::Latency(options) => {
                let result =
                    Arena::with(bench, async |arena| latency::measure(options, arena).await)
                        .await?;
                Measured::new("latency", &result, result.table())
            }
            Self::Scale(options) => {
                let result =
                    Arena::with(bench, async |arena| scale::measure(options, arena).await).await?;
                Measured::new("scale", &result, result.table())
            }
            Self::Recovery(options) => {
                let result =
                    Arena::with(bench, async |arena| recovery::measure(options, arena).await)
                        .await?;
                Measured::new("recovery", &result, result.table())
            }
            Self::Idle(options) => {
                let result =
                    Arena::with(bench, async |arena| idle::measure(options, arena).await).await?;
                Measured::new("idle", &result, result.table())
            }
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
        let machine = Arena::with(self, async |arena| Machine::look(arena).await).await?;
        Measured::new("machine", &machine, machine.table())
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

impl Measured {
    fn new(name: &str, result: &impl Serialize, table: String) -> Result<Self, BenchError> {
        let figures = serde_json::to_value(result).or_failed()?;
        Ok(Self { document: json!({ name: figures }), table })
    }
}
