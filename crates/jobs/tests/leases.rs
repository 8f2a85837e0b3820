//! Who holds a job: leases, fences, and what happens when a worker goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mission_core::{Failure, Outcome};
use mission_jobs::{Claimed, Ran, Settings, State};
use tokio::sync::Notify;

use crate::documents::cleanup;
use crate::redis_server::RedisServer;
use crate::worker::{DropFlag, SetOnDrop, Worker, brisk, done, eventually, put, reaches, short_lease};

const NEVER: Duration = Duration::from_secs(3600);

/// A handler that says when it begins, and is done when told so.
fn waits(
    begun: &Arc<Notify>,
    go_on: &Arc<Notify>,
    end: fn() -> Ran,
) -> impl Fn(Claimed) -> BoxFuture<'static, Ran> + Clone + use<> {
    let (begun, go_on) = (begun.clone(), go_on.clone());
    move |_| {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        Box::pin(async move {
            begun.notify_one();
            go_on.notified().await;
            end()
        })
    }
}

#[tokio::test]
async fn a_worker_that_was_fenced_out_cannot_end_the_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    // One slot, and as if frozen: it neither renews its lease nor learns that it lost it.
    let lease = Duration::from_millis(200);
    let frozen = Settings { concurrency: 1, lease, renew: NEVER, sweep: NEVER, ..brisk() };
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let stale = || Outcome::Permanent(Failure::new("stale", "from the old worker")).into();
    let old = Worker::start(&queue, frozen, waits(&begun, &go_on, stale));
    begun.notified().await;

    let (taken, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let _new = Worker::start(&queue, brisk(), waits(&taken, &finish, done));
    taken.notified().await;
    go_on.notify_one();
    old.stop();
    old.ended().await;
    let record = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.runs, record.history.len()), (State::Running, 2, 1));

    finish.notify_one();
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!(record.history.iter().map(|run| run.result.outcome.as_str()).collect::<Vec<_>>(), ["lost", "done"]);
    assert_ne!(record.history[0].worker, record.history[1].worker);
}

#[tokio::test]
async fn a_handler_is_cancelled_when_its_lease_is_lost() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let (begun, cancelled) = (Arc::new(Notify::new()), DropFlag::default());
    let _worker = Worker::start(&queue, Settings { renew: Duration::from_millis(50), ..brisk() }, {
        let (begun, cancelled) = (begun.clone(), cancelled.clone());
        move |_| {
            let (begun, guard) = (begun.clone(), SetOnDrop(cancelled.clone()));
            async move {
                let _guard = guard;
                begun.notify_one();
                std::future::pending().await
            }
        }
    });
    begun.notified().await;
    assert!(!cancelled.is_set());
    // As if somebody else had claimed it meanwhile.
    let key = queue.keys().job(&job.id.to_string());
    redis::cmd("HSET").arg(key).arg("token").arg(0).exec_async(&mut redis.connect().await).await.unwrap();
    eventually("the handler is dropped", async || cancelled.is_set()).await;
}

#[tokio::test]
async fn a_job_that_takes_three_workers_along_is_poison() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (poison, good) = (cleanup(1, 1), cleanup(2, 2));
    put(&queue, &poison).await;

    for run in 1..=3 {
        let begun = Arc::new(Notify::new());
        let victim = Worker::start(&queue, short_lease(), {
            let begun = begun.clone();
            move |claimed| {
                let begun = begun.clone();
                async move {
                    assert_eq!(claimed.run, run);
                    begun.notify_one();
                    std::future::pending().await
                }
            }
        });
        begun.notified().await;
        drop(victim);
    }
    put(&queue, &good).await;
    let _worker = Worker::start(&queue, short_lease(), |_| async { done() });
    let record = reaches(&queue, poison.id, State::Dead).await;
    assert_eq!((record.reason.as_deref(), record.lost, record.attempts), (Some("poison"), 3, 3));
    assert_eq!(record.failure.unwrap().code, "poison");
    reaches(&queue, good.id, State::Done).await;
}

#[tokio::test]
async fn renewal_keeps_a_job_that_takes_longer_than_its_lease() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let lease = Duration::from_secs(1);
    let settings = Settings { lease, renew: lease / 10, sweep: lease / 10, ..brisk() };
    let workers: Vec<_> = (0..2)
        .map(|_| {
            Worker::start(&queue, settings.clone(), move |_| async move {
                tokio::time::sleep(lease * 5 / 2).await;
                done()
            })
        })
        .collect();
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!((record.runs, record.history.len()), (1, 1));
    drop(workers);
}

#[tokio::test]
async fn unfinished_jobs_are_handed_back_after_the_grace_time() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let (begun, cancelled) = (Arc::new(Notify::new()), DropFlag::default());
    let settings = Settings { grace: Duration::from_millis(50), ..brisk() };
    let worker = Worker::start(&queue, settings, {
        let (begun, cancelled) = (begun.clone(), cancelled.clone());
        move |_| {
            let (begun, guard) = (begun.clone(), SetOnDrop(cancelled.clone()));
            async move {
                let _guard = guard;
                begun.notify_one();
                std::future::pending().await
            }
        }
    });
    begun.notified().await;
    worker.stop();
    worker.ended().await;
    assert!(cancelled.is_set());
    let record = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts, record.runs, record.worker), (State::Ready, 0, 1, None));
    assert_eq!(record.history[0].result.outcome, "released");

    let _next = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, job.id, State::Done).await;
}

#[tokio::test]
async fn running_jobs_may_finish_while_the_worker_stops_and_no_more_begin() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (first, second) = (cleanup(1, 1), cleanup(1, 2));
    queue.enqueue(&[first.clone(), second.clone()]).await.unwrap();

    let (begun, go_on, runs) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let worker = Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, {
        let (begun, go_on, runs) = (begun.clone(), go_on.clone(), runs.clone());
        move |_| {
            let (begun, go_on, runs) = (begun.clone(), go_on.clone(), runs.clone());
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                begun.notify_one();
                go_on.notified().await;
                done()
            }
        }
    });
    begun.notified().await;
    worker.stop();
    go_on.notify_one();
    worker.ended().await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(queue.get(first.id).await.unwrap().unwrap().state, State::Done);
    let waiting = queue.get(second.id).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.attempts), (State::Ready, 0));
}
