//! A queue of sixteen shards in a Redis Cluster, with real workers.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use mission_gateway_sim::{Gateway, Profile};
use mission_jobs::{Envelope, Queue, State};
use mission_test_support::{RedisCluster, RedisServer};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::documents;
use crate::processes::Worker;
use crate::simulated::{start, state};

const SHARDS: usize = 16;
const AGENTS: usize = 6;
/// The longest time that anything may take.
const PATIENCE: Duration = Duration::from_secs(40);

fn worker(data: &Path, redis: &str, shards: usize) -> Worker {
    let config = data.join("worker.toml");
    std::fs::write(&config, "[worker]\nlease_ms = 2000\nrenew_ms = 300\nsweep_ms = 300\n").unwrap();
    Worker::new(data)
        .env("MISSION_CONFIG", config)
        .env("MISSION_REDIS_URL", redis)
        .env("MISSION_SHARDS", shards.to_string())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0")
}

/// Returns a document of a gateway with this number.
fn document(gateway: &Gateway, number: u128, agent: usize) -> Value {
    let mut document = documents::provision(&gateway.url(), &format!("Agent {agent}"));
    document["gateway"]["id"] = Uuid::from_u128(number).to_string().into();
    document
}

fn envelope(document: &Value) -> Envelope {
    Envelope::new(document.to_string().as_bytes()).unwrap()
}

/// Waits until this number of jobs are done. While a master is away, Redis may not answer.
async fn done(queue: &Queue, wanted: u64, log: &Path) {
    let all = async {
        while queue.counts().await.map_or(0, |counts| counts.of(State::Done)) < wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        let log = std::fs::read_to_string(log).unwrap();
        panic!("not in time: {wanted} are done, {:?}\n{log}", queue.counts().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_a_replica_has_end_although_a_master_and_a_worker_are_killed() {
    let mut cluster = RedisCluster::start(3).await;
    let queue = Queue::open(&cluster.url(), "mission").unwrap().with_shards(SHARDS).unwrap();
    let gateways = join_all((0..8).map(|_| start(Profile::V2026_9_6, |_| {}))).await;
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [mut first, _second] = folders.each_ref().map(|data| {
        let log = std::fs::File::create(data.path().join("log")).unwrap();
        worker(data.path(), &cluster.url(), SHARDS).spawn_into(&["run"], log)
    });
    let documents = |agents: std::ops::Range<usize>| {
        let numbered = gateways.iter().zip(1..);
        numbered
            .flat_map(|(gateway, number)| {
                agents.clone().map(move |agent| envelope(&document(gateway, number, agent)))
            })
            .collect::<Vec<_>>()
    };
    let jobs = documents(0..AGENTS);
    for some in jobs.chunks(16) {
        let stored = queue.enqueue_to_replicas(some, 1).await.unwrap();
        assert!(stored.iter().all(|job| job.replicas == Some(1)), "{stored:?}");
    }

    let log = folders[1].path().join("log");
    done(&queue, 5, &log).await;
    let dead = cluster.master_of("{mission}").await;
    cluster.masters[dead].kill();
    first.kill().await.unwrap();
    cluster.is_replaced(dead).await;
    done(&queue, jobs.len() as u64, &log).await;
    let more = documents(AGENTS..AGENTS + 1);
    let stored = tokio::time::timeout(PATIENCE, async {
        while queue.enqueue(&more).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    stored.await.expect("jobs are taken");
    done(&queue, (jobs.len() + more.len()) as u64, &log).await;

    for job in jobs.iter().chain(&more) {
        assert_eq!(queue.get(job.id).await.unwrap().unwrap().state, State::Done);
    }
    for gateway in &gateways {
        // The gateway's own agent is one of them.
        assert_eq!(
            state(gateway)["agents"].as_object().map(serde_json::Map::len),
            Some(AGENTS + 2)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_another_number_of_shards_ends_and_says_why() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    let file = data.path().join("job.json");
    std::fs::write(&file, document(&gateway, 1, 1).to_string()).unwrap();
    let enqueue = ["enqueue", file.to_str().unwrap(), "--replicas", "1"];
    let stored = worker(data.path(), &redis.url(), 4).run(&enqueue).await;
    assert_eq!(stored.status, Some(1), "{}", stored.said);
    assert!(stored.said.contains("stored, but only 0 of 1 replicas"), "{}", stored.said);

    for command in [&["run"][..], &["run", "--until-idle"], &["jobs", "list"]] {
        let ended = worker(data.path(), &redis.url(), 8).run(command).await;
        assert_eq!(ended.status, Some(2), "{command:?}: {}", ended.said);
        for words in ["has 4 shards", "redis.shards (MISSION_SHARDS) is 8", "set it to 4"] {
            assert!(ended.said.contains(words), "{command:?}: {}", ended.said);
        }
    }
    let ended = worker(data.path(), &redis.url(), 4).run(&["run", "--until-idle"]).await;
    assert_eq!(ended.status, Some(0), "{}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_shards_that_cannot_be_read_is_named_and_repaired() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = Queue::open(&redis.url(), "mission").unwrap().with_shards(4).unwrap();
    let document = documents::provision("ws://127.0.0.1:1", "Ada");
    queue.enqueue(&[envelope(&document)]).await.unwrap();
    redis.tell::<()>("SET {mission}:shards many").await;
    let doctor = async |repair: &[&str]| {
        let command = [&["doctor"][..], repair].concat();
        worker(data.path(), &redis.url(), 4).run(&command).await
    };
    let ended = doctor(&[]).await;
    assert_eq!(ended.status, Some(2), "{}", ended.said);
    for words in ["{mission}:shards", "\"many\"", "1 to 64", "worker doctor --repair"] {
        assert!(ended.said.contains(words), "{words}: {}", ended.said);
    }
    doctor(&["--repair"]).await;
    assert_eq!(redis.tell::<String>("GET {mission}:shards").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_the_shards_of_a_master_that_is_away_and_goes_on() {
    let (mut cluster, data) = (RedisCluster::start(3).await, TempDir::new().unwrap());
    let queue = Queue::open(&cluster.url(), "mission").unwrap().with_shards(SHARDS).unwrap();
    let document = documents::provision("ws://127.0.0.1:1", "Ada");
    queue.enqueue(&[envelope(&document)]).await.unwrap();
    let dead = (cluster.master_of("{mission}").await + 1) % 3;
    let mut away = Vec::new();
    for shard in 1..SHARDS {
        if cluster.master_of(&format!("{{mission/{shard}}}")).await == dead {
            away.push(shard.to_string());
        }
    }
    cluster.replicas[dead].kill();
    cluster.masters[dead].kill();
    let doctor = worker(data.path(), &cluster.url(), SHARDS).run(&["doctor"]).await;
    assert_eq!(doctor.status, Some(3), "{}", doctor.said);
    let says = |about: &str| {
        let of = doctor.answers.iter().find(|finding| finding["about"] == about);
        of.and_then(|finding| finding["says"].as_str()).unwrap_or_default().to_owned()
    };
    let named = says("shards");
    assert!(named.ends_with(&format!("these cannot: {}", away.join(", "))), "{named}");
    for about in ["redis", "durability", "secrets", "worker"] {
        assert!(!says(about).is_empty(), "{about}: {:?}", doctor.answers);
    }
}
