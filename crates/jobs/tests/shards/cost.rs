//! The part of the work that the busiest node of a cluster has.

use std::time::Duration;

use futures_util::future::join_all;
use mission_jobs::{Settings, State};
use mission_test_support::{RedisCluster, RedisServer};
use tokio::time::sleep;

use crate::documents::cleanup;
use crate::worker::{Worker, brisk, put_all, reached};

const GATEWAYS: u32 = 100;
const AGENTS: u32 = 50;

/// Returns the CPU time that a server has used, in seconds.
async fn cpu(server: &RedisServer) -> f64 {
    let said: String = server.tell("INFO cpu").await;
    let time = |name: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap().trim().parse::<f64>().unwrap()
    };
    time("used_cpu_user") + time("used_cpu_sys")
}

/// Returns the CPU time of each master, in seconds.
async fn cpu_of_all(cluster: &RedisCluster) -> Vec<f64> {
    join_all(cluster.masters.iter().map(cpu)).await
}

/// Prints the CPU time of the busiest master since then and the sum of all, in µs per job.
async fn print(what: &str, cluster: &RedisCluster, before: &[f64]) {
    let used: Vec<f64> = cpu_of_all(cluster)
        .await
        .iter()
        .zip(before)
        .map(|(now, before)| (now - before) * 1e6 / f64::from(GATEWAYS * AGENTS))
        .collect();
    let (busiest, sum) = (used.iter().copied().fold(0.0, f64::max), used.iter().sum::<f64>());
    println!("{what}: busiest {busiest:.0}, sum {sum:.0}; {used:.0?}");
}

/// Prints the CPU time of three masters for the same jobs in one shard and in sixteen, as the
/// documentation has it.
#[tokio::test]
#[ignore = "it measures"]
async fn the_busiest_of_three_masters() {
    for (shards, at_once, mixed) in
        [(1, 1000, false), (16, 1000, false), (1, 100, true), (16, 100, true)]
    {
        let cluster = RedisCluster::start(3).await;
        let queue = cluster.queue(shards);
        let mut jobs: Vec<_> = (0..GATEWAYS * AGENTS)
            .map(|number| cleanup((1 + number / AGENTS).into(), (1 + number % AGENTS).into()))
            .collect();
        if mixed {
            // No two jobs of a call are of the same gateway.
            jobs.sort_by_key(|job| job.subject.chars().rev().collect::<String>());
        }
        let before = cpu_of_all(&cluster).await;
        put_all(&queue, &jobs).await;
        let name = |what: &str| format!("{shards} shards, {at_once} at once, {what}");
        print(&name("enqueue"), &cluster, &before).await;
        let before = cpu_of_all(&cluster).await;
        let settings = Settings { concurrency: at_once, ..brisk() };
        let _worker = Worker::start(&queue, settings, |_| async { reached() });
        let done = async || queue.counts().await.unwrap().of(State::Done) == jobs.len() as u64;
        while !done().await {
            sleep(Duration::from_millis(200)).await;
        }
        print(&name("claim and end"), &cluster, &before).await;
    }
}
