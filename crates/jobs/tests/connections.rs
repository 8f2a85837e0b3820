//! Each kind of Redis in docs/redis.md, with jobs that are enqueued, run and done.

mod cluster;
mod sentinel;
mod tls;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use mission_jobs::queue::Filter;
use mission_jobs::{Keep, PauseScope, Queue, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::cleanup;
use crate::worker::{
    HOUR, Worker, brisk, by, done, eventually, permanent, put, put_all, reaches, transient,
};

/// Starts a server that also listens on a port of loopback.
pub(crate) async fn on_a_port() -> RedisServer {
    RedisServer::start_with(|port| vec!["--port".to_owned(), port.to_string()]).await
}

/// Runs a job that fails once and then succeeds, with everything that a worker asks of Redis
/// meanwhile.
async fn works(queue: &Queue) {
    let _worker = Worker::start(queue, brisk(), |claimed| async move {
        if claimed.run == 1 { transient() } else { done() }
    });
    let job = cleanup(1, 1);
    put(queue, &job).await;
    let record = reaches(queue, job.id, State::Done).await;
    assert_eq!(record.runs, 2);
    assert_eq!(queue.list(&Filter::new(State::Done)).await.unwrap().jobs.len(), 1);
    assert!(queue.retry(job.id, false, &by("test"), "").await.is_err());
}

#[tokio::test]
async fn a_url_may_name_the_database() {
    let redis = on_a_port().await;
    let port = redis.port();
    works(&Queue::open(&format!("redis://127.0.0.1:{port}/3"), "test").unwrap()).await;
    works(&Queue::open(&format!("{}?db=5", redis.url()), "test").unwrap()).await;
    let used: String = redis.tell("INFO keyspace").await;
    let used: HashSet<_> = used.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert_eq!(used, HashSet::from(["db3", "db5"]));
}

#[tokio::test]
async fn a_password_may_become_valid_later() {
    let redis = on_a_port().await;
    let url = format!("redis://:p%40ss@127.0.0.1:{}", redis.port());
    let queue = Queue::open(&url, "test").unwrap();
    assert!(queue.counts().await.unwrap_err().is_unavailable());
    redis.tell::<()>("CONFIG SET requirepass p@ss").await;
    works(&queue).await;
}

#[tokio::test]
async fn a_redis_that_is_full_refuses_jobs_and_works_off_those_it_has() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (second, wrong) = (cleanup(1, 2), cleanup(2, 1));
    put_all(&queue, &[cleanup(1, 1), cleanup(3, 1), wrong.clone()]).await;
    redis.tell::<()>("CONFIG SET maxmemory 1").await;
    let refused = queue.enqueue(std::slice::from_ref(&second)).await.unwrap_err();
    assert!(refused.is_unavailable() && refused.to_string().contains("OOM"), "{refused}");
    assert!(queue.get(second.id).await.unwrap().is_none());

    let bad = wrong.id;
    let settings = Settings { keep_ended: Keep { age: HOUR, count: 1 }, ..brisk() };
    let _worker = Worker::start(&queue, settings, move |claimed| async move {
        match claimed.run {
            _ if claimed.id == bad => permanent(),
            1 => transient(),
            _ => done(),
        }
    });
    reaches(&queue, bad, State::Dead).await;
    eventually("the other two have ended, and one is removed", async || {
        let counts = queue.counts().await.unwrap();
        [State::Ready, State::Running, State::Retrying, State::Done].map(|state| counts.of(state))
            == [0, 0, 0, 1]
    })
    .await;
    queue.pause(&PauseScope::All, &by("test"), "no room").await.unwrap();
    queue.discard(bad, &by("test"), "not wanted").await.unwrap();
    queue.resume(&PauseScope::All, &by("test"), "").await.unwrap();

    redis.tell::<()>("CONFIG SET maxmemory 0").await;
    put(&queue, &second).await;
}

/// Returns the line of docs/redis.md that makes a user, without `ACL`.
pub(crate) fn documented_user() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/redis.md");
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("ACL SETUSER ")).unwrap();
    line.split(' ').skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_documented_user_has_all_permissions_that_are_needed() {
    let redis = on_a_port().await;
    let mut admin = redis.connect().await;
    redis::cmd("ACL").arg(documented_user()).exec_async(&mut admin).await.unwrap();
    let queue = |name| {
        let url = format!("redis://mission:PASSWORD@127.0.0.1:{}", redis.port());
        Queue::open(&url, name).unwrap()
    };
    works(&queue("mission")).await;
    redis.tell::<()>("FLUSHALL").await;
    works(&queue("mission").with_shards(4).unwrap()).await;

    let denied = async |admin: &mut _| {
        let log: Vec<HashMap<String, String>> =
            redis::cmd("ACL").arg("LOG").query_async(admin).await.unwrap();
        log.into_iter().map(|entry| entry["object"].clone()).collect::<HashSet<_>>()
    };
    // The client library introduces itself, and continues if it may not.
    assert!(denied(&mut admin).await.is_subset(&HashSet::from(["client|setinfo".to_owned()])));
    let error = queue("other").counts().await.unwrap_err();
    assert!(error.to_string().contains("permissions"), "{error}");
    assert!(denied(&mut admin).await.iter().any(|object| object.starts_with("{other}")));
}

/// Returns the number of calls of a command that a Redis has counted.
async fn calls_of(redis: &RedisServer, command: &str) -> u64 {
    let info: String = redis.tell("INFO commandstats").await;
    let stats =
        info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    stats.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn scripts_do_what_functions_may_not() {
    let redis = on_a_port().await;
    let mut admin = redis.connect().await;
    let words = documented_user();
    let words = words.iter().filter(|word| !word.starts_with("+function"));
    for (name, without) in [("one", "+fcall"), ("other", "+function|load")] {
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg(name);
        user.arg(words.clone().skip(2).filter(|word| *word != without).collect::<Vec<_>>());
        user.exec_async(&mut admin).await.unwrap();
        let url = format!("redis://{name}:PASSWORD@127.0.0.1:{}", redis.port());
        redis.tell::<()>("FLUSHALL").await;
        works(&Queue::open(&url, "mission").unwrap()).await;
    }
    assert!(calls_of(&redis, "evalsha").await > 10);
    assert_eq!(redis.tell::<Vec<redis::Value>>("FUNCTION LIST").await, []);
}

#[tokio::test]
async fn functions_that_somebody_removed_are_loaded_again() {
    let redis = on_a_port().await;
    let queue = Queue::open(&redis.url(), "mission").unwrap();
    queue.counts().await.unwrap();
    redis.tell::<()>("FUNCTION FLUSH").await;
    works(&queue).await;
    assert_eq!(calls_of(&redis, "evalsha").await, 0);
    assert!(calls_of(&redis, "function|load").await >= 2);
}

#[test]
fn the_documented_user_may_use_every_command_of_the_scripts() {
    let granted: HashSet<_> = documented_user()
        .iter()
        .filter_map(|word| Some(word.strip_prefix('+')?.to_uppercase()))
        .collect();
    let mut named = 0;
    for file in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queue/redis/lua")).unwrap()
    {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for call in text.split("call('").chain(text.split("attempt('").skip(1)).skip(1) {
            let command = call.split('\'').next().unwrap();
            assert!(granted.contains(command), "{command} is not in docs/redis.md");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} calls found");
}
