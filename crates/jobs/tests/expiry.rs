//! Jobs that expire.

use std::time::Duration;

use mission_core::outcome::Actor;
use mission_jobs::queue::{PauseScope, QueueError};
use mission_jobs::{Envelope, JobRecord, Queue, State};
use mission_test_support::RedisServer;
use tokio::sync::Notify;

use crate::documents::{cleanup, update};
use crate::worker::{
    DropFlag, HOUR, Worker, brisk, by, done, eventually, look, never_ends, never_looks, notified,
    patient, put, reaches, transient,
};

async fn expires(queue: &Queue, job: &Envelope) -> JobRecord {
    let record = reaches(queue, job.id, State::Dead).await;
    assert_eq!(record.reason.as_deref(), Some("expired"));
    assert!(record.finished_at_ms >= record.expires_at_ms);
    record
}

#[tokio::test]
async fn a_job_that_waits_for_too_long_is_dead() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    queue.pause(&PauseScope::All, &by("test"), "").await.unwrap();
    let soon = Duration::from_millis(200);
    let (ready, scheduled) =
        (cleanup(1, 1).with_expiry(soon), cleanup(1, 2).with_delay(soon / 2).with_expiry(soon));
    // The worker sleeps until the first one expires, and nobody wakes it before.
    let _worker = Worker::start(&queue, never_looks(), |_| async { done() });
    queue.enqueue(&[ready.clone(), scheduled.clone()]).await.unwrap();
    for job in [&ready, &scheduled] {
        let record = expires(&queue, job).await;
        let failure = record.failure.unwrap();
        assert_eq!((record.runs, failure.code.as_str()), (0, "expired"));
        assert!(failure.remedy.actor == Actor::Backend && !failure.remedy.retry_helps);
        assert_eq!(record.expires_at_ms, Some(record.enqueued_at_ms + 200));
    }
}

#[tokio::test]
async fn jobs_behind_an_expired_job_continue() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (first, second) = (cleanup(1, 1).with_expiry(Duration::from_millis(300)), update(1, 1));
    queue.enqueue(&[first.clone(), second.clone()]).await.unwrap();
    queue.pause(&PauseScope::Kind(first.kind), &by("test"), "").await.unwrap();
    let _worker = Worker::start(&queue, never_looks(), |_| async { done() });
    reaches(&queue, second.id, State::Done).await;
    assert_eq!(expires(&queue, &first).await.runs, 0);
}

#[tokio::test]
async fn a_running_job_is_stopped_when_it_expires() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (begun, stopped) = (Notify::new().into(), DropFlag::default());
    let _worker = Worker::start(&queue, brisk(), never_ends(&begun, &stopped));
    redis.has_idle(1).await;
    let job = cleanup(1, 1).with_expiry(Duration::from_secs(2));
    put(&queue, &job).await;
    notified(&begun).await;
    let record = expires(&queue, &job).await;
    assert!(stopped.is_set());
    assert_eq!((record.runs, record.failure.unwrap().code.as_str()), (1, "run_deadline"));
}

#[tokio::test]
async fn a_job_that_could_only_be_tried_again_too_late_is_dead_at_once() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1).with_expiry(HOUR / 2);
    put(&queue, &job).await;
    let _worker = Worker::start(&queue, patient(), |_| async { transient() });
    let record = reaches(&queue, job.id, State::Dead).await;
    assert_eq!((record.reason.as_deref(), record.runs), (Some("expired"), 1));
    assert_eq!(record.failure.unwrap().code, "refused", "what went wrong stays known");
}

#[tokio::test]
async fn a_job_that_is_done_in_time_is_done() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1).with_expiry(HOUR);
    put(&queue, &job).await;
    let _worker = Worker::start(&queue, brisk(), |claimed| async move {
        assert!(claimed.expires_in.is_some_and(|left| left <= HOUR));
        done()
    });
    assert_eq!(reaches(&queue, job.id, State::Done).await.reason, None);
}

#[tokio::test]
async fn an_expired_job_that_is_retried_does_not_expire_again() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1).with_expiry(Duration::from_millis(1));
    queue.pause(&PauseScope::All, &by("test"), "").await.unwrap();
    put(&queue, &job).await;
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    expires(&queue, &job).await;
    queue.resume(&PauseScope::All, &by("test"), "").await.unwrap();
    queue.retry(job.id, false, &by("test"), "").await.unwrap();
    assert_eq!(reaches(&queue, job.id, State::Done).await.expires_at_ms, None);
}

#[tokio::test]
async fn a_job_that_would_expire_before_it_is_due_is_refused() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (fine, wrong) = (cleanup(1, 1), cleanup(1, 2).with_delay(HOUR).with_expiry(HOUR));
    let refused = queue.enqueue(&[fine.clone(), wrong.clone()]).await.unwrap_err();
    let expected = QueueError::ExpiresTooSoon { id: wrong.id, expires_in: HOUR, delay: HOUR };
    assert_eq!(refused, expected);
    assert!(refused.to_string().contains("raise expires_in"), "{refused}");
    assert!(queue.get(fine.id).await.unwrap().is_none(), "all or none");
    put(&queue, &wrong.with_expiry(HOUR + Duration::from_millis(1))).await;
}

#[tokio::test]
async fn a_job_that_expired_before_a_worker_looked_replaces_nothing() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let older = update(1, 1);
    let newer =
        update(1, 1).with_delay(Duration::from_millis(1)).with_expiry(Duration::from_millis(2));
    queue.enqueue(&[older.clone(), newer.clone()]).await.unwrap();
    // All workers seem to have been away: both times have passed before any worker looks.
    let now = look(&queue, newer.id).await.enqueued_at_ms;
    eventually("due", async || {
        let (seconds, micros): (u64, u64) =
            redis::cmd("TIME").query_async(&mut redis.connect().await).await.unwrap();
        seconds * 1000 + micros / 1000 > now + 2
    })
    .await;
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    expires(&queue, &newer).await;
    reaches(&queue, older.id, State::Done).await;
}
