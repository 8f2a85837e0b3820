//! Three Sentinels watch a master and its replica.

use mission_jobs::{Queue, State};
use mission_test_support::RedisServer;

use super::on_a_port;
use crate::documents::cleanup;
use crate::worker::{Worker, brisk, done, eventually, put, reaches};

async fn sentinel_of(master: &RedisServer) -> RedisServer {
    let options =
        |port: u16| ["--sentinel".to_owned(), "--port".to_owned(), port.to_string()].to_vec();
    watch(RedisServer::start_with(options).await, master, 2).await
}

/// Makes a Sentinel watch a master, which is down when `quorum` of them agree.
pub(super) async fn watch(sentinel: RedisServer, master: &RedisServer, quorum: u8) -> RedisServer {
    sentinel
        .tell::<()>(&format!("SENTINEL MONITOR the-master 127.0.0.1 {} {quorum}", master.port()))
        .await;
    sentinel.tell::<()>("SENTINEL SET the-master down-after-milliseconds 500").await;
    sentinel.tell::<()>("SENTINEL SET the-master failover-timeout 4000").await;
    sentinel
}

/// Returns a replica that has received everything, as far as its master knows.
async fn replica_of(master: &RedisServer) -> RedisServer {
    let replica = on_a_port().await;
    replica.tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
    eventually("the replica is in step", async || {
        let said: String = replica.tell("INFO replication").await;
        said.contains("master_link_status:up")
    })
    .await;
    replica
}

async fn agree(sentinels: &[RedisServer]) {
    for sentinel in sentinels {
        eventually("the Sentinels know each other and the replica", async || {
            let said: String = sentinel.tell("INFO sentinel").await;
            said.contains("status=ok") && said.contains("slaves=1,sentinels=3")
        })
        .await;
    }
}

#[tokio::test]
async fn the_queue_continues_with_the_new_master() {
    let mut master = on_a_port().await;
    let replica = replica_of(&master).await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(sentinel_of(&master).await);
    }
    agree(&sentinels).await;
    let hosts: Vec<_> =
        sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
    let url = format!("redis+sentinel://{}/the-master/1", hosts.join(","));
    let queue = Queue::open(&url, "test").unwrap();

    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    let before = cleanup(1, 1);
    put(&queue, &before).await;
    reaches(&queue, before.id, State::Done).await;
    eventually("the replica has it all", async || master.tell::<u32>("WAIT 1 100").await == 1)
        .await;
    master.kill();

    let after = cleanup(1, 2);
    eventually("a new master takes jobs", async || {
        queue.enqueue(std::slice::from_ref(&after)).await.is_ok()
    })
    .await;
    reaches(&queue, after.id, State::Done).await;
    assert!(replica.tell::<String>("INFO replication").await.contains("role:master"));
    assert!(queue.get(before.id).await.unwrap().is_some());

    // The old master comes back as if nothing had happened. No new connection uses it.
    master.restart().await;
    assert!(master.tell::<String>("INFO replication").await.contains("role:master"));
    let late = Queue::open(&url, "test").unwrap();
    eventually("the new master answers", async || late.get(after.id).await.is_ok()).await;
    assert!(late.get(after.id).await.unwrap().is_some());
}

#[tokio::test]
async fn sentinels_and_their_master_may_have_logins_of_their_own() {
    let master = on_a_port().await;
    let sentinel = sentinel_of(&master).await;
    sentinel.tell::<()>("SENTINEL SET the-master auth-pass inner").await;
    master.tell::<()>("CONFIG SET requirepass inner").await;
    sentinel.tell::<()>("ACL SETUSER watcher on >outer ~* &* +@all").await;
    let url = |login: &str| {
        format!("redis+sentinel://:inner@127.0.0.1:{}/the-master{login}", sentinel.port())
    };
    sentinel.tell::<()>("ACL SETUSER default off").await;

    let error = Queue::open(&url(""), "test").unwrap().counts().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    super::works(&Queue::open(&url("?sentinel=watcher:outer"), "test").unwrap()).await;
}
