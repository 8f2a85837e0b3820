//! A worker is ready while its claims succeed, and says why if they do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mission_jobs::{Queue, State};
use mission_test_support::RedisServer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::connections::on_a_port;
use crate::documents::cleanup;
use crate::worker::{HOUR, Worker, brisk, done, eventually, never_looks, put, reaches};

/// Returns why jobs are not claimed, or nothing.
async fn why(queue: &Queue) -> String {
    queue.claims_jobs(Duration::ZERO).await.err().map(|why| why.to_string()).unwrap_or_default()
}

/// Waits until the worker of this queue is not ready, and the reason has all of these words.
async fn fails_with(queue: &Queue, words: &[&str]) {
    eventually(&words.join(" "), async || {
        let why = why(queue).await;
        words.iter().all(|word| why.contains(word))
    })
    .await;
}

/// Waits until the worker of this queue is ready, and runs a job.
async fn is_ready_again(queue: &Queue, agent: u128) {
    eventually("ready again", async || why(queue).await.is_empty()).await;
    let job = cleanup(1, agent);
    put(queue, &job).await;
    reaches(queue, job.id, State::Done).await;
}

#[tokio::test]
async fn a_redis_that_refuses_to_write_makes_the_worker_not_ready_until_it_writes_again() {
    let redis = on_a_port().await;
    let queue = redis.queue();
    assert!(why(&queue).await.contains("since the start"));
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    assert_eq!(queue.claims_jobs(HOUR).await, Ok(()));

    // A connection to this port is refused, so this server remains a replica without a master.
    let faults = [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"),
        ("ACL SETUSER default -fcall", "ACL SETUSER default +fcall", "NOPERM"),
        ("ACL SETUSER default -set", "ACL SETUSER default +set", "docs/redis.md#rights"),
        ("ACL SETUSER default -blpop", "ACL SETUSER default +blpop", "NOPERM"),
    ];
    for (agent, (cause, remedy, code)) in (1..).zip(faults) {
        redis.tell::<()>(cause).await;
        let command = if cause.contains("blpop") { "wait" } else { "claim" };
        fails_with(&queue, &[code, command]).await;
        redis.tell::<()>(remedy).await;
        is_ready_again(&queue, agent).await;
    }
}

#[tokio::test]
async fn a_redis_that_cannot_save_makes_the_worker_not_ready() {
    let redis = RedisServer::start_with(|_| {
        ["--appendonly", "no", "--save", "3600 1"].map(str::to_owned).to_vec()
    })
    .await;
    let queue = redis.queue();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    assert_eq!(queue.claims_jobs(HOUR).await, Ok(()));
    // A folder in the place of the file makes saving fail.
    std::fs::create_dir_all(redis.folder().join("dump.rdb/inside")).unwrap();
    redis.tell::<()>("BGSAVE").await;
    fails_with(&queue, &["MISCONF", "claim"]).await;
    redis.tell::<()>("CONFIG SET stop-writes-on-bgsave-error no").await;
    is_ready_again(&queue, 1).await;
}

#[tokio::test]
async fn a_full_redis_leaves_the_worker_ready_and_a_newer_layout_does_not() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    assert_eq!(queue.claims_jobs(HOUR).await, Ok(()));
    put(&queue, &cleanup(1, 1)).await;
    // Jobs are worked off although there is no room for new ones.
    redis.tell::<()>("CONFIG SET maxmemory 1").await;
    tokio::time::sleep(3 * brisk().sweep).await;
    assert_eq!(why(&queue).await, "");
    redis.tell::<()>("CONFIG SET maxmemory 0").await;

    // A newer version has taken the queue over.
    let layout: String = redis.tell("GET {test}:layout").await;
    redis.tell::<()>("SET {test}:layout 99").await;
    fails_with(&queue, &["LAYOUT"]).await;
    redis.tell::<()>(&format!("SET {{test}}:layout {layout}")).await;
    is_ready_again(&queue, 2).await;
}

#[tokio::test]
async fn an_idle_worker_stays_ready() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let _worker = Worker::start(&queue, never_looks(), |_| async { done() });
    redis.has_idle(1).await;
    assert_eq!(why(&queue).await, "");
}

/// Passes bytes on, and writes `ERR` before the code `READONLY` as proxies do.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let mut answer = bytes[..read].to_vec();
        if answer.starts_with(b"-READONLY ") {
            answer.splice(..1, *b"-ERR ");
        }
        if to.write_all(&answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_refusal_that_a_proxy_has_wrapped_leads_to_a_new_connection() {
    let (old, new) = (on_a_port().await, on_a_port().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (ports, switched) = ([old.port(), new.port()], Arc::new(AtomicBool::new(false)));
    let proxy = tokio::spawn({
        let switched = switched.clone();
        async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let port = ports[usize::from(switched.load(Ordering::SeqCst))];
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let ((asks, hears), (answers, hearing)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass(asks, hearing));
                tokio::spawn(pass(answers, hears));
            }
        }
    });

    let queue = Queue::open(&url, "test").unwrap();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    assert_eq!(queue.claims_jobs(HOUR).await, Ok(()));
    old.tell::<()>("REPLICAOF 127.0.0.1 1").await;
    fails_with(&queue, &["ERR: READONLY", "claim"]).await;
    // The connections to the old server stay open.
    switched.store(true, Ordering::SeqCst);
    is_ready_again(&queue, 1).await;
    proxy.abort();
}
