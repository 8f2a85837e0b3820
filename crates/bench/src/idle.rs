//! The cost of a worker without jobs, with Redis up and with Redis down.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use super::arena::Arena;
use super::children::Child;
use super::process;

/// The time before each measurement, in which a worker starts or notices that Redis is down.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The options of the measurement.
#[derive(Debug, Args)]
pub struct Options {
    /// The seconds for each of the two measurements.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

/// The cost of one `worker run`.
#[derive(Debug, Serialize)]
pub struct Idle {
    seconds: u64,
    /// The CPU usage in percent of a core. The kernel counts in steps of 10 ms.
    cpu_percent: f64,
    cpu_percent_without_redis: f64,
    /// The CPU usage of the Redis at the same time.
    redis_cpu_percent: f64,
    resident_mib: f64,
}

/// Takes the measurement.
pub async fn measure(options: &Options, arena: &mut Arena) -> anyhow::Result<Idle> {
    let span = Duration::from_secs(options.seconds);
    let mut child = Child::start(arena, 0, 16).await?;
    sleep(SETTLED_AFTER).await;
    let before = arena.usage().await?;
    let cpu_percent = cpu_percent(child.pid, span).await?;
    let redis_us = arena.usage().await?.redis_us - before.redis_us;
    let kib = process::resident_kib(child.pid)?;
    arena.stop_redis().await;
    sleep(SETTLED_AFTER).await;
    let without = self::cpu_percent(child.pid, span).await?;
    child.kill().await?;
    Ok(Idle {
        seconds: options.seconds,
        cpu_percent,
        cpu_percent_without_redis: without,
        redis_cpu_percent: redis_us / span.as_secs_f64() / 1e4,
        resident_mib: f64::from(kib) / 1024.0,
    })
}

async fn cpu_percent(pid: u32, span: Duration) -> anyhow::Result<f64> {
    let (before, began) = (process::cpu(pid)?, Instant::now());
    sleep(span).await;
    let used = process::cpu(pid)?.as_secs_f64() - before.as_secs_f64();
    Ok(used / began.elapsed().as_secs_f64() * 100.0)
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, cpu_percent: with, cpu_percent_without_redis: without, .. } = self;
        let Self { redis_cpu_percent: redis, resident_mib: memory, .. } = self;
        write!(
            f,
            "idle, one `worker run` for {seconds} s each\n\
             CPU {with:.2} % of a core (its Redis {redis:.2} %), with Redis down {without:.2} %; \
             memory {memory:.1} MiB"
        )
    }
}
