//! A private Redis Cluster for one test.

use std::time::Duration;

use futures_util::future::join_all;
use mission_jobs::Queue;

use crate::{RedisServer, free_port};

/// The number of slots of a cluster.
const SLOTS: usize = 16_384;

/// Masters that share the slots evenly, each with one replica. The part of a dead master does not
/// stop the others.
pub struct RedisCluster {
    /// The masters at the start.
    pub masters: Vec<RedisServer>,
    /// The replica of each master.
    pub replicas: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster, and waits until all replicas have caught up.
    pub async fn start(masters: usize) -> Self {
        let mut nodes = join_all((0..2 * masters).map(|_| node())).await;
        let replicas = nodes.split_off(masters);
        let cluster = Self { masters: nodes, replicas };
        let share = SLOTS.div_ceil(masters);
        for (number, node) in cluster.nodes().enumerate() {
            node.tell::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await;
            let first = number * share;
            if number < masters {
                let last = (first + share).min(SLOTS) - 1;
                node.tell::<()>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            }
            let bus: Vec<String> = node.tell("CONFIG GET cluster-port").await;
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", node.port(), bus[1]);
            cluster.masters[0].tell::<()>(&meet).await;
        }
        let known = format!("cluster_known_nodes:{}", 2 * masters);
        for node in cluster.nodes() {
            until("the cluster stands", async || {
                let said: String = node.tell("CLUSTER INFO").await;
                said.contains("cluster_state:ok") && said.contains(&known)
            })
            .await;
        }
        for (replica, master) in cluster.replicas.iter().zip(&cluster.masters) {
            let id: String = master.tell("CLUSTER MYID").await;
            replica.tell::<()>(&format!("CLUSTER REPLICATE {id}")).await;
        }
        for master in &cluster.masters {
            until("a replica has it all", async || {
                let said: String = master.tell("INFO replication").await;
                said.contains("connected_slaves:1") && said.contains("state=online")
            })
            .await;
        }
        cluster
    }

    /// Opens a queue through all masters.
    #[must_use]
    pub fn queue(&self, shards: usize) -> Queue {
        Queue::open(&self.url(), "test").unwrap().with_shards(shards).unwrap()
    }

    /// Returns the url of the cluster.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.nodes().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// Returns the index of the master whose slots a key was in at the start.
    pub async fn master_of(&self, key: &str) -> usize {
        for node in self.nodes() {
            if let Ok(mut connection) = node.client().get_multiplexed_async_connection().await {
                let ask = redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).clone();
                if let Ok(slot) = ask.query_async::<usize>(&mut connection).await {
                    return slot / SLOTS.div_ceil(self.masters.len());
                }
            }
        }
        panic!("no node of the cluster runs");
    }

    /// Ends the replication to the replica of a master, for good.
    pub async fn cut_off_replica(&self, master: usize) {
        let master = &self.masters[master];
        master.tell::<()>("ACL SETUSER default -psync -sync").await;
        master.tell::<u32>("CLIENT KILL TYPE replica").await;
        until("the replica is cut off", async || {
            let said: String = master.tell("INFO replication").await;
            said.contains("connected_slaves:0")
        })
        .await;
    }

    /// Waits until the replica of a dead master has taken its place.
    pub async fn is_replaced(&self, master: usize) {
        until("the replica is the master", async || {
            let said: String = self.replicas[master].tell("INFO replication").await;
            said.contains("role:master")
        })
        .await;
    }

    fn nodes(&self) -> impl Iterator<Item = &RedisServer> {
        self.masters.iter().chain(&self.replicas)
    }
}

async fn node() -> RedisServer {
    RedisServer::start_with(|port| {
        let options = [
            ("--port", port.to_string()),
            ("--cluster-enabled", "yes".to_owned()),
            ("--cluster-port", free_port().to_string()),
            ("--cluster-node-timeout", "1500".to_owned()),
            ("--cluster-require-full-coverage", "no".to_owned()),
            ("--cluster-replica-validity-factor", "0".to_owned()),
            ("--repl-diskless-sync-delay", "0".to_owned()),
        ];
        options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    })
    .await
}

/// Waits until the condition holds, at most about 60 s.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..3000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not in time: {what}");
}
