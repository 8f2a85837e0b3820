//! Workers take no paused job until somebody resumes it.

use std::time::Duration;

use mission_core::Kind;
use mission_jobs::queue::PauseScope;
use mission_jobs::{Claimed, Envelope, Queue, Settings, State};
use mission_test_support::RedisServer;
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync, update};
use crate::worker::{
    Gate, Runs, Worker, brisk, by, done, eventually, look, never_looks, put, put_all, reaches,
};

const CLEANUPS: PauseScope = PauseScope::Kind(Kind::Cleanup);

const fn gateway(number: u128) -> PauseScope {
    PauseScope::Gateway(Uuid::from_u128(number))
}

async fn pause(queue: &Queue, scope: PauseScope) {
    queue.pause(&scope, &by("ada"), "maintenance").await.unwrap();
}

async fn resume(queue: &Queue, scope: PauseScope) {
    assert!(queue.resume(&scope, &by("ada"), "").await.unwrap());
}

/// Returns after workers have looked for jobs, because a delayed job of a paused gateway becomes
/// ready only then.
async fn workers_looked(queue: &Queue) {
    for agent in 0..2 {
        let job = cleanup(99, agent).with_delay(Duration::from_millis(1));
        put(queue, &job).await;
        reaches(queue, job.id, State::Ready).await;
    }
}

#[tokio::test]
async fn a_pause_records_scope_time_author_and_reason() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    assert!(queue.paused().await.unwrap().is_empty());
    for scope in [PauseScope::All, CLEANUPS, gateway(7)] {
        pause(&queue, scope).await;
    }
    queue.pause(&gateway(7), &by("bo"), "new disk").await.unwrap();
    let paused = queue.paused().await.unwrap();
    assert_eq!(paused.len(), 3);
    let last = paused.iter().find(|pause| pause.scope == gateway(7)).unwrap();
    assert_eq!(
        (last.by.as_str(), last.reason.as_str()),
        ("bo", "new disk"),
        "pausing again replaces both"
    );
    assert!(paused.iter().all(|pause| pause.at_ms > 1_700_000_000_000));

    resume(&queue, gateway(7)).await;
    assert_eq!(
        queue.resume(&gateway(7), &by("ada"), "").await,
        Ok(false),
        "it was not paused any more"
    );
    assert_eq!(queue.paused().await.unwrap().len(), 2);
}

#[tokio::test]
async fn paused_jobs_do_not_start_until_they_are_resumed() {
    for scope in [PauseScope::All, CLEANUPS, gateway(1)] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let job = cleanup(1, 1);
        pause(&queue, scope).await;
        pause(&queue, gateway(99)).await;
        let runs = Runs::default();
        let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
        put(&queue, &job).await;
        workers_looked(&queue).await;
        assert_eq!(
            (runs.ids().len(), look(&queue, job.id).await.state),
            (0, State::Ready),
            "{scope}"
        );

        resume(&queue, scope).await;
        reaches(&queue, job.id, State::Done).await;
        assert_eq!(runs.ids(), [job.id]);
    }
}

#[tokio::test]
async fn running_jobs_continue() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    let gate = Gate::default();
    let _worker = Worker::start(&queue, brisk(), gate.handler(done));
    gate.begun().await;
    for scope in [PauseScope::All, CLEANUPS, gateway(1)] {
        pause(&queue, scope).await;
    }
    gate.open();
    reaches(&queue, job.id, State::Done).await;
}

#[tokio::test]
async fn a_paused_gateway_does_not_affect_others() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue, gateway(1)).await;
    queue.enqueue(&(0..20).map(|agent| cleanup(1, agent)).collect::<Vec<_>>()).await.unwrap();
    let other = cleanup(2, 1);
    put(&queue, &other).await;
    let runs = Runs::default();
    let _worker =
        Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, runs.handler(|_| done()));
    reaches(&queue, other.id, State::Done).await;
    assert_eq!(runs.ids(), [other.id]);
}

#[tokio::test]
async fn a_paused_kind_affects_no_other_but_no_job_of_its_agent_overtakes_it() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue, CLEANUPS).await;
    let (held, behind, other_agent) = (cleanup(1, 1), update(1, 1), update(1, 2));
    let same_gateway = heartbeat_sync(1, &[(3, "1m")]);
    // Many jobs that are put aside do not use up the limits of a claim.
    put_all(&queue, &(100..400).map(|agent| cleanup(1, agent)).collect::<Vec<_>>()).await;
    queue
        .enqueue(&[held.clone(), behind.clone(), other_agent.clone(), same_gateway.clone()])
        .await
        .unwrap();
    let runs = Runs::default();
    let _worker =
        Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, runs.handler(|_| done()));
    reaches(&queue, other_agent.id, State::Done).await;
    reaches(&queue, same_gateway.id, State::Done).await;
    assert_eq!(look(&queue, behind.id).await.state, State::Ready);

    resume(&queue, CLEANUPS).await;
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 304).await;
    let place = |job: &Envelope| runs.ids().iter().position(|id| *id == job.id).unwrap();
    assert!(place(&other_agent) < place(&held) && place(&held) < place(&behind));
}

#[tokio::test]
async fn a_job_that_is_put_aside_can_still_be_replaced() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue, CLEANUPS).await;
    let (first, second, other) = (cleanup(1, 1), cleanup(1, 1), update(1, 2));
    put(&queue, &first).await;
    put(&queue, &other).await;
    let runs = Runs::default();
    let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
    reaches(&queue, other.id, State::Done).await;
    assert_eq!(put(&queue, &second).await.superseded, [first.id]);
    resume(&queue, CLEANUPS).await;
    reaches(&queue, second.id, State::Done).await;
    assert_eq!(runs.ids(), [other.id, second.id]);
}

#[tokio::test]
async fn resuming_wakes_idle_workers() {
    for scope in [PauseScope::All, CLEANUPS, gateway(1)] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        pause(&queue, scope).await;
        let workers = [(); 2].map(|()| Worker::start(&queue, never_looks(), |_| async { done() }));
        let jobs: Vec<_> = (0..40).map(|agent| cleanup(1, agent)).collect();
        queue.enqueue(&jobs).await.unwrap();
        redis.has_idle(2).await;
        resume(&queue, scope).await;
        eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 40).await;
        drop(workers);
    }
}

#[tokio::test]
async fn resuming_wakes_the_owner_of_a_lane() {
    for scope in [PauseScope::All, CLEANUPS, gateway(1)] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let (long, short) = (cleanup(1, 0), cleanup(1, 1));
        put(&queue, &long).await;
        let gate = Gate::default();
        let at_gate = gate.handler(done);
        let first = long.id;
        let handler = move |claimed: Claimed| {
            if claimed.id == first { at_gate(claimed) } else { Box::pin(async { done() }) }
        };
        let workers = [(); 4].map(|()| Worker::start(&queue, never_looks(), handler.clone()));
        gate.begun().await;
        redis.has_idle(4).await;
        pause(&queue, scope).await;
        put(&queue, &short).await;
        redis.has_idle(4).await;
        resume(&queue, scope).await;
        reaches(&queue, short.id, State::Done).await;
        gate.open();
        reaches(&queue, long.id, State::Done).await;
        drop(workers);
    }
}
