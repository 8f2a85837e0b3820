//! Leases: fencing, and recovery when a worker goes away.

use std::sync::Arc;
use std::time::Duration;

use mission_core::{Failure, Outcome};
use mission_jobs::{Settings, State};
use mission_test_support::RedisServer;
use tokio::sync::Notify;

use crate::documents::cleanup;
use crate::worker::{
    DropFlag, Gate, Worker, brisk, done, eventually, never_ends, put, put_all, reaches, short_lease,
};

const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_worker_that_was_fenced_out_cannot_end_the_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    // The worker has one slot and seems frozen: it neither renews its lease nor learns that it lost
    // it.
    let lease = Duration::from_millis(200);
    let frozen = Settings { concurrency: 1, lease, renew: NEVER, sweep: NEVER, ..brisk() };
    let (slow, quick) = (Gate::default(), Gate::default());
    let stale = || Outcome::Permanent(Failure::new("stale", "from the old worker")).into();
    let old = Worker::start(&queue, frozen, slow.handler(stale));
    slow.begun().await;

    let _new = Worker::start(&queue, brisk(), quick.handler(done));
    quick.begun().await;
    slow.open();
    old.stop();
    old.ended().await;
    let record = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.runs, record.history.len()), (State::Running, 2, 1));

    quick.open();
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!(
        record.history.iter().map(|run| run.result.outcome.as_str()).collect::<Vec<_>>(),
        ["lost", "done"]
    );
    assert_ne!(record.history[0].worker, record.history[1].worker);
    assert_eq!(queue.counters().leases_recovered, 1);
}

#[tokio::test]
async fn a_lost_lease_does_not_wait_for_a_backlog() {
    const BACKLOG: u64 = 3000;
    const CALL: usize = 50;
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put_all(&queue, &[cleanup(8, 1), cleanup(9, 1)]).await;
    let soon = Duration::from_millis(1);
    let due: Vec<_> = (0..BACKLOG).map(|agent| cleanup(1, agent.into()).with_delay(soon)).collect();
    let expired: Vec<_> =
        (0..BACKLOG).map(|agent| cleanup(2, agent.into()).with_expiry(soon)).collect();
    for some in due.chunks(CALL).chain(expired.chunks(CALL)) {
        queue.enqueue(some).await.unwrap();
    }
    // Both workers have one slot, and those two jobs take it. Only the sweeps do anything about the
    // backlog.
    let (begun, dropped) = (Arc::new(Notify::new()), DropFlag::default());
    let frozen = Settings { concurrency: 1, renew: NEVER, sweep: NEVER, ..short_lease() };
    let _frozen = Worker::start(&queue, frozen, never_ends(&begun, &dropped));
    begun.notified().await;
    let other = redis.queue();
    let _busy = Worker::start(
        &other,
        Settings { concurrency: 1, ..short_lease() },
        never_ends(&begun, &DropFlag::default()),
    );
    eventually("the lease is taken back", async || other.counters().leases_recovered > 0).await;

    let counts = queue.counts().await.unwrap();
    assert!(counts.of(State::Scheduled) > 0 && counts.of(State::Dead) < BACKLOG, "{counts:?}");
}

#[tokio::test]
async fn a_handler_is_cancelled_when_its_lease_is_lost() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let (begun, cancelled) = (Arc::new(Notify::new()), DropFlag::default());
    let _worker = Worker::start(
        &queue,
        Settings { renew: Duration::from_millis(50), ..brisk() },
        never_ends(&begun, &cancelled),
    );
    begun.notified().await;
    assert!(!cancelled.is_set());
    // Another worker seems to have claimed it meanwhile.
    redis.change(&queue, job.id, "token", "0").await;
    eventually("the handler is dropped", async || cancelled.is_set()).await;
    eventually("the lost lease is counted", async || queue.counters().leases_lost == 1).await;
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
    let worker = Worker::start(&queue, settings, never_ends(&begun, &cancelled));
    begun.notified().await;
    worker.stop();
    worker.ended().await;
    assert!(cancelled.is_set());
    let record = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.attempts, record.runs, record.worker),
        (State::Ready, 0, 1, None)
    );
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

    let gate = Gate::default();
    let worker = Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, gate.handler(done));
    gate.begun().await;
    worker.stop();
    gate.open();
    worker.ended().await;
    assert_eq!(gate.runs(), 1);
    assert_eq!(queue.get(first.id).await.unwrap().unwrap().state, State::Done);
    let waiting = queue.get(second.id).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.attempts), (State::Ready, 0));
}

#[tokio::test]
async fn a_run_takes_no_step_after_its_lease_even_before_anybody_noticed() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    // The process seems frozen: nothing is renewed, and nobody looks for overdue leases.
    let lease = Duration::from_millis(200);
    let gate = Gate::default();
    let settings = Settings { lease, renew: NEVER, sweep: NEVER, ..brisk() };
    let _worker = Worker::start(&queue, settings, gate.handler(done));
    gate.begun().await;
    let begun = std::time::Instant::now();
    eventually("the lease is over", async || begun.elapsed() > lease).await;
    gate.open();
    let history = async || queue.get(job.id).await.unwrap().unwrap().history;
    eventually("the run is over", async || !history().await.is_empty()).await;
    assert_eq!(history().await[0].result.outcome, "released");
}
