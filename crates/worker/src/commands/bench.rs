//! `worker bench`: how fast the queue is on this machine, how large it can be, and how soon it gets
//! over lost workers.
//!
//! Each measurement has a private Redis of its own in a temporary directory, so it never touches
//! the configured queue. Gateways take no part: handlers do nothing, or what they call never
//! answers.

mod arena;
mod children;
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
use serde_json::json;
use tokio::sync::watch;

use crate::commands::run::watch_signals;
use crate::exit::Exit;
use crate::output::{Output, say};
use arena::Arena;
use machine::Machine;

/// What can be measured.
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
    /// Everything, in sizes that take less than three minutes together.
    fn all() -> [Self; 5] {
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

    async fn run(&self, output: Output, stopping: watch::Receiver<bool>) -> Result<(), Exit> {
        match self {
            Self::Throughput(options) => {
                let result =
                    Arena::with(stopping, async |arena| throughput::measure(options, arena).await)
                        .await?;
                print(output, "throughput", &result, || result.table());
            }
            Self::Latency(options) => {
                let result =
                    Arena::with(stopping, async |arena| latency::measure(options, arena).await)
                        .await?;
                print(output, "latency", &result, || result.table());
            }
            Self::Scale(options) => {
                let result =
                    Arena::with(stopping, async |arena| scale::measure(options, arena).await)
                        .await?;
                print(output, "scale", &result, || result.table());
            }
            Self::Recovery(options) => {
                let result =
                    Arena::with(stopping, async |arena| recovery::measure(options, arena).await)
                        .await?;
                print(output, "recovery", &result, || result.table());
            }
            Self::Idle(options) => {
                let result =
                    Arena::with(stopping, async |arena| idle::measure(options, arena).await)
                        .await?;
                print(output, "idle", &result, || result.table());
            }
        }
        Ok(())
    }
}

/// Runs the command: one measurement, or all of them.
pub async fn run(output: Output, measure: Option<Measure>) -> Result<(), Exit> {
    let (stop, stopping) = watch::channel(false);
    watch_signals(stop)?;
    let machine = Arena::with(stopping.clone(), async |arena| Machine::look(arena).await).await?;
    print(output, "machine", &machine, || machine.table());
    let measures = measure.map_or_else(|| Measure::all().into(), |one| vec![one]);
    for measure in &measures {
        say(&format!("bench: measuring {measure:?}"));
        measure.run(output, stopping.clone()).await?;
    }
    Ok(())
}

/// One document per measurement, or one table.
fn print(output: Output, name: &str, result: &impl Serialize, table: impl FnOnce() -> String) {
    output.print(&json!({ name: result }), || format!("{}\n\n", table()));
}
