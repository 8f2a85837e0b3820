//! A worker that holds the leases of a great many jobs, all of which run until they are released.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use mission_jobs::Queue;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::arena::Arena;
use super::figures::{float, grouped, per_second};
use super::load;
use super::slow::Slow;
use super::workers::{Tally, Worker, done};

/// The jobs per gateway. More would not all run at once before a gateway has answered, and those of
/// the last slots would not at all.
const PER_GATEWAY: usize = 1;
/// The time within which all jobs must begin, and end: a minimum, and an addition per job.
const WITHIN: Duration = Duration::from_secs(60);
const EACH_WITHIN: Duration = Duration::from_millis(5);

/// The result of the measurement.
#[derive(Debug, Serialize)]
pub struct Held {
    jobs: usize,
    /// The jobs that began. The others did not begin in reasonable time.
    begun: usize,
    hold_seconds: f64,
    begun_per_second: f64,
    ended_per_second: f64,
    /// The runs beyond one per job: leases that were lost although the worker was alive.
    begun_again: usize,
    /// The calls that timed out while all jobs ended at once.
    unanswered: usize,
    /// The CPU usage while all jobs ran, in percent of a core.
    redis_cpu_percent: f64,
    worker_cpu_percent: f64,
    slow_while_beginning: Slow,
    slow_while_running: Slow,
    slow_while_ending: Slow,
}

/// Takes the measurement.
pub async fn measure(jobs: usize, hold: Duration, arena: &Arena) -> anyhow::Result<Held> {
    arena.clear().await?;
    load::fill(&arena.queue, jobs, jobs.div_ceil(PER_GATEWAY), Duration::ZERO).await?;
    Slow::begin(arena).await?;
    let began = Instant::now();
    let (release, released) = watch::channel(false);
    let tally = Tally::of(jobs);
    let counting = tally.clone();
    // Gateways that have not answered have half of the slots at most.
    let worker = Worker::start(&arena.queue, 2 * jobs + 2, move |_| {
        counting.count();
        let mut released = released.clone();
        async move {
            // The sender lives until all have ended.
            let _ = released.wait_for(|released| *released).await;
            done()
        }
    });
    let patience = WITHIN + EACH_WITHIN * u32::try_from(jobs).unwrap_or(u32::MAX);
    // Not in time is a result too.
    let _ = timeout(patience, tally.all()).await;
    let (in_flight, beginning) = (tally.begun(), began.elapsed());
    let slow_while_beginning = Slow::take(arena).await?;

    let (before, began) = (arena.usage().await?, Instant::now());
    sleep(hold).await;
    let (after, holding) = (arena.usage().await?, began.elapsed());
    let slow_while_running = Slow::take(arena).await?;
    let percent = |us: f64| us / holding.as_secs_f64() / 1e4;

    let began = Instant::now();
    release.send_replace(true);
    let unanswered =
        timeout(patience, idle(&arena.queue)).await.context("not all jobs ended in time")?;
    let ending = began.elapsed();
    worker.stop().await?;
    Ok(Held {
        jobs,
        begun: in_flight.min(jobs),
        hold_seconds: holding.as_secs_f64(),
        begun_per_second: per_second(in_flight, beginning),
        ended_per_second: per_second(jobs, ending),
        begun_again: tally.begun().saturating_sub(jobs),
        unanswered,
        redis_cpu_percent: percent(after.redis_us - before.redis_us),
        worker_cpu_percent: percent(after.own_us - before.own_us),
        slow_while_beginning,
        slow_while_running,
        slow_while_ending: Slow::take(arena).await?,
    })
}

/// Waits until all jobs have ended. Returns how often Redis was too busy to answer.
async fn idle(queue: &Queue) -> usize {
    let mut unanswered = 0;
    loop {
        match queue.is_idle().await {
            Ok(true) => return unanswered,
            Ok(false) => {}
            Err(_) => unanswered += 1,
        }
        sleep(Duration::from_millis(50)).await;
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "scale, {} of {} jobs in flight in one worker, held for {:.0} s\n\
             begun {}/s   ended {}/s   run again {}   unanswered calls while ending {}   while \
             held: Redis {:.1} %, worker {:.1} % of a core\n\
             beginning   {}\nheld        {}\nending      {}",
            grouped(float(self.begun)),
            grouped(float(self.jobs)),
            self.hold_seconds,
            grouped(self.begun_per_second),
            grouped(self.ended_per_second),
            grouped(float(self.begun_again)),
            self.unanswered,
            self.redis_cpu_percent,
            self.worker_cpu_percent,
            self.slow_while_beginning,
            self.slow_while_running,
            self.slow_while_ending
        )
    }
}
