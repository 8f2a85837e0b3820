//! Redis clusters. A queue lives in one slot of one master.

use mission_jobs::{Queue, State};
use mission_test_support::{RedisServer, free_port};

use crate::documents::cleanup;
use crate::worker::{Worker, brisk, done, eventually, put, reaches};

async fn node() -> RedisServer {
    RedisServer::start_with(|port| {
        let options = [
            ("--port", port.to_string()),
            ("--cluster-enabled", "yes".to_owned()),
            ("--cluster-port", free_port().to_string()),
            ("--cluster-node-timeout", "2000".to_owned()),
        ];
        options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    })
    .await
}

/// Masters that share the slots evenly, and an entry node that has none.
struct Cluster {
    masters: Vec<RedisServer>,
    entry: RedisServer,
    /// The slot of the queue `test`.
    slot: u16,
    /// The index of the master that owns the slot.
    owner: usize,
}

impl Cluster {
    async fn start(masters: u16) -> Self {
        let entry = node().await;
        let slot: u16 = entry.tell("CLUSTER KEYSLOT {test}").await;
        let share = 16384_u16.div_ceil(masters);
        let mut cluster =
            Self { masters: Vec::new(), entry, slot, owner: usize::from(slot / share) };
        for first in (0..16384).step_by(usize::from(share)) {
            let master = node().await;
            let last = (first + usize::from(share)).min(16384) - 1;
            master.tell::<()>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            let bus: Vec<String> = master.tell("CONFIG GET cluster-port").await;
            cluster
                .entry
                .tell::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", master.port(), bus[1]))
                .await;
            cluster.masters.push(master);
        }
        let known = format!("cluster_known_nodes:{}", masters + 1);
        for node in cluster.masters.iter().chain([&cluster.entry]) {
            eventually("the cluster stands", async || {
                let said: String = node.tell("CLUSTER INFO").await;
                said.contains("cluster_state:ok")
                    && said.contains("cluster_slots_ok:16384")
                    && said.contains(&known)
            })
            .await;
        }
        cluster
    }

    fn owner(&self) -> &RedisServer {
        &self.masters[self.owner]
    }

    /// Opens the queue through the one node that holds nothing of it.
    fn queue(&self) -> Queue {
        Queue::open(&format!("redis+cluster://127.0.0.1:{}", self.entry.port()), "test").unwrap()
    }
}

/// Moves a slot with everything in it, as the tools for clusters do.
async fn move_slot(slot: u16, from: &RedisServer, to: &RedisServer) {
    let (source, target): (String, String) =
        (from.tell("CLUSTER MYID").await, to.tell("CLUSTER MYID").await);
    to.tell::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}")).await;
    from.tell::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}")).await;
    let keys: Vec<String> = from.tell(&format!("CLUSTER GETKEYSINSLOT {slot} 1000")).await;
    assert!(!keys.is_empty());
    from.tell::<()>(&format!("MIGRATE 127.0.0.1 {}  0 5000 KEYS {}", to.port(), keys.join(" ")))
        .await;
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
    let cluster = Cluster::start(2).await;
    let queue = cluster.queue();
    super::works(&queue).await;

    let (before, after) = (cleanup(2, 1), cleanup(2, 2));
    put(&queue, &before).await;
    let earlier = redirections(cluster.owner()).await;
    move_slot(cluster.slot, cluster.owner(), &cluster.masters[1 - cluster.owner]).await;
    put(&queue, &after).await;
    assert!(redirections(cluster.owner()).await > earlier, "nobody was redirected");
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, before.id, State::Done).await;
    reaches(&queue, after.id, State::Done).await;
}

#[tokio::test]
async fn a_master_that_restarts_is_waited_for() {
    let mut cluster = Cluster::start(2).await;
    let queue = cluster.queue();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    let (first, second) = (cleanup(1, 1), cleanup(1, 2));
    put(&queue, &first).await;
    reaches(&queue, first.id, State::Done).await;

    cluster.masters[cluster.owner].kill();
    let error = queue.enqueue(std::slice::from_ref(&second)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    cluster.masters[cluster.owner].restart().await;
    eventually("the cluster takes jobs", async || {
        queue.enqueue(std::slice::from_ref(&second)).await.is_ok()
    })
    .await;
    reaches(&queue, second.id, State::Done).await;
}

#[tokio::test]
async fn a_replica_takes_the_place_of_a_dead_master() {
    let mut cluster = Cluster::start(3).await;
    let id: String = cluster.owner().tell("CLUSTER MYID").await;
    cluster.entry.tell::<()>(&format!("CLUSTER REPLICATE {id}")).await;
    let queue = cluster.queue();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    let (first, second) = (cleanup(1, 1), cleanup(1, 2));
    put(&queue, &first).await;
    reaches(&queue, first.id, State::Done).await;
    eventually("the replica has it all", async || {
        cluster.owner().tell::<u32>("WAIT 1 100").await == 1
    })
    .await;

    cluster.masters[cluster.owner].kill();
    eventually("a new master takes jobs", async || {
        queue.enqueue(std::slice::from_ref(&second)).await.is_ok()
    })
    .await;
    reaches(&queue, second.id, State::Done).await;
    assert!(queue.get(first.id).await.unwrap().is_some());
}
