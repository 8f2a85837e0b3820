//! Jobs per second: enqueued one at a time and in bulk, and worked with a handler that does
//! nothing.

use std::fmt::Write;
use std::time::{Duration, Instant};

use clap::Args;
use mission_jobs::Envelope;
use serde::Serialize;

use super::arena::{Arena, Usage};
use super::figures::{Spread, count, float, grouped, per_second};
use super::{load, workers};
use crate::error::{BenchError, OrFail};

/// The most jobs that are enqueued one at a time.
const SINGLES: usize = 2000;

/// The options of the measurement.
#[derive(Debug, Args)]
pub struct Options {
    /// The number of jobs per round.
    #[arg(long, value_parser = count, default_value_t = 20_000)]
    pub jobs: usize,
    /// The number of gateways of these jobs.
    #[arg(long, value_parser = count, default_value_t = 50)]
    pub gateways: usize,
    /// The concurrency of the worker. Several values, separated by commas, are measured in turn.
    #[arg(long, value_parser = count, value_delimiter = ',', default_values_t = [10, 100])]
    pub concurrency: Vec<usize>,
    /// The number of rounds.
    #[arg(long, value_parser = count, default_value_t = 3)]
    pub rounds: usize,
}

/// The result of the measurement.
#[derive(Debug, Serialize)]
pub struct Throughput {
    jobs: usize,
    gateways: usize,
    rounds: usize,
    phases: Vec<Phase>,
}

/// The figures of one way of moving jobs.
#[derive(Debug, Serialize)]
struct Phase {
    name: String,
    per_second: Spread,
    per_job: PerJob,
}

/// The cost of a job, as medians.
#[derive(Debug, Serialize)]
struct PerJob {
    redis_cpu_us: f64,
    worker_cpu_us: f64,
    scripts: f64,
}

/// The figures of one phase of one round.
struct Sample {
    per_second: f64,
    cost: [f64; 3],
}

/// Takes the measurement.
pub async fn measure(options: &Options, arena: &Arena) -> Result<Throughput, BenchError> {
    let &Options { jobs, gateways, rounds, .. } = options;
    let mut names = vec!["enqueue, one at a time".to_owned(), "enqueue, 50 at a time".to_owned()];
    names.extend(
        options.concurrency.iter().map(|concurrency| format!("process, {concurrency} at once")),
    );
    let mut samples: Vec<Vec<Sample>> = names.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        let envelopes = load::envelopes(jobs, gateways, Duration::ZERO)?;
        arena.clear().await?;
        let singles = &envelopes[..jobs.min(SINGLES)];
        samples[0].push(sample(arena, singles.len(), || one_at_a_time(arena, singles)).await?);
        arena.clear().await?;
        samples[1].push(
            sample(arena, jobs, || async { load::enqueue(&arena.queue, &envelopes).await }).await?,
        );
        for (index, concurrency) in options.concurrency.iter().enumerate() {
            if index > 0 {
                arena.clear().await?;
                load::enqueue(&arena.queue, &envelopes).await?;
            }
            samples[index + 2].push(
                sample(arena, jobs, || workers::drain(&arena.queue, jobs, *concurrency)).await?,
            );
        }
    }
    let phases =
        names.into_iter().zip(samples).map(|(name, samples)| Phase::of(name, &samples)).collect();
    Ok(Throughput { jobs, gateways, rounds, phases })
}

async fn one_at_a_time(arena: &Arena, jobs: &[Envelope]) -> Result<(), BenchError> {
    for job in jobs {
        arena.queue.enqueue(std::slice::from_ref(job)).await.or_unreachable()?;
    }
    Ok(())
}

/// Measures the cost of an operation on a number of jobs.
async fn sample<T, F>(
    arena: &Arena,
    jobs: usize,
    work: impl FnOnce() -> F,
) -> Result<Sample, BenchError>
where
    F: Future<Output = Result<T, BenchError>>,
{
    let Usage { redis_us, own_us, scripts } = arena.usage().await?;
    let began = Instant::now();
    work().await?;
    let took = began.elapsed();
    let after = arena.usage().await?;
    let cost = [after.redis_us - redis_us, after.own_us - own_us, after.scripts - scripts];
    Ok(Sample { per_second: per_second(jobs, took), cost: cost.map(|cost| cost / float(jobs)) })
}

impl Phase {
    fn of(name: String, samples: &[Sample]) -> Self {
        let median = |which: usize| {
            Spread::of(samples.iter().map(|sample| sample.cost[which]).collect()).p50
        };
        Self {
            name,
            per_second: Spread::of(samples.iter().map(|sample| sample.per_second).collect()),
            per_job: PerJob {
                redis_cpu_us: median(0),
                worker_cpu_us: median(1),
                scripts: median(2),
            },
        }
    }
}

impl Throughput {
    /// Formats the result for people.
    pub fn table(&self) -> String {
        let Self { jobs, gateways, rounds, .. } = self;
        let mut text = format!(
            "throughput, {} jobs for {gateways} gateways, {rounds} rounds\n{:24} {:>30}   per \
                job: {:>9} {:>10} {:>7}\n",
            grouped(float(*jobs)),
            "",
            "per second: median (min to max)",
            "Redis CPU",
            "worker CPU",
            "scripts",
        );
        for Phase { name, per_second, per_job } in &self.phases {
            let PerJob { redis_cpu_us, worker_cpu_us, scripts } = per_job;
            let _ = writeln!(
                text,
                "{name:24} {:>31}            {redis_cpu_us:>6.0} µs {worker_cpu_us:>7.0} µs \
                    {scripts:>7.2}",
                per_second.whole()
            );
        }
        text
    }
}
