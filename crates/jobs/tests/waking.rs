//! Idle workers start a job as soon as it arrives. No worker looks by itself here: a lost wake-up
//! would hang the test.

use std::sync::Arc;
use std::time::Duration;

use mission_jobs::{Settings, State};
use mission_test_support::RedisServer;
use tokio::sync::{Barrier, Notify};

use crate::documents::cleanup;
use crate::worker::{Worker, done, never_looks, put, reaches, transient};

#[tokio::test]
async fn no_wake_up_is_lost() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let workers: Vec<_> =
        (0..3).map(|_| Worker::start(&queue, never_looks(), |_| async { done() })).collect();
    for number in 0..60 {
        let job = cleanup(number % 4, number);
        put(&queue, &job).await;
        reaches(&queue, job.id, State::Done).await;
    }
    drop(workers);
}

#[tokio::test]
async fn one_enqueue_wakes_as_many_workers_as_there_is_work_for() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let together = Arc::new(Barrier::new(3));
    let settings = Settings { concurrency: 1, ..never_looks() };
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let together = together.clone();
            Worker::start(&queue, settings.clone(), move |_| {
                let together = together.clone();
                async move {
                    together.wait().await;
                    done()
                }
            })
        })
        .collect();
    for round in 0..5 {
        let jobs: Vec<_> = (0..3).map(|lane| cleanup(lane, round)).collect();
        queue.enqueue(&jobs).await.unwrap();
        for job in jobs {
            reaches(&queue, job.id, State::Done).await;
        }
    }
    drop(workers);
}

#[tokio::test]
async fn work_for_an_owned_lane_wakes_its_owner() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let go_on = Arc::new(Notify::new());
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let go_on = go_on.clone();
            Worker::start(&queue, never_looks(), move |claimed| {
                let go_on = go_on.clone();
                async move {
                    if claimed.job.agent_id().unwrap().as_u128() == 0 {
                        go_on.notified().await;
                    }
                    done()
                }
            })
        })
        .collect();
    let long = cleanup(1, 0);
    put(&queue, &long).await;
    let owner = reaches(&queue, long.id, State::Running).await.worker;
    for agent in 1..20 {
        let job = cleanup(1, agent);
        put(&queue, &job).await;
        let record = reaches(&queue, job.id, State::Done).await;
        assert_eq!(Some(&record.history[0].worker), owner.as_ref());
    }
    go_on.notify_one();
    reaches(&queue, long.id, State::Done).await;
    drop(workers);
}

#[tokio::test]
async fn waiting_jobs_run_when_they_are_due() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let _worker = Worker::start(&queue, never_looks(), |claimed| async move {
        if claimed.run == 1 { transient() } else { done() }
    });
    let job = cleanup(1, 1).with_delay(Duration::from_millis(30));
    let accepted = put(&queue, &job).await;
    assert_eq!(accepted.state, Some(State::Scheduled));
    let record = reaches(&queue, job.id, State::Done).await;
    assert!(record.history[0].started_at_ms >= record.enqueued_at_ms + 30);
}
