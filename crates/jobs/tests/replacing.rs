//! A newer job replaces older waiting ones of its agent.

use std::time::Duration;

use futures_util::FutureExt;
use mission_core::Kind;
use mission_jobs::{Claimed, Envelope, Queue, QueueError, Settings, State};
use mission_test_support::RedisServer;
use tokio::sync::Notify;

use crate::documents::{cleanup, heartbeat_sync, provision_main, update};
use crate::worker::{
    DropFlag, Gate, HOUR, Runs, Worker, brisk, by, done, eventually, look, never_ends, notified,
    patient, permanent, put, reaches, short_lease, transient,
};

async fn is_superseded(queue: &Queue, older: &Envelope, newer: &Envelope) {
    let record = reaches(queue, older.id, State::Superseded).await;
    assert_eq!(record.superseded_by, Some(newer.id));
    assert!(record.finished_at_ms.is_some());
}

#[tokio::test]
async fn a_newer_provisioning_replaces_one_that_waits() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (older, newer) = (update(1, 1), update(1, 1));
    assert!(put(&queue, &older).await.superseded.is_empty());
    let accepted = put(&queue, &newer).await;
    assert_eq!((accepted.state, accepted.superseded), (Some(State::Ready), vec![older.id]));
    is_superseded(&queue, &older, &newer).await;

    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, newer.id, State::Done).await;
    assert_eq!(look(&queue, older.id).await.runs, 0);
}

/// Lua passes some thousand values to a command at most.
#[tokio::test]
async fn one_call_replaces_thousands() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let of_each = |delay| (0..50).map(move |agent| update(1, agent).with_delay(delay));
    for _ in 0..90 {
        queue.enqueue(&of_each(HOUR).collect::<Vec<_>>()).await.unwrap();
    }
    let accepted = queue.enqueue(&of_each(Duration::ZERO).collect::<Vec<_>>()).await.unwrap();
    assert!(accepted.iter().all(|accepted| accepted.superseded.len() == 90));
    let counts = queue.counts().await.unwrap();
    assert_eq!(
        [State::Superseded, State::Ready, State::Scheduled].map(|state| counts.of(state)),
        [4500, 50, 0]
    );
}

#[tokio::test]
async fn each_kind_replaces_what_it_makes_pointless() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let sync = |on, of| heartbeat_sync(on, &[(of, "1m")]);
    let kinds: [fn(u128, u128) -> Envelope; 4] = [update, provision_main, cleanup, sync];
    let replaced = [
        (Kind::Provision, Kind::Provision),
        (Kind::Provision, Kind::ProvisionMain),
        (Kind::ProvisionMain, Kind::Provision),
        (Kind::ProvisionMain, Kind::ProvisionMain),
        (Kind::Cleanup, Kind::Provision),
        (Kind::Cleanup, Kind::ProvisionMain),
        (Kind::Cleanup, Kind::Cleanup),
    ];
    for (agent, (newer, older)) in
        (0..).zip(kinds.iter().flat_map(|newer| kinds.iter().map(move |older| (newer, older))))
    {
        // Each pair has its own gateway, because syncs of different agents share a subject.
        let (newer, older) = (newer(agent, 1), older(agent, 1));
        put(&queue, &older).await;
        let accepted = put(&queue, &newer).await;
        let expected = replaced.contains(&(newer.kind, older.kind));
        assert_eq!(
            !accepted.superseded.is_empty(),
            expected,
            "{} after {}",
            newer.kind,
            older.kind
        );
    }
}

#[tokio::test]
async fn jobs_of_other_agents_are_left_alone() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    queue.enqueue(&[update(1, 1), update(1, 2), update(2, 1)]).await.unwrap();
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 3);
}

#[tokio::test]
async fn a_provisioning_does_not_overtake_a_cleanup_that_waits_but_makes_it_due() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (before, after) = (cleanup(1, 1), update(1, 1));
    put(&queue, &before).await;
    let runs = Runs::default();
    let _worker = Worker::start(
        &queue,
        patient(),
        runs.handler(|claimed| {
            if claimed.run == 1 && claimed.job.kind() == Kind::Cleanup {
                transient()
            } else {
                done()
            }
        }),
    );
    reaches(&queue, before.id, State::Retrying).await;

    assert!(put(&queue, &after).await.superseded.is_empty());
    reaches(&queue, after.id, State::Done).await;
    assert_eq!(runs.ids(), [before.id, before.id, after.id]);
    assert_eq!(look(&queue, before.id).await.state, State::Done);
}

#[tokio::test]
async fn a_job_that_is_due_replaces_scheduled_ones_of_any_kind() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let scheduled = [cleanup(1, 1).with_delay(HOUR), update(1, 1).with_delay(HOUR)];
    queue.enqueue(&scheduled).await.unwrap();
    assert_eq!(queue.counts().await.unwrap().of(State::Scheduled), 2);
    let newer = update(1, 1);
    let mut superseded = put(&queue, &newer).await.superseded;
    superseded.sort();
    assert_eq!(superseded, [scheduled[0].id, scheduled[1].id]);
    is_superseded(&queue, &scheduled[0], &newer).await;

    let sync = heartbeat_sync(1, &[(1, "1m")]).with_delay(HOUR);
    put(&queue, &sync).await;
    assert!(put(&queue, &heartbeat_sync(1, &[(2, "1m")])).await.superseded.is_empty());
    assert_eq!(look(&queue, sync.id).await.state, State::Scheduled);
}

#[tokio::test]
async fn a_scheduled_job_replaces_nothing_before_it_is_due() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let older = update(1, 1);
    put(&queue, &older).await;
    let first = older.id;
    let end = move |claimed: &Claimed| if claimed.id == first { transient() } else { done() };
    let _worker = Worker::start(&queue, patient(), Runs::default().handler(end));
    reaches(&queue, older.id, State::Retrying).await;

    let newer = update(1, 1).with_delay(Duration::from_millis(50));
    let accepted = put(&queue, &newer).await;
    assert_eq!((accepted.state, accepted.superseded), (Some(State::Scheduled), vec![]));
    is_superseded(&queue, &older, &newer).await;
    reaches(&queue, newer.id, State::Done).await;
}

#[tokio::test]
async fn a_running_job_is_not_replaced_but_not_tried_again_either() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (older, newer, newest) = (update(1, 1), update(1, 1), update(1, 1));
    put(&queue, &older).await;
    let gate = Gate::default();
    let (first, at_gate) = (older.id, gate.handler(transient));
    let _worker = Worker::start(&queue, brisk(), move |claimed| {
        if claimed.id == first { at_gate(claimed) } else { async { done() }.boxed() }
    });
    gate.begun().await;
    assert!(put(&queue, &newer).await.superseded.is_empty());
    assert_eq!(put(&queue, &newest).await.superseded, [newer.id]);
    assert_eq!(look(&queue, older.id).await.state, State::Running);

    gate.open();
    is_superseded(&queue, &older, &newest).await;
    reaches(&queue, newest.id, State::Done).await;
    let record = look(&queue, older.id).await;
    assert_eq!((record.runs, record.failure.unwrap().code.as_str()), (1, "refused"));
}

#[tokio::test]
async fn a_running_job_that_succeeds_stays_done_and_the_newer_one_runs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (older, newer) = (update(1, 1), update(1, 1));
    put(&queue, &older).await;
    let gate = Gate::default();
    let _worker = Worker::start(&queue, brisk(), gate.handler(done));
    gate.begun().await;
    put(&queue, &newer).await;
    gate.open();
    gate.begun().await;
    assert_eq!(look(&queue, older.id).await.state, State::Done);
    gate.open();
    reaches(&queue, newer.id, State::Done).await;
}

#[tokio::test]
async fn a_job_that_is_handed_back_or_lost_is_replaced_by_a_newer_one_that_waits() {
    for is_lost in [false, true] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let (older, newer) = (update(1, 1), update(1, 1));
        put(&queue, &older).await;
        let (begun, stopped) = (Notify::new().into(), DropFlag::default());
        let settings = Settings { grace: Duration::from_millis(10), ..short_lease() };
        let worker = Worker::start(&queue, settings, never_ends(&begun, &stopped));
        notified(&begun).await;
        put(&queue, &newer).await;
        if is_lost {
            drop(worker);
        } else {
            worker.stop();
            worker.ended().await;
            assert_eq!(look(&queue, older.id).await.state, State::Superseded);
        }
        let _next = Worker::start(&queue, short_lease(), |_| async { done() });
        is_superseded(&queue, &older, &newer).await;
        reaches(&queue, newer.id, State::Done).await;
    }
}

#[tokio::test]
async fn the_position_in_the_lane_is_inherited() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [
        update(1, 1).with_priority(3),
        update(1, 2).with_priority(3),
        update(1, 3).with_priority(2),
        update(1, 1),
    ];
    queue.enqueue(&jobs).await.unwrap();
    let runs = Runs::default();
    let _worker =
        Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, runs.handler(|_| done()));
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 3).await;
    assert_eq!(runs.agents(), [3, 1, 2]);
}

#[tokio::test]
async fn a_dead_job_that_would_undo_newer_ones_is_not_retried_unless_forced() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (older, newer) = (update(1, 1), update(1, 1));
    put(&queue, &older).await;
    let first = older.id;
    let _worker = Worker::start(&queue, patient(), move |claimed| async move {
        if claimed.run > 1 {
            done()
        } else if claimed.id == first {
            permanent()
        } else {
            transient()
        }
    });
    reaches(&queue, older.id, State::Dead).await;
    put(&queue, &newer).await;
    reaches(&queue, newer.id, State::Retrying).await;

    assert_eq!(
        queue.retry(older.id, false, &by("test"), "").await,
        Err(QueueError::Outdated { id: older.id })
    );
    assert_eq!(look(&queue, older.id).await.state, State::Dead);
    queue.retry(older.id, true, &by("test"), "").await.unwrap();
    // The job comes back as the newest request, so the waiting one has become the older one.
    reaches(&queue, older.id, State::Done).await;
    is_superseded(&queue, &newer, &older).await;
}
