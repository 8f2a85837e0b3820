//! The signal of a run about its gateway applies to all jobs of the lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mission_core::{Backoff, Failure, Outcome};
use mission_jobs::{Claimed, Envelope, JobRecord, Queue, RetryPolicy, RunResult, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::{cleanup, update};
use crate::worker::{
    Gate, HOUR, Runs, Worker, brisk, by, done, eventually, look, never_looks, patient, put,
    reached, reaches, transient, unreachable,
};

fn blocked() -> RunResult {
    Outcome::Blocked(Failure::new("pairing_required", "not paired").of_gateway()).into()
}

fn busy(milliseconds: u64) -> RunResult {
    let retry_after = Some(Duration::from_millis(milliseconds));
    Outcome::Busy { retry_after, failure: Failure::new("restarting", "starting up").of_gateway() }
        .into()
}

fn agent(claimed: &Claimed) -> u128 {
    claimed.job.agent_id().unwrap().as_u128()
}

async fn records(queue: &Queue, jobs: &[Envelope]) -> Vec<JobRecord> {
    let mut records = Vec::new();
    for job in jobs {
        records.push(look(queue, job.id).await);
    }
    records
}

/// Returns the begin and end times of the runs of these jobs, in that order.
async fn runs(queue: &Queue, jobs: &[Envelope]) -> Vec<(u64, u64)> {
    let records = records(queue, jobs).await;
    let mut runs: Vec<_> = records
        .iter()
        .flat_map(|record| &record.history)
        .map(|run| (run.started_at_ms, run.ended_at_ms))
        .collect();
    runs.sort_unstable();
    runs
}

#[tokio::test]
async fn an_unreachable_gateway_gets_one_probe_per_interval_however_many_jobs_wait() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..30).map(|agent| cleanup(1, agent)).collect();
    queue.enqueue(&jobs).await.unwrap();

    // Delays of 20, 40, 80, 80 … ms. The gateway is back for the ninth run.
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(80));
    let retry = RetryPolicy { backoff, ..brisk().retry };
    let settings = Settings { lane_concurrency: 3, retry, ..brisk() };
    let begun = Arc::new(AtomicU32::new(0));
    let end = move |_: &Claimed| {
        if begun.fetch_add(1, Ordering::SeqCst) < 8 { unreachable() } else { reached() }
    };
    let _worker = Worker::start(&queue, settings, Runs::default().handler(end));
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 30).await;

    let runs = runs(&queue, &jobs).await;
    assert_eq!(runs.len(), 30 + 8);
    // Three runs fail together, then one at a time.
    let waits: Vec<u64> =
        runs[2..9].windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].1)).collect();
    assert!(
        waits.iter().zip([20, 40, 80, 80, 80, 80]).all(|(waited, least)| *waited >= least),
        "{waits:?}"
    );
}

#[tokio::test]
async fn probes_take_turns_among_the_jobs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    queue.enqueue(&[cleanup(1, 1), cleanup(1, 2), cleanup(1, 3)]).await.unwrap();
    let probes = Runs::default();
    // A job with a wrong address, for example, must not be the only probe.
    let end = |claimed: &Claimed| if agent(claimed) == 1 { unreachable() } else { reached() };
    let settings = Settings { lane_concurrency: 1, ..brisk() };
    let _worker = Worker::start(&queue, settings, probes.handler(end));
    eventually("two done", async || queue.counts().await.unwrap().of(State::Done) == 2).await;
    assert_eq!(probes.agents()[..2], [1, 2]);
}

#[tokio::test]
async fn other_lanes_continue_while_one_is_left_alone() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let away: Vec<_> = (0..20).map(|agent| cleanup(1, agent)).collect();
    queue.enqueue(&away).await.unwrap();
    let settings = Settings { lane_concurrency: 1, ..patient() };
    let on_first = |claimed: &Claimed| {
        if claimed.job.gateway_id().as_u128() == 1 { unreachable() } else { reached() }
    };
    let _worker = Worker::start(&queue, settings, Runs::default().handler(on_first));
    reaches(&queue, away[0].id, State::Retrying).await;
    for number in 0..20 {
        let job = cleanup(2, number);
        put(&queue, &job).await;
        reaches(&queue, job.id, State::Done).await;
    }
    assert_eq!(runs(&queue, &away).await.len(), 1);
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 19);
}

#[tokio::test]
async fn a_failure_of_the_job_alone_does_not_hold_its_lane() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [cleanup(1, 1), cleanup(1, 2)];
    queue.enqueue(&jobs).await.unwrap();
    let end = |claimed: &Claimed| if agent(claimed) == 1 { transient() } else { done() };
    let settings = Settings { concurrency: 1, ..patient() };
    let _worker = Worker::start(&queue, settings, Runs::default().handler(end));
    reaches(&queue, jobs[1].id, State::Done).await;
    assert_eq!(look(&queue, jobs[0].id).await.state, State::Retrying);
}

#[tokio::test]
async fn a_busy_gateway_is_left_alone_by_all_of_its_jobs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..4).map(|agent| cleanup(1, agent)).collect();
    queue.enqueue(&jobs).await.unwrap();
    let end = |claimed: &Claimed| {
        if agent(claimed) == 0 && claimed.run == 1 { busy(300) } else { done() }
    };
    let settings = Settings { concurrency: 1, ..brisk() };
    let _worker = Worker::start(&queue, settings, Runs::default().handler(end));
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 4).await;
    let runs = runs(&queue, &jobs).await;
    assert_eq!(runs.len(), 5);
    assert!(runs[1].0 >= runs[0].1 + 300, "{runs:?}");
    assert!(records(&queue, &jobs).await.iter().all(|record| record.attempts == 1));
}

#[tokio::test]
async fn a_retry_by_hand_tries_the_gateway_at_once_and_its_success_frees_the_lane() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..10).map(|agent| cleanup(1, agent)).collect();
    queue.enqueue(&jobs).await.unwrap();
    let end = |claimed: &Claimed| {
        if claimed.run == 1 && agent(claimed) == 0 { unreachable() } else { reached() }
    };
    let settings = Settings { lane_concurrency: 1, ..patient() };
    let _worker = Worker::start(&queue, settings, Runs::default().handler(end));
    reaches(&queue, jobs[0].id, State::Retrying).await;
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 9);

    queue.retry(jobs[0].id, false, &by("test"), "").await.unwrap();
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 10).await;
}

#[tokio::test]
async fn success_frees_jobs_that_their_gateway_refused_but_each_only_once() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [turned_away, good, better, best] = [1, 2, 3, 4].map(|agent| cleanup(1, agent));
    put(&queue, &turned_away).await;
    let retry = RetryPolicy { reprobe: HOUR, ..brisk().retry };
    let end = |claimed: &Claimed| if agent(claimed) == 1 { blocked() } else { reached() };
    let _worker =
        Worker::start(&queue, Settings { retry, ..brisk() }, Runs::default().handler(end));
    let idle = async || queue.is_idle().await.unwrap();

    reaches(&queue, turned_away.id, State::Blocked).await;
    // The job is freed in the same step in which the other job is done. When nothing is left to do,
    // it has run.
    for (job, runs) in [(&good, 2), (&better, 2)] {
        put(&queue, job).await;
        eventually("idle", idle).await;
        let record = look(&queue, turned_away.id).await;
        assert_eq!((record.state, record.runs, record.attempts), (State::Blocked, runs, 0));
    }
    queue.retry(turned_away.id, false, &by("test"), "").await.unwrap();
    eventually("idle", idle).await;
    put(&queue, &best).await;
    eventually("idle", idle).await;
    assert_eq!(look(&queue, turned_away.id).await.runs, 4, "by hand, and freed once more");
}

#[tokio::test]
async fn jobs_that_are_blocked_by_their_own_failure_are_not_freed() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (own_fault, good) = (cleanup(1, 1), cleanup(1, 2));
    put(&queue, &own_fault).await;
    let end = |claimed: &Claimed| {
        if agent(claimed) == 2 {
            reached()
        } else {
            Outcome::Blocked(Failure::new("invalid_config", "line 3")).into()
        }
    };
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(end));
    reaches(&queue, own_fault.id, State::Blocked).await;
    put(&queue, &good).await;
    eventually("idle", async || queue.is_idle().await.unwrap()).await;
    assert_eq!(look(&queue, own_fault.id).await.runs, 1);
}

#[tokio::test]
async fn a_lane_is_probed_in_time_although_the_failed_job_is_gone() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (older, newer) = (update(1, 1), update(1, 1));
    put(&queue, &older).await;
    let gate = Gate::default();
    let (first, at_gate) = (older.id, gate.handler(unreachable));
    let _worker = Worker::start(&queue, never_looks(), move |claimed: Claimed| {
        if claimed.id == first { at_gate(claimed) } else { Box::pin(async { reached() }) }
    });
    gate.begun().await;
    put(&queue, &newer).await;
    redis.has_idle(1).await;
    gate.open();
    reaches(&queue, older.id, State::Superseded).await;
    reaches(&queue, newer.id, State::Done).await;
}
