//! The records of agents while cleanups wait, and after they have died.

use mission_jobs::queue::{AgentPhase, RecordedAgent};
use mission_jobs::{Envelope, Queue, State};
use mission_test_support::RedisServer;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::cleanup;
use crate::records::{document, runs_until_done};
use crate::worker::{HOUR, Worker, brisk, by, look, permanent, put, reaches};

/// Returns a provisioning of agent 1 of gateway 1 with that generation.
fn provision(generation: impl Into<Value>) -> Envelope {
    document(&[("/agent/generation", generation.into())])
}

/// Returns a cleanup of the same agent with that generation.
fn remove(generation: u64) -> Envelope {
    let mut document: Value = serde_json::from_slice(cleanup(1, 1).payload.expose()).unwrap();
    document["agent"]["generation"] = json!(generation);
    Envelope::new(document.to_string().as_bytes()).unwrap()
}

async fn recorded(queue: &Queue) -> RecordedAgent {
    queue.recorded_agents(Uuid::from_u128(1), 0, 1).await.unwrap().agents.remove(0)
}

#[tokio::test]
async fn an_older_generation_does_not_undo_a_cleanup_that_is_not_due_yet() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put(&queue, &provision(7)).await;
    runs_until_done(&queue, 1).await;
    let scheduled = remove(9).with_delay(HOUR);
    assert_eq!(put(&queue, &scheduled).await.state, Some(State::Scheduled));
    for late in [provision(8), provision(8).with_delay(HOUR), remove(8), remove(8).with_delay(HOUR)]
    {
        assert_eq!(put(&queue, &late).await.state, Some(State::Superseded));
        assert_eq!(look(&queue, late.id).await.superseded_by, Some(scheduled.id));
    }
    assert_eq!(look(&queue, scheduled.id).await.state, State::Scheduled);
    let known = recorded(&queue).await;
    assert_eq!((known.phase, known.generation), (AgentPhase::Wanted, Some(7)));
    queue.retry(scheduled.id, false, &by("test"), "").await.unwrap();
    runs_until_done(&queue, 2).await;
    let known = recorded(&queue).await;
    assert_eq!((known.phase, known.generation), (AgentPhase::Deleted, Some(9)));
}

#[tokio::test]
async fn a_document_that_takes_the_place_of_a_scheduled_cleanup_keeps_its_generation() {
    // Without a number, and with an equal one, the order of enqueueing counts.
    for newer in [Value::Null, json!(9)] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let scheduled = remove(9).with_delay(HOUR);
        put(&queue, &scheduled).await;
        assert_eq!(put(&queue, &provision(newer)).await.superseded, [scheduled.id]);
        assert_eq!(put(&queue, &provision(8)).await.state, Some(State::Superseded));
        assert_eq!(recorded(&queue).await.generation, Some(9));
    }
}

#[tokio::test]
async fn a_scheduled_cleanup_that_was_cancelled_keeps_no_document_out() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let scheduled = remove(9).with_delay(HOUR);
    put(&queue, &scheduled).await;
    queue.cancel(scheduled.id, &by("test"), "").await.unwrap();
    assert_eq!(put(&queue, &provision(8)).await.state, Some(State::Ready));
}

#[tokio::test]
async fn a_dead_cleanup_that_is_retried_by_force_leaves_its_agent_deleted() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put(&queue, &provision(3)).await;
    runs_until_done(&queue, 1).await;
    let dead = remove(4);
    put(&queue, &dead).await;
    let worker = Worker::start(&queue, brisk(), |_| async { permanent() });
    reaches(&queue, dead.id, State::Dead).await;
    drop(worker);
    put(&queue, &provision(5)).await;
    runs_until_done(&queue, 2).await;
    assert_eq!(recorded(&queue).await.phase, AgentPhase::Wanted);

    queue.retry(dead.id, true, &by("test"), "").await.unwrap();
    assert_eq!(recorded(&queue).await.phase, AgentPhase::Deleting);
    runs_until_done(&queue, 3).await;
    let known = recorded(&queue).await;
    assert_eq!((known.phase, known.generation), (AgentPhase::Deleted, Some(5)));
    queue.forget_gateway(Uuid::from_u128(1), false, &by("test"), "").await.unwrap();
}
