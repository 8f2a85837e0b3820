//! Gateways that say hello and then never answer do not keep the jobs of others waiting.

use std::time::{Duration, Instant};

use mission_gateway_sim::{Action, Fault, Gateway, Profile};
use mission_jobs::{Envelope, State};
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
    let urgent = job(&healthy, 9, 0).with_priority(0);
    let began = Instant::now();
    queue.enqueue(std::slice::from_ref(&urgent)).await.unwrap();
    while queue.get(urgent.id).await.unwrap().unwrap().state != State::Done {
        assert!(began.elapsed() < Duration::from_secs(20), "it waits for those that hang");
        sleep(Duration::from_millis(20)).await;
    }
    let running = queue.counts().await.unwrap().of(State::Running);
    assert_eq!(running, 8, "two jobs of each gateway that hangs");
    worker.kill().await.unwrap();
}
