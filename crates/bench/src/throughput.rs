//! Jobs per second: enqueued one at a time and in bulk, and worked with a handler that does
//! nothing.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::arena::Arena;
use super::figures::{Spread, count, float, grouped, per_second};
use super::{load, workers};

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
    cost: PerJob,
}

/// Takes the measurement.
pub async fn measure(options: &Options, arena: &mut Arena) -> anyhow::Result<Throughput> {
    let &Options { jobs, gateways, rounds, .. } = options;
    let process = options.concurrency.iter().map(|number| format!("process, {number} at once"));
    let enqueue = ["enqueue, one at a time", "enqueue, 50 at a time"].map(str::to_owned);
    let names: Vec<String> = enqueue.into_iter().chain(process).collect();
    let mut samples: Vec<Vec<Sample>> = names.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        let envelopes = load::envelopes(0..jobs, gateways, Duration::ZERO)?;
        arena.clear().await?;
        let singles = &envelopes[..jobs.min(SINGLES)];
        samples[0].push(
            sample(arena, singles.len(), || load::one_at_a_time(&arena.queue, singles)).await?,
        );
        arena.clear().await?;
        samples[1].push(sample(arena, jobs, || load::enqueue(&arena.queue, &envelopes)).await?);
        for (index, concurrency) in options.concurrency.iter().enumerate() {
            if index > 0 {
                arena.clear().await?;
                load::enqueue(&arena.queue, &envelopes).await?;
            }
            let drain = || workers::drain(&arena.queue, jobs, *concurrency);
            samples[index + 2].push(sample(arena, jobs, drain).await?);
        }
    }
    let phases =
        names.into_iter().zip(samples).map(|(name, samples)| Phase::of(name, &samples)).collect();
    Ok(Throughput { jobs, gateways, rounds, phases })
}

/// Measures the cost of an operation on a number of jobs.
async fn sample<T, F>(
    arena: &Arena,
    jobs: usize,
    work: impl FnOnce() -> F,
) -> anyhow::Result<Sample>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let before = arena.usage().await?;
    let began = Instant::now();
    work().await?;
    let took = began.elapsed();
    let after = arena.usage().await?;
    let cost = PerJob {
        redis_cpu_us: (after.redis_us - before.redis_us) / float(jobs),
        worker_cpu_us: (after.own_us - before.own_us) / float(jobs),
        scripts: (after.scripts - before.scripts) / float(jobs),
    };
    Ok(Sample { per_second: per_second(jobs, took), cost })
}

impl Phase {
    fn of(name: String, samples: &[Sample]) -> Self {
        let spread = |value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value).collect());
        let per_job = PerJob {
            redis_cpu_us: spread(|sample| sample.cost.redis_cpu_us).p50,
            worker_cpu_us: spread(|sample| sample.cost.worker_cpu_us).p50,
            scripts: spread(|sample| sample.cost.scripts).p50,
        };
        Self { name, per_second: spread(|sample| sample.per_second), per_job }
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, gateways, rounds, .. } = self;
        writeln!(
            f,
            "throughput, {} jobs for {gateways} gateways, {rounds} rounds\n{:24} {:>30}   per \
                job: {:>9} {:>10} {:>7}",
            grouped(float(*jobs)),
            "",
            "per second: median (min to max)",
            "Redis CPU",
            "worker CPU",
            "scripts",
        )?;
        for Phase { name, per_second, per_job } in &self.phases {
            let PerJob { redis_cpu_us, worker_cpu_us, scripts } = per_job;
            writeln!(
                f,
                "{name:24} {:>31}            {redis_cpu_us:>6.0} µs {worker_cpu_us:>7.0} µs \
                    {scripts:>7.2}",
                per_second.whole()
            )?;
        }
        Ok(())
    }
}
