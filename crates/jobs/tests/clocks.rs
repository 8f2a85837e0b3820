//! The clocks of workers and producers do not matter, because every time in the queue is Redis's.
//!
//! A test cannot set the clock of its own process. So this looks for the ways in which a clock
//! could enter: the arguments of commands, and any code that reads it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mission_core::{Failure, Outcome};
use mission_jobs::queue::PauseScope;
use mission_jobs::{Claimed, IdempotencyKey, RetryPolicy, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::{cleanup, heartbeat_sync, update};
use crate::worker::{
    Runs, Worker, by, done, eventually, permanent, put, quick_renewal, reached, reaches,
    unreachable,
};

/// Returns the numbers in a line that could be the present time, in seconds, milliseconds,
/// microseconds or nanoseconds. Ids of jobs contain the time at which they were made, but no code
/// reads it.
fn times(line: &str) -> Vec<u128> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let day = 24 * 3600 * 1_000_000_000;
    let is_present = |number: &u128| {
        [1_000_000_000, 1_000_000, 1000, 1]
            .iter()
            .any(|unit| (number.saturating_mul(*unit)).abs_diff(now) < day)
    };
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| word.len() < 36)
        .flat_map(|word| word.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|digits| digits.parse().ok())
        .filter(is_present)
        .collect()
}

#[tokio::test]
async fn no_time_of_a_clock_goes_to_redis() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let monitor = redis.monitor().await;
    let soon = Duration::from_millis(20);
    let jobs = [
        cleanup(1, 1).with_delay(soon),
        update(1, 2).with_expiry(Duration::from_secs(60)),
        update(2, 3).with_idempotency_key(IdempotencyKey::new("a").unwrap()),
        heartbeat_sync(1, &[(1, "1m")]),
        cleanup(3, 4),
    ];
    queue.enqueue(&jobs).await.unwrap();
    let end = move |claimed: &Claimed| match (
        claimed.run,
        claimed.job.agent_id().map_or(0, |agent| agent.as_u128()),
    ) {
        (1, 1) => unreachable(),
        (1, 2) => {
            Outcome::Blocked(Failure::new("pairing_required", "not paired").of_gateway()).into()
        }
        (1, 3) => {
            Outcome::Busy { retry_after: Some(soon), failure: Failure::new("starting", "soon") }
                .into()
        }
        (_, 4) => permanent(),
        (_, 0) => done(),
        _ => reached(),
    };
    let retry = RetryPolicy { reprobe: soon, ..quick_renewal().retry };
    let worker =
        Worker::start(&queue, Settings { retry, ..quick_renewal() }, Runs::default().handler(end));
    reaches(&queue, jobs[4].id, State::Dead).await;
    eventually("four done", async || queue.counts().await.unwrap().of(State::Done) == 4).await;
    queue.retry(jobs[4].id, false, &by("test"), "").await.unwrap();
    queue.pause(&PauseScope::All, &by("test"), "").await.unwrap();
    queue.resume(&PauseScope::All, &by("test"), "").await.unwrap();
    let last = cleanup(4, 5).with_delay(Duration::from_secs(60));
    put(&queue, &last).await;
    queue.cancel(last.id, &by("test"), "").await.unwrap();
    worker.stop();
    worker.ended().await;

    let lines = monitor.so_far().await;
    let calls: Vec<&str> = lines
        .iter()
        .filter(|line| !line.contains(" lua] "))
        .filter_map(|line| line.split_once("] "))
        .map(|(_, call)| call)
        .collect();
    assert!(calls.iter().filter(|call| call.contains("FCALL")).count() > 10);
    for call in calls {
        assert_eq!(times(call), [], "{call}");
    }
}

#[test]
fn times_are_found_where_there_are_some() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for text in [format!(r#""{}""#, now.as_millis()), format!(r#"{{\"at\":{}.5}}"#, now.as_secs())]
    {
        assert_eq!(times(&text).len(), 1, "{text}");
    }
    assert!(times(r#""20000" "86400000" "1""#).is_empty());
}

#[test]
fn the_wall_clock_is_not_read() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for clock in
                    ["SystemTime", "UNIX_EPOCH", "Utc::now", "Timestamp::now", "Zoned::now"]
                {
                    assert!(!text.contains(clock), "{} in {}", clock, path.display());
                }
                files += 1;
            }
        }
    }
    assert!(files > 10);
}
