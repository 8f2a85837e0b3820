//! Cancelling waiting, running and dead jobs.

use std::time::Duration;

use mission_core::Kind;
use mission_jobs::{Claimed, QueueError, Settings, State};
use mission_test_support::RedisServer;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::documents::{cleanup, update};
use crate::worker::{
    DropFlag, Gate, HOUR, Runs, Worker, brisk, by, done, eventually, look, never_ends, notified,
    patient, permanent, put, quick_renewal, reaches, short_lease, transient,
};

#[tokio::test]
async fn a_job_that_waits_is_cancelled_at_once() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (tried, scheduled, ready) = (cleanup(1, 1), cleanup(1, 2).with_delay(HOUR), cleanup(1, 3));
    queue.enqueue(&[tried.clone(), scheduled.clone()]).await.unwrap();
    let worker = Worker::start(&queue, patient(), |_| async { transient() });
    reaches(&queue, tried.id, State::Retrying).await;
    drop(worker);
    put(&queue, &ready).await;

    for (job, state) in
        [(&tried, State::Retrying), (&scheduled, State::Scheduled), (&ready, State::Ready)]
    {
        assert_eq!(queue.cancel(job.id, &by("ada"), "not needed").await, Ok(state));
        let record = look(&queue, job.id).await;
        assert_eq!((record.state, record.next_at_ms), (State::Cancelled, None));
        assert_eq!(record.reason.as_deref(), Some("cancelled by ada: not needed"));
    }
    assert!(queue.is_idle().await.unwrap());
    let runs = Runs::default();
    let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
    let last = cleanup(1, 4);
    put(&queue, &last).await;
    reaches(&queue, last.id, State::Done).await;
    assert_eq!(runs.ids(), [last.id]);
}

#[tokio::test]
async fn jobs_behind_a_cancelled_job_continue() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (first, second) = (cleanup(1, 1), update(1, 1));
    put(&queue, &first).await;
    // After each run the job waits for an hour again, with the other one behind it.
    let end =
        |claimed: &Claimed| if claimed.job.kind() == Kind::Cleanup { transient() } else { done() };
    let _worker = Worker::start(&queue, patient(), Runs::default().handler(end));
    reaches(&queue, first.id, State::Retrying).await;
    put(&queue, &second).await;
    eventually("tried again", async || {
        let record = look(&queue, first.id).await;
        (record.state, record.runs) == (State::Retrying, 2)
    })
    .await;
    assert_eq!(look(&queue, second.id).await.state, State::Ready);
    queue.cancel(first.id, &by("ada"), "").await.unwrap();
    reaches(&queue, second.id, State::Done).await;
    assert_eq!(look(&queue, first.id).await.reason.as_deref(), Some("cancelled by ada"));
}

#[tokio::test]
async fn a_dead_job_is_discarded() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    let _worker = Worker::start(&queue, brisk(), |_| async { permanent() });
    reaches(&queue, job.id, State::Dead).await;
    assert_eq!(queue.cancel(job.id, &by("ada"), "").await, Ok(State::Dead));
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.of(State::Dead), counts.of(State::Cancelled)), (0, 1));
    assert_eq!(
        queue.retry(job.id, true, &by("ada"), "").await,
        Err(QueueError::NotRetryable { id: job.id, state: State::Cancelled })
    );
}

#[tokio::test]
async fn a_running_job_is_stopped_and_the_next_of_its_agent_runs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (job, next) = (cleanup(1, 1), update(1, 1));
    queue.enqueue(&[job.clone(), next.clone()]).await.unwrap();
    let (begun, stopped) = (Notify::new().into(), DropFlag::default());
    let (first, never) = (job.id, never_ends(&begun, &stopped));
    let _worker = Worker::start(&queue, quick_renewal(), move |claimed| {
        if claimed.id == first { never(claimed) } else { Box::pin(async { done() }) }
    });
    notified(&begun).await;
    assert_eq!(queue.cancel(job.id, &by("ada"), "wrong gateway").await, Ok(State::Running));
    let record = reaches(&queue, job.id, State::Cancelled).await;
    assert!(stopped.is_set());
    assert_eq!(record.reason.as_deref(), Some("cancelled by ada: wrong gateway"));
    assert_eq!((record.runs, record.history[0].result.outcome.as_str()), (1, "cancelled"));
    reaches(&queue, next.id, State::Done).await;
}

#[tokio::test]
async fn a_run_that_ends_before_it_is_stopped_keeps_its_result() {
    for (end, state) in
        [(done as fn() -> _, State::Done), (permanent, State::Dead), (transient, State::Cancelled)]
    {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let job = cleanup(1, 1);
        put(&queue, &job).await;
        let gate = Gate::default();
        let _worker = Worker::start(&queue, Settings { renew: HOUR, ..brisk() }, gate.handler(end));
        gate.begun().await;
        queue.cancel(job.id, &by("ada"), "").await.unwrap();
        assert_eq!(look(&queue, job.id).await.cancel.as_deref(), Some("cancelled by ada"));
        gate.open();
        assert_eq!(reaches(&queue, job.id, state).await.runs, 1);
    }
}

#[tokio::test]
async fn a_job_that_has_ended_cannot_be_cancelled() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [older, newer, unwanted] = [update(1, 1), update(1, 1), update(1, 2)];
    queue.enqueue(&[older.clone(), newer.clone(), unwanted.clone()]).await.unwrap();
    queue.cancel(unwanted.id, &by("ada"), "").await.unwrap();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, newer.id, State::Done).await;
    for (job, state) in
        [(older, State::Superseded), (newer, State::Done), (unwanted, State::Cancelled)]
    {
        assert_eq!(
            queue.cancel(job.id, &by("bo"), "").await,
            Err(QueueError::NotCancellable { id: job.id, state })
        );
    }
    let nobody = Uuid::now_v7();
    assert_eq!(queue.cancel(nobody, &by("ada"), "").await, Err(QueueError::Missing { id: nobody }));
}

#[tokio::test]
async fn a_cancelled_job_whose_worker_dies_or_stops_does_not_run_again() {
    for dies in [true, false] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let job = cleanup(1, 1);
        put(&queue, &job).await;
        let begun = Notify::new().into();
        let settings = Settings { renew: HOUR, grace: Duration::from_millis(10), ..short_lease() };
        let worker = Worker::start(&queue, settings, never_ends(&begun, &DropFlag::default()));
        notified(&begun).await;
        queue.cancel(job.id, &by("ada"), "").await.unwrap();
        if dies {
            drop(worker);
        } else {
            worker.stop();
            worker.ended().await;
        }
        let runs = Runs::default();
        let _next = Worker::start(&queue, short_lease(), runs.handler(|_| done()));
        let record = reaches(&queue, job.id, State::Cancelled).await;
        assert_eq!((record.reason.as_deref(), runs.ids().len()), (Some("cancelled by ada"), 0));
    }
}

#[tokio::test]
async fn a_cancelled_job_that_loses_its_third_worker_is_cancelled() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    for run in 1..=3 {
        let begun = Notify::new().into();
        let _victim =
            Worker::start(&queue, short_lease(), never_ends(&begun, &DropFlag::default()));
        notified(&begun).await;
        if run == 3 {
            queue.cancel(job.id, &by("ada"), "").await.unwrap();
        }
    }
    let _worker = Worker::start(&queue, short_lease(), |_| async { done() });
    let record = reaches(&queue, job.id, State::Cancelled).await;
    assert_eq!((record.runs, record.reason.as_deref()), (3, Some("cancelled by ada")));
}
