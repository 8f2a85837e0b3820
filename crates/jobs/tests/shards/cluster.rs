//! A queue of sixteen shards in a cluster of three masters, each with a replica.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use mission_jobs::queue::{NotClaiming, PauseScope};
use mission_jobs::{Queue, Settings, State};
use mission_test_support::RedisCluster;

use super::{ids, on_gateways};
use crate::documents::cleanup;
use crate::worker::{Runs, Worker, brisk, by, done, eventually, put_all};

const SHARDS: usize = 16;

/// Returns the index of the master that has each shard.
async fn masters(cluster: &RedisCluster) -> Vec<usize> {
    let mut masters = vec![cluster.master_of("{test}").await];
    for shard in 1..SHARDS {
        masters.push(cluster.master_of(&format!("{{test/{shard}}}")).await);
    }
    masters
}

/// Enqueues until the answer is an answer, as producers do.
async fn put_in_time(queue: &Queue, jobs: &[mission_jobs::Envelope]) {
    eventually("the cluster takes jobs", async || queue.enqueue(jobs).await.is_ok()).await;
}

#[tokio::test]
async fn shards_are_on_all_masters_and_are_one_queue() {
    let cluster = RedisCluster::start(3).await;
    let queue = cluster.queue(SHARDS);
    let used: HashSet<usize> = masters(&cluster).await.into_iter().collect();
    assert_eq!(used.len(), 3);
    let jobs = on_gateways(100);
    put_all(&queue, &jobs).await;
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 100);
    queue.pause(&PauseScope::All, &by("ada"), "").await.unwrap();
    let (one, two) = (Runs::default(), Runs::default());
    let settings = || Settings { concurrency: 8, ..brisk() };
    let _one = Worker::start(&queue, settings(), one.handler(|_| done()));
    let _two = Worker::start(&cluster.queue(SHARDS), settings(), two.handler(|_| done()));
    eventually("both work", async || queue.workers().await.unwrap().len() == 2).await;
    assert_eq!(one.ids().len() + two.ids().len(), 0);
    queue.resume(&PauseScope::All, &by("ada"), "").await.unwrap();
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 100).await;
    let ran: Vec<_> = one.ids().into_iter().chain(two.ids()).collect();
    assert_eq!(ran.len(), 100);
    assert_eq!(ran.into_iter().collect::<HashSet<_>>(), ids(&jobs));
    let search = "state:done".parse().unwrap();
    assert_eq!(queue.search(&search, None, 100).await.unwrap().jobs.len(), 100);
}

#[tokio::test]
async fn a_dead_master_stops_only_its_shards_until_its_replica_takes_its_place() {
    let mut cluster = RedisCluster::start(3).await;
    let queue = cluster.queue(SHARDS);
    let places = masters(&cluster).await;
    // The process has begun, and does not need the first shard any more.
    let dead = (places[0] + 1) % 3;
    let runs = Runs::default();
    let settings = Settings { concurrency: 4, ..brisk() };
    let _worker = Worker::start(&queue, settings, runs.handler(|_| done()));
    let before = on_gateways(50);
    let stored = queue.enqueue_to_replicas(&before, 1).await.unwrap();
    assert!(stored.iter().all(|job| job.replicas == Some(1)), "{stored:?}");

    cluster.masters[dead].kill();
    // Those of the living masters go on at once.
    let healthy = queue.clone();
    let is_alive = async |gateway: u128| {
        let job = cleanup(gateway, 2);
        let enqueued = healthy.enqueue(std::slice::from_ref(&job));
        tokio::time::timeout(Duration::from_millis(500), enqueued).await.is_ok_and(|ok| ok.is_ok())
    };
    let mut alive = 0;
    for gateway in 1..=12 {
        alive += usize::from(is_alive(gateway).await);
    }
    assert!(alive > 0, "no shard takes jobs");
    eventually("it says which shard does not work", async || {
        let state = queue.claims_jobs(Duration::ZERO).await;
        matches!(state, Err(NotClaiming::Failing { shard: Some(shard), .. }) if places[shard] == dead)
    })
    .await;
    cluster.is_replaced(dead).await;
    let after: Vec<_> = (1..=50).map(|gateway| cleanup(gateway, 3)).collect();
    put_in_time(&queue, &after).await;
    eventually("all have ended", async || queue.is_idle().await.unwrap_or_default()).await;
    for job in before.iter().chain(&after) {
        let record = queue.get(job.id).await.unwrap().unwrap();
        assert_eq!(record.state, State::Done, "{record:?}");
    }
    eventually("all shards work", async || queue.claims_jobs(Duration::ZERO).await.is_ok()).await;
}

#[tokio::test]
async fn a_master_that_hangs_stops_only_its_shards() {
    let cluster = RedisCluster::start(3).await;
    let places = masters(&cluster).await;
    put_all(&cluster.queue(SHARDS), &on_gateways(1)).await;
    let frozen = (places[0] + 1) % 3;
    cluster.replicas[frozen].freeze();
    cluster.masters[frozen].freeze();

    let queue = cluster.queue(SHARDS);
    let runs = Runs::default();
    let settings = Settings { concurrency: 64, ..brisk() };
    let _worker = Worker::start(&queue, settings, runs.handler(|_| done()));
    let takes = async |gateway: u128, agent: u128, within: u64| {
        let job = cleanup(gateway, agent);
        let enqueued = queue.enqueue(std::slice::from_ref(&job));
        let within = Duration::from_millis(within);
        let taken = tokio::time::timeout(within, enqueued).await;
        taken.is_ok_and(|ok| ok.is_ok()).then_some(job.id)
    };
    // The first call of each shard connects.
    let first = join_all((1..=20).map(|gateway| takes(gateway, 2, 6000))).await;
    let alive: Vec<u128> =
        (1..=20).zip(first).filter_map(|(gateway, job)| job.map(|_| gateway)).collect();
    assert!((5..20).contains(&alive.len()), "{alive:?}");
    let mut sent = Vec::new();
    for agent in 3..20 {
        for gateway in &alive {
            let job = takes(*gateway, agent, 1000).await;
            sent.push(job.unwrap_or_else(|| panic!("gateway {gateway} takes no jobs")));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let latest = &sent[sent.len() - alive.len()..];
    let ran = async || latest.iter().all(|job| runs.ids().contains(job));
    eventually("the others work", ran).await;
    eventually("it says which shard does not work", async || {
        let state = queue.claims_jobs(Duration::ZERO).await;
        matches!(state, Err(NotClaiming::Failing { shard: Some(shard), .. })
            if places[shard] == frozen)
    })
    .await;
    let away = queue.shards_away(Duration::from_millis(500)).await;
    assert!(!away.is_empty() && away.iter().all(|shard| places[*shard] == frozen), "{away:?}");
}

#[tokio::test]
async fn a_failover_loses_only_what_no_replica_has_confirmed() {
    let mut cluster = RedisCluster::start(3).await;
    let queue = cluster.queue(SHARDS);
    let places = masters(&cluster).await;
    let on = places[0];
    let confirmed = on_gateways(50);
    let answers = queue.enqueue_to_replicas(&confirmed, 1).await.unwrap();
    assert!(answers.iter().all(|job| job.replicas == Some(1)), "{answers:?}");

    cluster.cut_off_replica(on).await;
    let lost: Vec<_> = (1..=50).map(|gateway| cleanup(gateway, 2)).collect();
    let answers = queue.enqueue_to_replicas(&lost, 1).await.unwrap();
    let told = |index: usize| answers[index].replicas == Some(0);
    assert!((0..50).any(told), "{answers:?}");
    cluster.masters[on].kill();
    cluster.is_replaced(on).await;
    let mut gone = 0;
    for (index, job) in lost.iter().enumerate() {
        eventually("the cluster answers", async || queue.get(job.id).await.is_ok()).await;
        let found = queue.get(job.id).await.unwrap();
        assert_eq!(found.is_none(), told(index), "{:?}", answers[index]);
        gone += usize::from(found.is_none());
    }
    assert!(gone > 0);
    for job in &confirmed {
        assert!(queue.get(job.id).await.unwrap().is_some());
    }
    // Sending the same jobs again is safe, and now they are there.
    put_in_time(&queue, &lost).await;
    for job in &lost {
        assert_eq!(queue.get(job.id).await.unwrap().unwrap().state, State::Ready);
    }
}
