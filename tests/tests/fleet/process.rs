//! A fleet that goes through the queue, with a real worker process and real sockets.

use std::time::{Duration, Instant};

use mission_gateway_sim::Profile;
use mission_jobs::{Envelope, State};
use mission_test_support::RedisServer;
use tempfile::TempDir;
use tokio::time::timeout;

use super::MAX_WRITES;
use crate::documents;
use crate::processes::{Worker, resident};
use crate::simulated::start;

const AGENTS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_agents_through_the_queue() {
    for profile in super::PROFILES {
        raise(profile).await;
    }
}

async fn raise(profile: Profile) {
    let (gateway, redis, data) =
        (start(profile, |_| {}).await, RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let document =
        |agent| documents::provision(&gateway.url(), &format!("Agent {agent}")).to_string();
    let jobs: Vec<_> =
        (0..AGENTS).map(|agent| Envelope::new(document(agent).as_bytes()).unwrap()).collect();
    let mut ids = Vec::new();
    for jobs in jobs.chunks(50) {
        ids.extend(queue.enqueue(jobs).await.unwrap().into_iter().map(|job| job.id));
    }
    let began = Instant::now();
    let worker = Worker::new(data.path())
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let mut worker = worker.spawn(&["run"]);
    let pid = worker.pid().expect("the worker runs");
    // Progress and memory, as seen from outside while the worker runs.
    let (mut progress, mut memory) = (Vec::new(), 0);
    let all = async {
        loop {
            let done = queue.counts().await.unwrap().of(State::Done);
            memory = memory.max(resident(pid));
            if progress.last() != Some(&done) {
                progress.push(done);
            }
            if done == AGENTS as u64 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("all are done in time");
    let wall = began.elapsed();
    for id in &ids {
        let record = queue.get(*id).await.unwrap().unwrap();
        let states: Vec<_> = record.timeline.iter().map(|entered| entered.state).collect();
        assert_eq!(
            states,
            [State::Ready, State::Running, State::Done],
            "each job records its states"
        );
        assert!(!record.history[0].result.steps.is_empty(), "each run records its calls");
    }
    let state = gateway.state();
    let (agents, files) =
        (state["agents"].as_object().unwrap(), state["files"].as_object().unwrap());
    assert_eq!(agents.keys().filter(|id| *id != "main").count(), AGENTS);
    assert!(agents.keys().filter(|id| *id != "main").all(|id| files[id]["SOUL.md"].is_string()));
    assert_eq!(gateway.connections(), 1);
    println!(
        "{profile:?}: {AGENTS} agents through the queue: {} config writes, {} calls each, {} ms \
         of wall time, {memory} KiB at most, done jobs over time: {progress:?}",
        gateway.config_writes(),
        gateway.calls().len() / AGENTS,
        wall.as_millis(),
    );
    // As many runs at once as a lane allows, 64, and a few more for the jobs that run singly at
    // both ends.
    let batches = AGENTS.div_ceil(64) as u64;
    assert!(
        gateway.config_writes() <= batches * MAX_WRITES,
        "{} config writes",
        gateway.config_writes()
    );
    worker.kill().await.unwrap();
}
