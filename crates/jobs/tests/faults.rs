//! Redis goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use mission_jobs::{Settings, State};
use mission_test_support::RedisServer;
use tokio::sync::Notify;

use crate::documents::cleanup;
use crate::worker::{
    DropFlag, Gate, Worker, brisk, done, eventually, never_ends, put, reaches, short_lease,
};

#[tokio::test]
async fn a_job_survives_redis_being_killed_and_is_done_once() {
    let mut redis = RedisServer::start().await;
    let queue = redis.queue();
    let (job, next) = (cleanup(1, 1), cleanup(1, 2));
    put(&queue, &job).await;

    let gate = Gate::default();
    let _worker = Worker::start(&queue, brisk(), gate.handler(done));
    gate.begun().await;
    redis.kill();
    assert!(queue.enqueue(std::slice::from_ref(&next)).await.unwrap_err().is_unavailable());
    gate.open();
    redis.restart().await;
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!((record.runs, gate.runs()), (1, 1));

    gate.open();
    put(&queue, &next).await;
    reaches(&queue, next.id, State::Done).await;
}

#[tokio::test]
async fn a_handler_is_stopped_when_redis_is_away_for_longer_than_its_lease() {
    let mut redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let (begun, stopped) = (Arc::new(Notify::new()), DropFlag::default());
    let first = never_ends(&begun, &stopped);
    let _worker = Worker::start(&queue, short_lease(), move |claimed| {
        if claimed.run > 1 { async { done() }.boxed() } else { first(claimed) }
    });
    begun.notified().await;
    redis.kill();
    eventually("the handler is stopped", async || stopped.is_set()).await;
    redis.restart().await;
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!(record.runs, 2);
}

#[tokio::test]
async fn a_worker_stops_in_time_although_redis_is_away() {
    let mut redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let begun = Arc::new(Notify::new());
    let settings = Settings { grace: Duration::from_millis(100), ..brisk() };
    let worker = Worker::start(&queue, settings, {
        let begun = begun.clone();
        move |_| {
            let begun = begun.clone();
            async move {
                begun.notify_one();
                std::future::pending().await
            }
        }
    });
    begun.notified().await;
    redis.kill();
    worker.stop();
    worker.ended().await;
}

#[tokio::test]
async fn a_worker_that_starts_before_its_redis_waits_for_it() {
    let mut redis = RedisServer::start().await;
    let queue = redis.queue();
    redis.kill();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    eventually("the worker tried", async || queue.counts().await.is_err()).await;
    redis.restart().await;
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    reaches(&queue, job.id, State::Done).await;
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put(&queue, &cleanup(1, 1)).await;
    redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut redis.connect().await).await.unwrap();
    put(&queue, &cleanup(1, 2)).await;
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 2);
}
