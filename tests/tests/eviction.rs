//! A Redis that deletes jobs when its memory is full is refused, and shown where it is not.

use mission_test_support::RedisServer;
use tempfile::TempDir;

use crate::api::server::Server;
use crate::processes::{Ended, Worker};

async fn worker(redis: &RedisServer, allowed: &str, arguments: &[&str]) -> Ended {
    let folder = TempDir::new().unwrap();
    Worker::new(folder.path())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0")
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_REDIS_ALLOW_EVICTION", allowed)
        .run(arguments)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_refuses_a_redis_that_evicts_unless_that_is_allowed() {
    let redis = RedisServer::start().await;
    let until_idle = ["run", "--until-idle"];
    let safe = worker(&redis, "false", &until_idle).await;
    assert_eq!(safe.status, Some(0), "{}", safe.said);
    assert!(!safe.said.contains("maxmemory"), "{}", safe.said);

    // Without a limit nothing is deleted, but one may be set later.
    for (policy, limit) in [("volatile-ttl", "0"), ("allkeys-lru", "1gb")] {
        redis.tell::<()>(&format!("CONFIG SET maxmemory {limit}")).await;
        redis.tell::<()>(&format!("CONFIG SET maxmemory-policy {policy}")).await;
        let refused = worker(&redis, "false", &until_idle).await;
        assert_eq!(refused.status, Some(2), "{}", refused.said);
        for words in [policy, "CONFIG SET maxmemory-policy noeviction", "redis.allow_eviction"] {
            assert!(refused.said.contains(words), "no {words:?}: {}", refused.said);
        }
        let allowed = worker(&redis, "true", &until_idle).await;
        assert_eq!(allowed.status, Some(0), "{}", allowed.said);
        assert!(allowed.said.contains("redis.allow_eviction permits"), "{}", allowed.said);
        let doctor = worker(&redis, "false", &["doctor"]).await;
        let finding = doctor.answers.iter().find(|finding| finding["about"] == "memory").unwrap();
        assert_eq!((finding["grade"].as_str(), doctor.status), (Some("failed"), Some(1)));
        assert!(finding["says"].as_str().unwrap().contains(policy), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_tell_its_policy_gets_a_warning() {
    let redis = RedisServer::start().await;
    redis.tell::<()>("CONFIG SET maxmemory-policy allkeys-lru").await;
    redis.tell::<()>("ACL SETUSER default -info").await;
    let ran = worker(&redis, "false", &["run", "--until-idle"]).await;
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    assert!(ran.said.contains("does not tell its maxmemory-policy"), "{}", ran.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_later_is_shown_by_the_dashboard_and_the_metrics() {
    let server = Server::start(&[]).await;
    let read = async |path| server.get(path, &["accept: text/html"]).await.body;
    assert!(read("/metrics").await.contains("\nmission_redis_evicts 0\n"));
    assert!(!read("/").await.contains("maxmemory-policy"));
    server.redis.tell::<()>("CONFIG SET maxmemory-policy allkeys-lfu").await;
    assert!(read("/metrics").await.contains("\nmission_redis_evicts 1\n"));
    let page = read("/").await;
    assert!(page.contains("maxmemory-policy") && page.contains("allkeys-lfu"), "{page}");
}
