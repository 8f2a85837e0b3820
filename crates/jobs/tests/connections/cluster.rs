//! A cluster of two masters. The queue lives in one slot, of one of them.

use mission_jobs::{Queue, State};

use crate::documents::cleanup;
use crate::redis_server::{RedisServer, free_port};
use crate::worker::{Worker, brisk, done, eventually, put, reaches};

async fn node(first_slot: u16, last_slot: u16) -> RedisServer {
    let node = RedisServer::start_with(|port| {
        let options = [
            ("--port", port.to_string()),
            ("--cluster-enabled", "yes".to_owned()),
            ("--cluster-port", free_port().to_string()),
            ("--cluster-node-timeout", "2000".to_owned()),
        ];
        options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    })
    .await;
    node.tell::<()>(&format!("CLUSTER ADDSLOTSRANGE {first_slot} {last_slot}")).await;
    node
}

async fn bus_port(node: &RedisServer) -> String {
    let said: Vec<String> = node.tell("CONFIG GET cluster-port").await;
    said[1].clone()
}

/// The node with the lower slots, and the one with the upper ones.
async fn start() -> (RedisServer, RedisServer) {
    let (lower, upper) = (node(0, 8191).await, node(8192, 16383).await);
    lower.tell::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", upper.port(), bus_port(&upper).await)).await;
    for node in [&lower, &upper] {
        eventually("the cluster stands", async || {
            let said: String = node.tell("CLUSTER INFO").await;
            said.contains("cluster_state:ok") && said.contains("cluster_slots_ok:16384")
        })
        .await;
    }
    (lower, upper)
}

/// Moves a slot with all that is in it, as the tools for clusters do.
async fn move_slot(slot: u16, from: &RedisServer, to: &RedisServer) {
    let (source, target): (String, String) = (from.tell("CLUSTER MYID").await, to.tell("CLUSTER MYID").await);
    to.tell::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}")).await;
    from.tell::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}")).await;
    let keys: Vec<String> = from.tell(&format!("CLUSTER GETKEYSINSLOT {slot} 1000")).await;
    assert!(!keys.is_empty());
    from.tell::<()>(&format!("MIGRATE 127.0.0.1 {}  0 5000 KEYS {}", to.port(), keys.join(" "))).await;
    for node in [to, from] {
        node.tell::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
    }
}

async fn redirections(node: &RedisServer) -> u64 {
    let said: String = node.tell("INFO errorstats").await;
    let count = said.lines().find_map(|line| line.strip_prefix("errorstat_MOVED:count="));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_queue_is_found_in_a_cluster_and_followed_when_it_moves() {
    let (lower, upper) = start().await;
    let slot: u16 = lower.tell("CLUSTER KEYSLOT {test}").await;
    let (owner, other) = if slot <= 8191 { (&lower, &upper) } else { (&upper, &lower) };
    // The node that is named has nothing of the queue.
    let queue = Queue::open(&format!("redis+cluster://127.0.0.1:{}", other.port()), "test").unwrap();
    super::works(&queue).await;

    let (before, after) = (cleanup(2, 1), cleanup(2, 2));
    put(&queue, &before).await;
    let earlier = redirections(owner).await;
    move_slot(slot, owner, other).await;
    put(&queue, &after).await;
    assert!(redirections(owner).await > earlier, "nobody was redirected");
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, before.id, State::Done).await;
    reaches(&queue, after.id, State::Done).await;
}

#[tokio::test]
async fn a_node_that_restarts_is_waited_for() {
    let (mut lower, mut upper) = start().await;
    let urls = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", lower.port(), upper.port());
    let queue = Queue::open(&urls, "test").unwrap();
    let slot: u16 = lower.tell("CLUSTER KEYSLOT {test}").await;
    let owner = if slot <= 8191 { &mut lower } else { &mut upper };
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    let (first, second) = (cleanup(1, 1), cleanup(1, 2));
    put(&queue, &first).await;
    reaches(&queue, first.id, State::Done).await;

    owner.kill();
    let error = queue.enqueue(std::slice::from_ref(&second)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    owner.restart().await;
    eventually("the cluster takes jobs", async || queue.enqueue(std::slice::from_ref(&second)).await.is_ok()).await;
    reaches(&queue, second.id, State::Done).await;
}
