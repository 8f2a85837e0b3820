//! Runs that something newer overtakes, and people who go back to an earlier state: the newest state
//! counts all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mission_core::{Failure, Job, Outcome};
use mission_jobs::queue::GatewayConnection;
use mission_jobs::{Claimed, Queue, RunResult, State};
use mission_test_support::RedisServer;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync};
use crate::records::{agent, document, pause, provision, runs_until_done};
use crate::worker::{
    Runs, Worker, brisk, by, done, eventually, look, permanent, put, reached, reaches,
};

fn every(value: &str) -> (&'static str, Value) {
    ("/agent/heartbeat_config", json!({ "every": value }))
}

fn refused() -> RunResult {
    Outcome::Blocked(Failure::new("unauthorized", "a wrong token").of_gateway()).into()
}

async fn store(queue: &Queue, token: &str) {
    let gateway = json!({
        "id": Uuid::from_u128(1), "url": "ws://127.0.0.1:1", "workspace_root": "/srv",
        "token": token,
    });
    let connection = GatewayConnection::new(&gateway).unwrap();
    queue.put_gateway(&connection, &by("test"), "").await.unwrap();
}

/// Returns the agents that the sync of a run is to write, or none for another run.
fn synced(claimed: &Claimed) -> Option<Vec<u128>> {
    let Job::HeartbeatSync(sync) = &claimed.job else { return None };
    Some(sync.agents.iter().map(|agent| agent.id.as_u128()).collect())
}

#[tokio::test]
async fn a_provisioning_runs_again_if_a_sync_came_while_it_ran() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = document(&[every("1m"), ("/options/wake", json!({}))]);
    put(&queue, &job).await;
    let (runs, is_first) = (Runs::default(), Arc::new(AtomicBool::new(true)));
    let (own, producer) = (runs.handler(|_| done()), queue.clone());
    let _worker = Worker::start(&queue, brisk(), move |claimed: Claimed| {
        let (own, producer, is_first) = (own.clone(), producer.clone(), is_first.clone());
        async move {
            if is_first.swap(false, Ordering::Relaxed) {
                put(&producer, &heartbeat_sync(1, &[(1, "2m")])).await;
            }
            own(claimed).await
        }
    });
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!((record.runs, record.attempts), (2, 1));
    let seen = runs.map(|claimed| match &claimed.job {
        Job::Provision(job) => {
            let wakes = job.options.wake.is_some();
            Some((job.agent.heartbeat_config["every"].clone(), wakes))
        }
        _ => None,
    });
    let seen: Vec<_> = seen.into_iter().flatten().collect();
    assert_eq!(seen, [(json!("1m"), true), (json!("2m"), false)], "the wake is sent once");
}

#[tokio::test]
async fn a_cancelled_cleanup_makes_no_sync_an_older_one() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put(&queue, &document(&[agent(1)])).await;
    runs_until_done(&queue, 1).await;
    pause(&queue).await;
    put(&queue, &heartbeat_sync(1, &[(1, "2m")])).await;
    let removal = cleanup(1, 1);
    put(&queue, &removal).await;
    queue.cancel(removal.id, &by("test"), "").await.unwrap();
    let runs = runs_until_done(&queue, 2).await;
    assert_eq!(runs.map(synced), [Some(vec![1])]);
}

#[tokio::test]
async fn a_cancelled_cleanup_does_not_bring_a_deleted_agent_back() {
    // The second one is enqueued after the first is done, and while it runs.
    for while_it_runs in [false, true] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        put(&queue, &document(&[agent(1)])).await;
        runs_until_done(&queue, 1).await;
        let [first, second] = [cleanup(1, 1), cleanup(1, 1)];
        put(&queue, &first).await;
        if while_it_runs {
            let (producer, second) = (queue.clone(), second.clone());
            let _worker = Worker::start(&queue, brisk(), move |_: Claimed| {
                let (producer, second) = (producer.clone(), second.clone());
                async move {
                    pause(&producer).await;
                    put(&producer, &second).await;
                    done()
                }
            });
            reaches(&queue, first.id, State::Done).await;
        } else {
            runs_until_done(&queue, 2).await;
            pause(&queue).await;
            put(&queue, &second).await;
        }
        queue.cancel(second.id, &by("test"), "").await.unwrap();
        put(&queue, &heartbeat_sync(1, &[(1, "2m")])).await;
        let runs = runs_until_done(&queue, 3).await;
        assert_eq!(runs.map(synced), [Some(vec![])], "while it runs: {while_it_runs}");
    }
}

#[tokio::test]
async fn a_provisioning_that_is_retried_after_a_cleanup_begins_a_new_life() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let generation = ("/agent/generation", json!(3));
    let job = document(&[agent(1), generation, ("/options/wake", json!({}))]);
    put(&queue, &job).await;
    {
        let _worker = Worker::start(&queue, brisk(), |_| async { permanent() });
        reaches(&queue, job.id, State::Dead).await;
    }
    put(&queue, &cleanup(1, 1)).await;
    runs_until_done(&queue, 1).await;
    queue.retry(job.id, true, &by("test"), "").await.unwrap();
    let runs = runs_until_done(&queue, 2).await;
    let again = runs.map(provision).remove(0);
    assert_eq!(again.options.action, mission_core::model::Action::Provision);
    assert!(again.auth_token.is_some() && again.options.wake.is_none());
    put(&queue, &heartbeat_sync(1, &[(1, "2m")])).await;
    assert_eq!(runs_until_done(&queue, 3).await.map(synced), [Some(vec![1])], "it is wanted");
}

#[tokio::test]
async fn another_connection_frees_jobs_that_a_success_has_freed_before() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let turned_away = document(&[agent(1)]);
    put(&queue, &turned_away).await;
    let end = |claimed: &Claimed| {
        let is_first = matches!(&claimed.job, Job::Provision(job) if job.agent.id.as_u128() == 1);
        if is_first { refused() } else { reached() }
    };
    let worker = Worker::start(&queue, brisk(), Runs::default().handler(end));
    reaches(&queue, turned_away.id, State::Blocked).await;
    put(&queue, &document(&[agent(2)])).await;
    eventually("idle", async || queue.is_idle().await.unwrap()).await;
    let record = look(&queue, turned_away.id).await;
    assert_eq!((record.state, record.runs), (State::Blocked, 2));
    drop(worker);
    pause(&queue).await;
    store(&queue, "another").await;
    assert_eq!(look(&queue, turned_away.id).await.state, State::Ready);
}

#[tokio::test]
async fn a_job_that_is_refused_with_a_former_connection_is_tried_with_the_present_one() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = document(&[agent(1)]);
    put(&queue, &job).await;
    let producer = queue.clone();
    let _worker = Worker::start(&queue, brisk(), move |claimed: Claimed| {
        let producer = producer.clone();
        async move {
            let token = provision(&claimed).gateway.token.unwrap();
            if token.expose_secret() == "corrected" {
                return done();
            }
            store(&producer, "corrected").await;
            refused()
        }
    });
    assert_eq!(reaches(&queue, job.id, State::Done).await.runs, 2);
}
