//! Promises about the whole process that no other test covers: its shutdown, and its wait for
//! Redis.

use std::path::Path;
use std::time::Duration;

use mission_gateway_sim::{Action, Fault, Profile};
use mission_jobs::{Envelope, Queue, State};
use mission_test_support::RedisServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::documents;
use crate::processes::Worker;
use crate::simulated::start;

/// The maximum CPU time of a worker while Redis is away, in percent.
const CPU_PERCENT: u64 = 1;
/// The time over which the CPU time is measured.
const WINDOW: Duration = Duration::from_secs(6);
/// The time within which work continues after Redis has returned.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);

fn worker(data: &Path, redis: &RedisServer) -> Worker {
    let config = data.join("worker.toml");
    std::fs::write(&config, "[worker]\ngrace_seconds = 2\n").unwrap();
    let worker =
        Worker::new(data).env("MISSION_CONFIG", config).env("MISSION_REDIS_URL", redis.url());
    worker.env("MISSION_HTTP_ADDR", "127.0.0.1:0")
}

async fn put(queue: &Queue, document: &Value) -> Uuid {
    queue.enqueue(&[Envelope::new(document.to_string().as_bytes()).unwrap()]).await.unwrap()[0].id
}

/// Of two running jobs, one can finish in time and the other cannot; a third has not started.
#[tokio::test(flavor = "multi_thread")]
async fn i7_sigterm_lets_jobs_finish_or_hands_them_back_and_is_no_error() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    // The answer to the first job's write arrives during the shutdown. The answer to the second
    // job's read never does.
    gateway.inject(Fault::on("config.patch", Action::Delay(600)));
    gateway.inject(Fault::on("agents.list", Action::Silence));
    let process = worker(data.path(), &redis).spawn(&["run"]);
    let quick = put(&queue, &documents::provision(&gateway.url(), "Ada")).await;
    assert!(gateway.wait_for(|calls| calls.iter().any(|call| call.method == "config.patch")).await);
    let slow = put(&queue, &documents::cleanup(&gateway.url(), "Bo")).await;
    let behind = put(&queue, &documents::provision(&gateway.url(), "Bo")).await;
    while queue.get(slow).await.unwrap().unwrap().state != State::Running {
        sleep(Duration::from_millis(5)).await;
    }

    let ended = process.terminate().await;
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("ERROR"), "{}", ended.said);
    let [quick, slow, behind] =
        [quick, slow, behind].map(async |id| queue.get(id).await.unwrap().unwrap());
    let (quick, slow, behind) = (quick.await, slow.await, behind.await);
    assert_eq!((quick.state, quick.runs), (State::Done, 1));
    assert_eq!((behind.state, behind.runs), (State::Ready, 0));
    let outcomes: Vec<_> = slow.history.iter().map(|run| run.result.outcome.as_str()).collect();
    assert_eq!(outcomes, ["released"]);
    assert_eq!(
        (slow.state, slow.runs, slow.attempts, slow.lost, slow.failure),
        (State::Ready, 1, 0, 0, None)
    );

    gateway.clear_faults();
    let next = worker(data.path(), &redis).run(&["run", "--until-idle"]).await;
    assert_eq!(next.status, Some(0), "{}", next.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_without_redis_a_worker_idles_and_then_continues_at_once() {
    let (mut redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    let mut process =
        worker(data.path(), &redis).spawn_into(&["run"], tempfile::tempfile().unwrap());
    let before = put(&queue, &documents::provision(&gateway.url(), "Ada")).await;
    done(&queue, before).await;

    redis.kill();
    let pid = process.pid().expect("the worker runs");
    let used = cpu_ms(pid);
    sleep(WINDOW).await;
    let used = cpu_ms(pid) - used;
    assert!(process.pid().is_some(), "the worker has ended");
    println!("{used} ms of processor time in {} s", WINDOW.as_secs());
    let allowed = u64::try_from(WINDOW.as_millis()).unwrap() * CPU_PERCENT / 100;
    assert!(
        used <= allowed,
        "{used} ms of processor time while Redis was away for {} s",
        WINDOW.as_secs()
    );

    redis.restart().await;
    let back = Instant::now();
    let after = put(&queue, &documents::cleanup(&gateway.url(), "Ada")).await;
    timeout(RESUMES_WITHIN, done(&queue, after)).await.expect("work continues in time");
    println!("continued {:.1} s after Redis returned", back.elapsed().as_secs_f64());
}

async fn done(queue: &Queue, job: Uuid) {
    while queue.get(job).await.ok().flatten().is_none_or(|job| job.state != State::Done) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the CPU time of a process. Linux counts it in hundredths of a second.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may contain anything. It is followed by the state, ten numbers, and
    // user and system time.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
    ticks.sum::<u64>() * 10
}
