//! `/readyz` and the metrics follow the claims of the worker.

use std::time::Duration;

use tokio::time::sleep;

use super::server::{Answer, Server};

/// Asks until the status is this one.
async fn becomes(server: &Server, status: u16) -> Answer {
    for _ in 0..600 {
        let answer = server.get("/readyz", &[]).await;
        if answer.status == status {
            return answer;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("/readyz did not become {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_redis_refuses_writes_is_not_ready_although_it_can_read() {
    let server = Server::start(&[]).await;
    assert_eq!(server.get("/readyz", &[]).await.status, 200, "{}", server.log());
    server.redis.tell::<()>("REPLICAOF 127.0.0.1 1").await;
    let refused = becomes(&server, 503).await.body;
    assert!(refused.contains("READONLY") && refused.contains("claim"), "{refused}");
    assert!(refused.contains("this Redis is a replica"), "{refused}");
    let page = server.get("/", &[]).await.body;
    assert!(page.contains("not ready: claiming jobs has failed"), "{page}");
    assert!(server.queue.counts().await.is_ok());
    let metrics = server.get("/metrics", &[]).await.body;
    assert!(metrics.contains("\nmission_ready 0\n"), "{metrics}");

    server.redis.tell::<()>("REPLICAOF NO ONE").await;
    becomes(&server, 200).await;
    let metrics = server.get("/metrics", &[]).await.body;
    assert!(metrics.contains("\nmission_ready 1\n"), "{metrics}");
}
