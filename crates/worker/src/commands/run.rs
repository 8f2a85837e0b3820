//! `worker run`: claims jobs and runs them.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{Data, WorkerBuilder};
use mission_core::Backoff;
use mission_core::apply::Applier;
use mission_http::proxy::Proxies;
use mission_http::{AccessSettings, Door, ServerSettings};
use mission_jobs::queue::evicts;
use mission_jobs::{Claimed, Keep, Queue, RetryPolicy, RunResult, State};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::commands::{NO_EVICTION_REMEDY, applier};
use crate::events::{RunEnded, RunStarted, WorkerStarted};
use crate::exit::{Exit, OrExit};
use crate::metrics::Metrics;
use crate::open_queue::{Store, with_store};
use crate::output::say;
use crate::settings::Settings;
use crate::traces;
use mission_jobs::private_redis::RedisRole;

/// Interval of the checks whether the queue is idle.
const IDLE_CHECK: Duration = Duration::from_millis(200);

/// The delays until Redis answers for the first time.
const REDIS_AWAY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Runs jobs until a signal, or until the queue is idle if `until_idle` is set.
pub async fn run(settings: &Settings, until_idle: bool) -> Result<(), Exit> {
    let (stop, stopping) = watch::channel(false);
    watch_signals(stop.clone())?;
    with_store(settings, RedisRole::Worker, async |Store { queue, .. }| {
        let dead_before = if until_idle { dead(queue, stopping.clone()).await? } else { 0 };
        if until_idle {
            tokio::spawn(stop_when_idle(queue.clone(), stop));
        }
        work(settings, queue.clone(), stopping, print_sign_in_link).await?;
        let failed = until_idle && has_failed(queue, dead_before).await;
        if failed { Err(Exit::FAILED) } else { Ok(()) }
    })
    .await
}

/// Prints a sign-in link for a person who started the worker by hand. The log does not contain the
/// link, because its readers may not have admin permissions.
fn print_sign_in_link(door: &Door) {
    if std::io::stderr().is_terminal() {
        say(&format!(
            "worker: sign in to the dashboard with this link, which works once: {}",
            door.link()
        ));
    }
}

/// Serves HTTP and runs jobs until `stopping` is true. Calls `started` with the HTTP address.
pub async fn work(
    settings: &Settings,
    queue: Queue,
    stopping: watch::Receiver<bool>,
    started: impl FnOnce(&Door),
) -> Result<(), Exit> {
    let applier = Arc::new(applier(settings)?);
    if settings.keyring.is_empty() {
        warn!(
            "no secrets.key (MISSION_SECRET_KEY): Redis contains tokens in plain text; create a \
                key with `worker key new`"
        );
    }
    let metrics = Metrics::install(applier.clone())?;
    let traces =
        traces::Target::read(|name| std::env::var(name).ok()).or_usage()?.map(traces::start);
    let server = ServerSettings {
        addr: settings.http_addr,
        data_dir: settings.data_dir.clone(),
        access: access(settings),
    };
    let counted = queue.clone();
    let process_metrics = Box::new(move || metrics.render(&counted));
    let door = mission_http::serve(&server, queue.clone(), process_metrics, stopping.clone());
    let door = door.await.or_usage()?;
    WorkerStarted {
        queue: queue.name(),
        concurrency: settings.concurrency,
        http: door.addr.to_string(),
    }
    .emit();
    started(&door);
    check_redis(settings.allow_eviction, &queue, stopping.clone()).await?;

    let name = format!("worker-{}", std::process::id());
    let worker = WorkerBuilder::new(name.as_str())
        .backend(queue.consumer(consumer_settings(settings)))
        .enable_tracing()
        .data(applier)
        .build(handle);
    let stop = async move {
        let mut stopping = stopping;
        // The sender lives as long as the process listens to signals.
        let _ = stopping.wait_for(|stop| *stop).await;
        info!("stopping: no new jobs are claimed, running jobs finish");
        Ok::<(), std::io::Error>(())
    };
    let ended = worker.run_until(stop).await;
    if let Some(traces) = traces {
        traces.close().await;
    }
    ended.context("the worker failed").or_failed()?;
    info!("worker stopped");
    Ok(())
}

/// Refuses a queue with another number of shards, and a Redis that deletes jobs when its memory is
/// full, unless that is `allowed`. Waits until Redis answers.
async fn check_redis(
    allowed: bool,
    queue: &Queue,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Exit> {
    let mut faults = 0;
    let policy = loop {
        let error = match queue.check_shards().await {
            Ok(()) => match queue.eviction().await {
                Ok(policy) => break policy,
                Err(error) => error,
            },
            Err(error) if error.is_about_shards() => return Err(Exit::usage(error)),
            Err(error) => error,
        };
        faults += 1;
        warn!(%error, faults, "Redis does not answer, retrying");
        select! {
            () = sleep(REDIS_AWAY.delay(faults)) => {}
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        }
    };
    match policy {
        Some(policy) if !evicts(&policy) => {}
        Some(policy) if allowed => warn!(
            policy,
            "maxmemory-policy is not noeviction: Redis may delete jobs, and \
                redis.allow_eviction permits it"
        ),
        Some(policy) => {
            return Err(Exit::usage(anyhow!(
                "the maxmemory-policy of Redis is {policy}, so it deletes jobs when its memory is \
                    full; {NO_EVICTION_REMEDY}; or set redis.allow_eviction to true \
                    (MISSION_REDIS_ALLOW_EVICTION) to run all the same"
            )));
        }
        None => warn!(
            "this Redis does not tell its maxmemory-policy (INFO memory); make sure that it is \
                noeviction, because any other deletes jobs"
        ),
    }
    Ok(())
}

/// Runs one claimed job.
async fn handle(claimed: Claimed, applier: Data<Arc<Applier>>) -> RunResult {
    let began = Instant::now();
    let _in_progress = RunStarted::emit(&claimed);
    let run = applier.apply(&claimed.wake_id.to_string(), &claimed.job, &claimed.journal).await;
    let took = began.elapsed();
    RunEnded { job: &claimed, outcome: &run.outcome, steps: &run.steps, took }.emit();
    RunResult::from(run.outcome).with_steps(run.steps).with_applied(run.applied)
}

fn access(settings: &Settings) -> AccessSettings {
    AccessSettings {
        tokens: settings.tokens.clone(),
        api_token: settings.api_token.clone(),
        proxies: Proxies {
            networks: settings.proxies.clone(),
            user: settings.user_header.clone(),
            role: settings.role_header.clone(),
        },
        read_only: settings.read_only,
        requests_per_second: settings.requests_per_second,
    }
}

fn consumer_settings(settings: &Settings) -> mission_jobs::Settings {
    mission_jobs::Settings {
        concurrency: settings.concurrency,
        lane_concurrency: settings.lane_concurrency,
        lease: settings.lease,
        renew: settings.renew,
        sweep: settings.sweep,
        grace: settings.grace,
        keep_ended: Keep { age: settings.keep_ended_for, count: settings.keep_ended },
        keep_dead: Keep { age: settings.keep_dead_for, count: settings.keep_dead },
        retry: RetryPolicy {
            give_up_gateway_after: settings.give_up_gateway_after,
            ..RetryPolicy::default()
        },
    }
}

/// Sets `stop` at the first SIGTERM or SIGINT, which drains the worker. A second signal ends the
/// process at once, as people expect from Ctrl-C.
pub fn watch_signals(stop: watch::Sender<bool>) -> Result<(), Exit> {
    let mut term = signal(SignalKind::terminate()).or_failed()?;
    let mut int = signal(SignalKind::interrupt()).or_failed()?;
    tokio::spawn(async move {
        for signals in 0.. {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if signals > 0 {
                std::process::exit(130);
            }
            stop.send_replace(true);
        }
    });
    Ok(())
}

async fn stop_when_idle(queue: Queue, stop: watch::Sender<bool>) {
    loop {
        match queue.is_idle().await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => debug!(%error, "idle check failed"),
        }
        sleep(IDLE_CHECK).await;
    }
    stop.send_replace(true);
}

/// Returns the number of dead jobs. Waits for Redis, as the worker itself does.
async fn dead(queue: &Queue, stopping: watch::Receiver<bool>) -> Result<u64, Exit> {
    while !*stopping.borrow() {
        match queue.counts().await {
            Ok(counts) => return Ok(counts.of(State::Dead)),
            Err(error) if error.is_about_shards() => return Err(Exit::usage(error)),
            Err(error) => debug!(%error, "counting dead jobs failed"),
        }
        sleep(IDLE_CHECK).await;
    }
    Ok(0)
}

async fn has_failed(queue: &Queue, dead_before: u64) -> bool {
    match queue.counts().await {
        Ok(counts) => counts.of(State::Dead) > dead_before || counts.of(State::Blocked) > 0,
        Err(_) => true,
    }
}
