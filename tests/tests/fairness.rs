//! Gateways that say hello and then never answer do not keep the jobs of others waiting.

use std::time::{Duration, Instant};

use mission_gateway_sim::{Action, Fault, Gateway, Profile};
use mission_jobs::{Envelope, Queue, State};
use mission_test_support::RedisServer;
use tempfile::TempDir;
use tokio::time::sleep;
use uuid::Uuid;

use crate::documents;
use crate::processes::Worker;
use crate::simulated::start;

fn job(gateway: &Gateway, number: u128, agent: usize) -> Envelope {
    let mut document = documents::provision(&gateway.url(), &format!("Agent {agent}"));
    document["gateway"]["id"] = Uuid::from_u128(number).to_string().into();
    Envelope::new(document.to_string().as_bytes()).unwrap()
}

/// Enqueues the job and waits for its success.
async fn ends_soon(queue: &Queue, job: &Envelope) {
    let began = Instant::now();
    queue.enqueue(std::slice::from_ref(job)).await.unwrap();
    loop {
        let now = queue.get(job.id).await.unwrap().unwrap();
        if now.state == State::Done {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it waits for those that hang: {now:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_hang_leave_slots_for_others() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let mut hanging = Vec::new();
    for number in 1..=4 {
        let gateway = start(Profile::V2026_9_6, |_| {}).await;
        gateway.inject(Fault::at_call(1, Action::Delay(600_000)).times(100_000));
        let jobs: Vec<_> = (0..20).map(|agent| job(&gateway, number, agent)).collect();
        queue.enqueue(&jobs).await.unwrap();
        hanging.push(gateway);
    }
    let config = data.path().join("worker.toml");
    std::fs::write(&config, "[worker]\nconcurrency = 16\n").unwrap();
    let worker = Worker::new(data.path())
        .env("MISSION_CONFIG", config)
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let mut worker = worker.spawn(&["run"]);
    for gateway in &hanging {
        assert!(gateway.wait_for(|calls| !calls.is_empty()).await, "it is called");
    }
    let healthy = start(Profile::V2026_9_6, |_| {}).await;
    ends_soon(&queue, &job(&healthy, 9, 0).with_priority(0)).await;
    let running = queue.counts().await.unwrap().of(State::Running);
    assert!((4..=8).contains(&running), "each gateway that hangs has a slot or two");
    worker.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_gateways_that_hang_than_slots_leave_slots_for_one_that_has_answered() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let config = data.path().join("worker.toml");
    std::fs::write(&config, "[worker]\nconcurrency = 8\n").unwrap();
    let worker = Worker::new(data.path())
        .env("MISSION_CONFIG", config)
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let mut worker = worker.spawn(&["run"]);
    let healthy = start(Profile::V2026_9_6, |_| {}).await;
    ends_soon(&queue, &job(&healthy, 99, 0)).await;
    let mut hanging = Vec::new();
    for number in 1..=10 {
        let gateway = start(Profile::V2026_9_6, |_| {}).await;
        gateway.inject(Fault::at_call(1, Action::Silence).times(100_000));
        let jobs: Vec<_> = (0..3).map(|agent| job(&gateway, number, agent)).collect();
        queue.enqueue(&jobs).await.unwrap();
        hanging.push(gateway);
    }
    let began = Instant::now();
    while queue.counts().await.unwrap().of(State::Running) < 4 {
        assert!(began.elapsed() < Duration::from_secs(20), "half of the slots are used");
        sleep(Duration::from_millis(20)).await;
    }
    ends_soon(&queue, &job(&healthy, 99, 1)).await;
    assert_eq!(queue.counts().await.unwrap().of(State::Running), 4, "half of the slots");
    worker.kill().await.unwrap();
}
