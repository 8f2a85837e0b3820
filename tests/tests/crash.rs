//! `kill -9` of a worker in the middle of a job: another worker finishes the job, and nothing is
//! lost or done twice.

use std::path::Path;
use std::time::Duration;

use mission_gateway_sim::{Action, Fault, Profile};
use mission_jobs::{Envelope, State};
use mission_test_support::RedisServer;
use serde_json::Value;
use tempfile::TempDir;

use crate::documents;
use crate::processes::Worker;
use crate::simulated::{start, state};

/// The calls of a provisioning during which the worker is killed. The answer to each is delayed
/// until then.
const PLACES: [&str; 5] =
    ["config.get", "config.patch", "agents.files.get", "agents.files.set", "sessions.patch"];

/// Returns a worker whose leases are short enough for a test.
fn worker(data: &Path, redis: &RedisServer) -> Worker {
    let config = data.join("worker.toml");
    std::fs::write(&config, "[worker]\nlease_ms = 1200\nrenew_ms = 300\nsweep_ms = 300\n").unwrap();
    let worker =
        Worker::new(data).env("MISSION_CONFIG", config).env("MISSION_REDIS_URL", redis.url());
    worker.env("MISSION_HTTP_ADDR", "127.0.0.1:0")
}

/// Returns the state of the gateway after an undisturbed run.
async fn undisturbed(profile: Profile) -> Value {
    let (gateway, data) = (start(profile, |_| {}).await, TempDir::new().unwrap());
    let file = data.path().join("job.json");
    std::fs::write(&file, documents::provision(&gateway.url(), "Ada").to_string()).unwrap();
    let ended = Worker::new(data.path()).apply(&file).await;
    assert_eq!(ended.answer["outcome"], "done", "{}", ended.said);
    state(&gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_job_is_finished_by_another() {
    for profile in [Profile::V2026_2_9, Profile::V2026_9_6] {
        let expected = undisturbed(profile).await;
        for place in PLACES {
            killed_at(profile, place, &expected).await;
        }
    }
}

async fn killed_at(profile: Profile, place: &str, expected: &Value) {
    let (gateway, redis, data) =
        (start(profile, |_| {}).await, RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let document = documents::provision(&gateway.url(), "Ada").to_string();
    let job = queue.enqueue(&[Envelope::new(document.as_bytes()).unwrap()]).await.unwrap()[0].id;

    // The call is executed and its answer is delayed: the worst moment to die.
    gateway.inject(Fault::on(place, Action::Delay(600_000)));
    let mut first = worker(data.path(), &redis).spawn(&["run"]);
    assert!(
        gateway.wait_for(|calls| calls.iter().any(|call| call.method == place)).await,
        "{place} is called"
    );
    first.kill().await.unwrap();
    gateway.clear_faults();

    let second = worker(data.path(), &redis).run(&["run", "--until-idle"]).await;
    assert_eq!(second.status, Some(0), "{place}: {}", second.said);
    let record = queue.get(job).await.unwrap().unwrap();
    assert_eq!(record.state, State::Done, "{place}");
    let outcomes: Vec<_> = record.history.iter().map(|run| run.result.outcome.as_str()).collect();
    assert_eq!(outcomes, ["lost", "done"], "{place}");
    assert_eq!(&state(&gateway), expected, "{profile:?} after a kill at {place}");
    assert_eq!(gateway.config_writes(), 1, "{profile:?} after a kill at {place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_again_and_again_bury_no_job() {
    let (gateway, redis, data) = (
        start(Profile::V2026_9_6, |_| {}).await,
        RedisServer::start().await,
        TempDir::new().unwrap(),
    );
    let queue = redis.queue_named("mission");
    let document = |agent: usize| {
        let document = documents::provision(&gateway.url(), &format!("Agent {agent}"));
        Envelope::new(document.to_string().as_bytes()).unwrap()
    };
    let jobs: Vec<_> = (0..8).map(document).collect();
    queue.enqueue(&jobs).await.unwrap();
    // Every job takes longer than its worker lives.
    gateway.inject(Fault::on("config.get", Action::Delay(600_000)).times(1000));
    for _ in 0..4 {
        let before = gateway.calls().len();
        let mut process = worker(data.path(), &redis).spawn(&["run"]);
        let runs = gateway
            .wait_for(|calls| calls[before..].iter().any(|call| call.method == "config.get"));
        assert!(runs.await, "a job runs");
        process.kill().await.unwrap();
    }
    gateway.clear_faults();
    let last = worker(data.path(), &redis).run(&["run", "--until-idle"]).await;
    assert_eq!(last.status, Some(0), "{}", last.said);
    for job in &jobs {
        let record = queue.get(job.id).await.unwrap().unwrap();
        assert_eq!(record.state, State::Done, "{record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_lets_its_job_finish() {
    let (gateway, redis, data) = (
        start(Profile::V2026_9_6, |_| {}).await,
        RedisServer::start().await,
        TempDir::new().unwrap(),
    );
    let queue = redis.queue_named("mission");
    let document = documents::provision(&gateway.url(), "Ada").to_string();
    let job = queue.enqueue(&[Envelope::new(document.as_bytes()).unwrap()]).await.unwrap()[0].id;
    gateway.inject(Fault::on("config.patch", Action::Delay(400)));
    let process = worker(data.path(), &redis).spawn(&["run"]);
    assert!(gateway.wait_for(|calls| calls.iter().any(|call| call.method == "config.patch")).await);

    let ended = process.terminate().await;
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    assert_eq!(queue.get(job).await.unwrap().unwrap().state, State::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_die_under_a_running_job() {
    let (gateway, mut redis, data) = (
        start(Profile::V2026_9_6, |_| {}).await,
        RedisServer::start().await,
        TempDir::new().unwrap(),
    );
    let queue = redis.queue_named("mission");
    let document = documents::provision(&gateway.url(), "Ada").to_string();
    let job = queue.enqueue(&[Envelope::new(document.as_bytes()).unwrap()]).await.unwrap()[0].id;
    gateway.inject(Fault::on("config.patch", Action::Delay(300)));
    let mut process = worker(data.path(), &redis).spawn(&["run"]);
    assert!(gateway.wait_for(|calls| calls.iter().any(|call| call.method == "config.patch")).await);
    redis.kill();
    redis.restart().await;
    let settled = async {
        // The counter is restored from the append-only file, which may be a second behind.
        while queue.get(job).await.ok().flatten().is_none_or(|job| job.state != State::Done) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("the job is finished");
    assert_eq!(gateway.config_writes(), 1);
    process.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_redis_that_dies_is_started_again() {
    let (gateway, data) = (start(Profile::V2026_9_6, |_| {}).await, TempDir::new().unwrap());
    let file = data.path().join("job.json");
    std::fs::write(&file, documents::provision(&gateway.url(), "Ada").to_string()).unwrap();
    let mut process =
        Worker::new(data.path()).env("MISSION_HTTP_ADDR", "127.0.0.1:0").spawn(&["run"]);
    let socket = data.path().join("redis/redis.sock");
    let client = redis::Client::open(format!("unix://{}", socket.display())).unwrap();
    let pid = until_some(async || {
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let info: String =
            redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
        info.lines().find_map(|line| line.strip_prefix("process_id:")).map(str::to_owned)
    })
    .await;
    assert!(
        tokio::process::Command::new("kill").args(["-9", &pid]).status().await.unwrap().success()
    );

    let id = until_some(async || {
        let enqueued = Worker::new(data.path()).run(&["enqueue", file.to_str().unwrap()]).await;
        enqueued.answer["id"].as_str().map(str::to_owned)
    })
    .await;
    until_some(async || {
        let shown = Worker::new(data.path()).run(&["jobs", "show", &id]).await;
        (shown.answer["state"] == "done").then_some(())
    })
    .await;
    process.kill().await.unwrap();
    // A worker that is killed leaves its private Redis running. The next worker takes it over and
    // stops it at its end.
    let next = Worker::new(data.path())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0")
        .run(&["run", "--until-idle"])
        .await;
    assert_eq!(next.status, Some(0), "{}", next.said);
    assert!(next.said.contains("private Redis taken over"), "{}", next.said);
    assert!(
        client.get_multiplexed_async_connection().await.is_err(),
        "the private Redis is stopped"
    );
}

/// Repeats `ask` until there is an answer, for a minute at most.
async fn until_some<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("an answer within a minute")
}
