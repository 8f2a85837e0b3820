//! `worker migrate` as a process. The crate `mission-jobs` tests what is moved.

use mission_test_support::RedisServer;
use serde_json::json;
use tempfile::TempDir;

use crate::processes::{Ended, Worker};

async fn worker(redis: &RedisServer, arguments: &[&str]) -> Ended {
    let folder = TempDir::new().unwrap();
    Worker::new(folder.path())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0")
        .env("MISSION_REDIS_URL", redis.url())
        .run(arguments)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_an_older_layout_is_moved_when_its_workers_have_ended() {
    let redis = RedisServer::start().await;
    let nothing = worker(&redis, &["migrate"]).await;
    assert_eq!((nothing.status, &nothing.answer["layout"]), (Some(0), &json!("present")));

    redis.tell::<()>("SET {mission}:layout 2").await;
    let (now, _): (u64, u64) = redis.tell("TIME").await;
    redis.tell::<()>(&format!("ZADD {{mission}}:beats {}000 old-1", now + 20)).await;
    let list = worker(&redis, &["jobs", "list"]).await;
    assert_eq!(list.status, Some(1), "{}", list.said);
    assert!(list.said.contains("run `worker migrate`"), "{}", list.said);
    for arguments in [&["migrate"][..], &["migrate", "--dry-run"]] {
        let refused = worker(&redis, arguments).await;
        assert_eq!(refused.status, Some(1), "{}", refused.said);
        assert!(refused.said.contains("a heartbeat of old-1"), "{}", refused.said);
    }

    redis.tell::<()>("DEL {mission}:beats").await;
    let dry = worker(&redis, &["migrate", "--dry-run"]).await;
    assert_eq!((dry.status, &dry.answer["layout"]), (Some(0), &json!("earlier")));
    assert_eq!(redis.tell::<String>("GET {mission}:layout").await, "2");
    // A job that is not there any more, and one that cannot be read.
    redis.tell::<()>("ZADD {mission}:state:dead 1 gone 2 spoilt").await;
    redis.tell::<()>("HSET {mission}:job:spoilt job x").await;
    let moved = worker(&redis, &["migrate"]).await;
    assert_eq!(moved.status, Some(1), "{}", moved.said);
    assert_eq!(
        (&moved.answer["moved"], &moved.answer["unreadable"]),
        (&json!(0), &json!(["spoilt"]))
    );
    assert_eq!(redis.tell::<String>("GET {mission}:layout").await, "3");
}
