//! The queue as producers and observers see it.

use std::collections::HashSet;
use std::time::Duration;

use mission_core::Kind;
use mission_jobs::queue::{Filter, MAX_ENQUEUE};
use mission_jobs::{Queue, QueueError, Settings, State};
use mission_test_support::RedisServer;
use uuid::Uuid;

use crate::documents::{cleanup, provision_main};
use crate::worker::{Worker, brisk, by, done, eventually, put, reaches};

#[tokio::test]
async fn the_same_envelope_is_stored_once() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    queue.enqueue(&[job.clone(), job.clone()]).await.unwrap();
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 1);

    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, job.id, State::Done).await;
    let again = put(&queue, &job).await;
    assert_eq!(again.state, Some(State::Done));
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 0);
}

#[tokio::test]
async fn too_many_jobs_are_refused_as_a_whole() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..=MAX_ENQUEUE as u128).map(|agent| cleanup(1, agent)).collect();
    let error = queue.enqueue(&jobs).await.unwrap_err();
    assert_eq!(error, QueueError::TooMany { count: MAX_ENQUEUE + 1, max: MAX_ENQUEUE });
    assert_eq!(queue.enqueue(&jobs[1..]).await.unwrap().len(), MAX_ENQUEUE);
}

#[tokio::test]
async fn only_transitions_of_the_table_happen() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    assert_eq!(
        queue.retry(job.id, false, &by("test"), "").await,
        Err(QueueError::NotRetryable { id: job.id, state: State::Ready })
    );

    let worker = Worker::start(&queue, brisk(), |_| async { done() });
    let before = serde_json::to_value(reaches(&queue, job.id, State::Done).await).unwrap();
    drop(worker);
    assert_eq!(
        queue.retry(job.id, false, &by("test"), "").await,
        Err(QueueError::NotRetryable { id: job.id, state: State::Done })
    );
    let after = serde_json::to_value(queue.get(job.id).await.unwrap()).unwrap();
    assert_eq!(before, after);
    assert_eq!(queue.counts().await.unwrap().of(State::Done), 1);
    let nobody = Uuid::now_v7();
    assert_eq!(
        queue.retry(nobody, false, &by("test"), "").await,
        Err(QueueError::Missing { id: nobody })
    );
    assert!(queue.get(nobody).await.unwrap().is_none());
}

#[tokio::test]
async fn lists_come_in_pages_and_can_be_filtered() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> =
        (0..25).map(|n| if n % 5 == 0 { provision_main(n, n) } else { cleanup(n, n) }).collect();
    queue.enqueue(&jobs).await.unwrap();

    let (mut seen, mut pages, mut filter) =
        (HashSet::new(), 0, Filter { limit: 10, ..Filter::new(State::Ready) });
    loop {
        let page = queue.list(&filter).await.unwrap();
        pages += 1;
        seen.extend(page.jobs.iter().map(|job| job.id));
        assert!(page.jobs.iter().all(|job| job.document.is_none() && job.state == State::Ready));
        let Some(next) = page.next else { break };
        filter.cursor = next;
    }
    assert_eq!((seen.len(), pages), (25, 3));

    let of_kind = Filter { kind: Some(Kind::ProvisionMain), ..Filter::new(State::Ready) };
    assert_eq!(queue.list(&of_kind).await.unwrap().jobs.len(), 5);
    let of_lane = Filter { lane: Some(Uuid::from_u128(7)), ..Filter::new(State::Ready) };
    assert_eq!(queue.list(&of_lane).await.unwrap().jobs[0].id, jobs[7].id);
    assert!(queue.list(&Filter::new(State::Dead)).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn ten_thousand_jobs_due_at_once_do_not_jam() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    for batch in 0..200 {
        let jobs: Vec<_> = (0..50)
            .map(|n| cleanup(n, batch * 50 + n).with_delay(Duration::from_millis(1)))
            .collect();
        queue.enqueue(&jobs).await.unwrap();
    }
    assert_eq!(queue.counts().await.unwrap().of(State::Scheduled), 10_000);
    let workers: Vec<_> = (0..2)
        .map(|_| {
            Worker::start(&queue, Settings { concurrency: 64, ..brisk() }, |_| async { done() })
        })
        .collect();
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 10_000).await;
    let counts = queue.counts().await.unwrap();
    assert!(
        State::ALL.into_iter().all(|state| state == State::Done || counts.of(state) == 0),
        "{counts:?}"
    );
    drop(workers);
}

#[tokio::test]
async fn urls_and_names_are_checked_before_anything_is_connected() {
    for url in
        ["redis://localhost:6379/2", "rediss://user:pass@localhost:6379", "unix:///run/redis.sock"]
    {
        assert!(Queue::open(url, "mission").is_ok(), "{url}");
    }
    let Err(QueueError::Url { reason }) = Queue::open("http://:hunter2@localhost", "mission")
    else {
        panic!()
    };
    assert!(!reason.contains("hunter2"));
    for name in ["", "a{b}", "a b", &"x".repeat(65)] {
        assert!(
            matches!(Queue::open("redis://localhost", name), Err(QueueError::Name { .. })),
            "{name}"
        );
    }
}
