//! A request that is sent twice is one job.

use std::time::Duration;

use mission_jobs::queue::Keep;
use mission_jobs::{Envelope, IdempotencyKey, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::{cleanup, update};
use crate::worker::{Runs, Worker, brisk, done, eventually, look, put, reaches};

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

fn named(job: Envelope, name: &str) -> Envelope {
    job.with_idempotency_key(key(name))
}

#[tokio::test]
async fn the_same_key_is_the_same_job_whatever_the_document() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let first = named(cleanup(1, 1), "request 7");
    let stored = put(&queue, &first).await;
    assert_eq!((stored.id, stored.duplicate, stored.other_document), (first.id, false, false));
    assert_eq!(look(&queue, first.id).await.idempotency_key.as_deref(), Some("request 7"));
    let again = put(&queue, &named(update(2, 2), "request 7")).await;
    assert_eq!((again.id, again.state), (first.id, Some(State::Ready)));
    assert_eq!((again.duplicate, again.other_document), (true, true));

    let runs = Runs::default();
    let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
    reaches(&queue, first.id, State::Done).await;
    let again = put(&queue, &named(cleanup(1, 1), "request 7")).await;
    assert_eq!((again.id, again.state), (first.id, Some(State::Done)), "ended jobs count too");
    assert_eq!((again.duplicate, again.other_document), (true, false));
    assert_eq!(runs.ids(), [first.id]);
}

#[tokio::test]
async fn a_repeated_request_replaces_nothing() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (first, newer) = (named(update(1, 1), "a"), update(1, 1));
    put(&queue, &first).await;
    put(&queue, &newer).await;
    let again = put(&queue, &named(update(1, 1), "a")).await;
    assert_eq!((again.state, again.superseded), (Some(State::Superseded), vec![]));
    assert_eq!(look(&queue, newer.id).await.state, State::Ready);
}

#[tokio::test]
async fn keys_hold_within_one_call_and_other_keys_are_other_jobs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [
        named(cleanup(1, 1), "a"),
        named(cleanup(1, 2), "b"),
        named(cleanup(1, 3), "a"),
        cleanup(1, 4),
    ];
    let accepted = queue.enqueue(&jobs).await.unwrap();
    let ids: Vec<_> = accepted.iter().map(|accepted| accepted.id).collect();
    assert_eq!(ids, [jobs[0].id, jobs[1].id, jobs[0].id, jobs[3].id]);
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 3);
    assert!(queue.get(jobs[2].id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_key_can_be_used_again_after_its_life() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let brief = |agent| cleanup(1, agent).with_idempotency_key(key("a").living(Duration::ZERO));
    let first = brief(1);
    put(&queue, &first).await;
    assert_eq!(put(&queue, &brief(2)).await.id, first.id, "a second is the least");
    let third = brief(3);
    eventually("the key's life is over", async || put(&queue, &third).await.id == third.id).await;
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 2);
    let lived =
        look(&queue, third.id).await.enqueued_at_ms - look(&queue, first.id).await.enqueued_at_ms;
    assert!(lived >= 1000, "{lived}");
}

#[tokio::test]
async fn a_key_outlives_its_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let first = named(cleanup(1, 1), "a");
    put(&queue, &first).await;
    let settings = Settings { keep_ended: Keep { age: Duration::ZERO, count: 0 }, ..brisk() };
    let _worker = Worker::start(&queue, settings, |_| async { done() });
    eventually("removed", async || queue.get(first.id).await.unwrap().is_none()).await;
    // The second one is the same envelope, sent again by a producer that missed the answer.
    for again in [named(cleanup(1, 1), "a"), first.clone()] {
        let again = put(&queue, &again).await;
        assert_eq!((again.id, again.state), (first.id, None));
    }
    assert!(queue.get(first.id).await.unwrap().is_none());
}

#[test]
fn a_key_has_1_to_200_bytes() {
    assert_eq!(IdempotencyKey::new("").unwrap_err().bytes, 0);
    assert_eq!(IdempotencyKey::new("é".repeat(101)).unwrap_err().bytes, 202);
    assert_eq!(key(&"x".repeat(200)).life(), IdempotencyKey::LIFE);
}
