//! Heartbeats of workers, and draining them.

use mission_jobs::{QueueError, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::cleanup;
use crate::worker::{Gate, Runs, Worker, brisk, by, done, eventually, put, quick_renewal, reaches};

#[tokio::test]
async fn a_worker_sends_heartbeats_and_deregisters() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put(&queue, &cleanup(1, 1)).await;
    let gate = Gate::default();
    let worker =
        Worker::start(&queue, Settings { concurrency: 7, ..quick_renewal() }, gate.handler(done));
    gate.begun().await;
    eventually("it runs one", async || {
        queue.workers().await.unwrap().iter().any(|worker| worker.running == 1)
    })
    .await;
    let shown = queue.workers().await.unwrap().remove(0);
    assert!(shown.name.starts_with("test-") && !shown.gone && !shown.draining, "{shown:?}");
    assert_eq!((shown.concurrency, shown.pid), (7, std::process::id()));
    assert!(
        shown.started_at_ms <= shown.seen_at_ms
            && !shown.host.is_empty()
            && !shown.version.is_empty()
    );
    let summary = queue.summary().await.unwrap();
    assert_eq!((summary.workers, summary.draining, summary.counts.of(State::Running)), (1, 0, 1));
    gate.open();
    worker.stop();
    worker.ended().await;
    assert!(queue.workers().await.unwrap().is_empty());

    // A killed worker is shown as gone, and forgotten after an hour.
    let seen = |ms: u64| {
        format!(
            "local w = cmsgpack.unpack(redis.call('HGET', '{{test}}:workers', KEYS[1])) w.seen_at \
                = w.seen_at - {ms}
            redis.call('HSET', '{{test}}:workers', KEYS[1], cmsgpack.pack(w))
            redis.call('ZADD', '{{test}}:beats', w.seen_at, KEYS[1])"
        )
    };
    let killed = Worker::start(&queue, brisk(), |_| async { done() });
    eventually("seen", async || queue.workers().await.unwrap().len() == 1).await;
    drop(killed);
    let name = queue.workers().await.unwrap().remove(0).name;
    let mut connection = redis.connect().await;
    redis::Script::new(&seen(31_000)).key(&name).invoke_async::<()>(&mut connection).await.unwrap();
    assert!(queue.workers().await.unwrap()[0].gone);
    assert_eq!(queue.summary().await.unwrap().workers, 0);
    redis::Script::new(&seen(3_600_000))
        .key(&name)
        .invoke_async::<()>(&mut connection)
        .await
        .unwrap();
    let _worker = Worker::start(&queue, quick_renewal(), |_| async { done() });
    eventually("forgotten", async || {
        queue.workers().await.unwrap().iter().all(|worker| worker.name != name)
    })
    .await;
}

#[tokio::test]
async fn a_drained_worker_finishes_its_runs_and_claims_no_more_until_it_is_undrained() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let first = cleanup(1, 1);
    put(&queue, &first).await;
    let gate = Gate::default();
    let _worker = Worker::start(&queue, quick_renewal(), gate.handler(done));
    gate.begun().await;
    let name = queue.workers().await.unwrap().remove(0).name;
    assert_eq!(queue.drain(&name, true, &by("ada"), "new kernel").await, Ok(true));
    assert_eq!(queue.drain(&name, true, &by("ada"), "").await, Ok(false));
    let nobody = QueueError::NoWorker { name: "nobody".to_owned() };
    assert_eq!(queue.drain("nobody", true, &by("ada"), "").await, Err(nobody));
    assert!(queue.workers().await.unwrap()[0].draining);
    assert_eq!(queue.summary().await.unwrap().draining, 1);
    // The worker learns of it with the first heartbeat that begins after this one.
    let beats = async || queue.workers().await.unwrap()[0].seen_at_ms;
    for _ in 0..2 {
        let before = beats().await;
        eventually("another beat", async || beats().await > before).await;
    }
    gate.open();
    reaches(&queue, first.id, State::Done).await;

    let second = cleanup(1, 2);
    put(&queue, &second).await;
    let other = Runs::default();
    let other_worker = Worker::start(&queue, brisk(), other.handler(|_| done()));
    reaches(&queue, second.id, State::Done).await;
    assert_eq!((gate.runs(), other.ids()), (1, vec![second.id]));
    drop(other_worker);

    let third = cleanup(1, 3);
    put(&queue, &third).await;
    assert_eq!(queue.drain(&name, false, &by("ada"), "").await, Ok(true));
    gate.begun().await;
    gate.open();
    reaches(&queue, third.id, State::Done).await;
    let actions: Vec<String> = queue
        .audit(None, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.record.action)
        .collect();
    assert_eq!(actions, ["undrain", "drain"]);
}
