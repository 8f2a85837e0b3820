//! The actions of operators and what they show: groups of failures, snoozing, the audit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mission_core::{Failure, Outcome, Remedy};
use mission_jobs::queue::{AuditEntry, Group};
use mission_jobs::{Claimed, PauseScope, Queue, QueueError, RunResult, Settings, State};
use mission_test_support::RedisServer;
use uuid::Uuid;

use crate::documents::{cleanup, update};
use crate::worker::{
    HOUR, Runs, Worker, brisk, by, done, eventually, look, patient, permanent, put, reached,
    reaches, transient, unreachable,
};

fn blocked(code: &str) -> RunResult {
    Outcome::Blocked(
        Failure::new(code, "the device is not paired")
            .with_remedy(Remedy::gateway_host("approve it")),
    )
    .into()
}

async fn group(queue: &Queue, code: &str) -> Option<Group> {
    queue.groups(50).await.unwrap().into_iter().find(|group| group.code == code)
}

async fn audit(queue: &Queue) -> Vec<AuditEntry> {
    queue.audit(None, 100).await.unwrap()
}

#[tokio::test]
async fn equal_failures_are_one_group_until_their_jobs_overcome_them() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [cleanup(1, 1), cleanup(1, 2), cleanup(2, 3), cleanup(2, 4)];
    queue.enqueue(&jobs).await.unwrap();
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let end = move |claimed: &Claimed| match (
        is_well.load(Ordering::SeqCst),
        claimed.job.agent_id().unwrap().as_u128(),
    ) {
        (_, 4) => permanent(),
        (false, _) => blocked("pairing_required"),
        (true, _) => done(),
    };
    let _worker = Worker::start(&queue, patient(), Runs::default().handler(end));
    for job in &jobs[..3] {
        reaches(&queue, job.id, State::Blocked).await;
    }
    reaches(&queue, jobs[3].id, State::Dead).await;

    let mut groups = queue.groups(50).await.unwrap();
    groups.sort_by_key(|group| (group.gateway, group.code.clone()));
    let of = |group: &Group| (group.gateway.as_u128(), group.code.clone(), group.count);
    assert_eq!(
        groups.iter().map(of).collect::<Vec<_>>(),
        [
            (1, "pairing_required".into(), 2),
            (2, "pairing_required".into(), 1),
            (2, "template_error".into(), 1)
        ]
    );
    let first = groups.remove(0);
    assert_eq!(
        (first.message.as_str(), first.remedy()),
        ("the device is not paired", Remedy::gateway_host("approve it"))
    );
    assert!(first.first_at_ms <= first.last_at_ms && first.last_at_ms > 0);
    assert!(jobs[..2].iter().any(|job| job.id == first.sample));
    let found = queue.search(&first.search(), None, 50).await.unwrap();
    assert_eq!(found.jobs.len(), 2);

    // A retry that fails does not change the age of the group.
    queue.retry(jobs[0].id, false, &by("ada"), "").await.unwrap();
    eventually("run again", async || look(&queue, jobs[0].id).await.runs == 2).await;
    reaches(&queue, jobs[0].id, State::Blocked).await;
    let again =
        queue.groups(50).await.unwrap().into_iter().find(|group| group.key == first.key).unwrap();
    assert_eq!((again.count, again.first_at_ms), (2, first.first_at_ms));
    assert!(again.last_at_ms >= first.last_at_ms);

    well.store(true, Ordering::SeqCst);
    queue.retry(jobs[0].id, false, &by("ada"), "").await.unwrap();
    reaches(&queue, jobs[0].id, State::Done).await;
    queue.cancel(jobs[1].id, &by("ada"), "").await.unwrap();
    queue.discard(jobs[3].id, &by("ada"), "").await.unwrap();
    let left = queue.groups(50).await.unwrap();
    assert_eq!(left.iter().map(of).collect::<Vec<_>>(), [(2, "pairing_required".into(), 1)]);
    assert!(queue.search(&first.search(), None, 50).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_job_that_fails_in_another_way_changes_its_group_and_a_removed_one_leaves_it() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    let end = |claimed: &Claimed| if claimed.run == 1 { transient() } else { permanent() };
    let worker = Worker::start(&queue, brisk(), Runs::default().handler(end));
    reaches(&queue, job.id, State::Dead).await;
    assert_eq!(group(&queue, "refused").await, None);
    assert_eq!(group(&queue, "template_error").await.unwrap().count, 1);
    drop(worker);
    let nothing = mission_jobs::Keep { age: Duration::ZERO, count: 0 };
    let _worker =
        Worker::start(&queue, Settings { keep_dead: nothing, ..brisk() }, |_| async { done() });
    eventually("forgotten", async || queue.groups(50).await.unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_snoozed_job_waits_for_the_requested_time() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [ready, waits, ended] = [update(1, 1), update(1, 2), update(1, 3)];
    queue.enqueue(&[ready.clone(), waits.clone(), ended.clone()]).await.unwrap();
    assert_eq!(queue.snooze(ready.id, HOUR, &by("ada"), "maintenance").await, Ok(State::Ready));
    assert_eq!(
        queue.snooze(waits.id, Duration::from_millis(50), &by("ada"), "").await,
        Ok(State::Ready)
    );
    let record = look(&queue, ready.id).await;
    assert_eq!((record.state, record.attempts, record.snoozed_since_ms), (State::Snoozed, 0, None));
    assert_eq!(record.snoozed_by.as_deref(), Some("ada: maintenance"));
    let wait = record.next_at_ms.unwrap() - record.timeline.last().unwrap().at_ms;
    assert_eq!(u128::from(wait), HOUR.as_millis());

    let worker = Worker::start(&queue, brisk(), Runs::default().handler(|_| done()));
    for job in [&waits, &ended] {
        reaches(&queue, job.id, State::Done).await;
    }
    assert_eq!(look(&queue, ready.id).await.state, State::Snoozed);
    let refused = QueueError::NotSnoozable { id: ended.id, state: State::Done };
    assert_eq!(queue.snooze(ended.id, HOUR, &by("ada"), "").await, Err(refused));
    let nobody = Uuid::from_u128(9);
    assert_eq!(
        queue.snooze(nobody, HOUR, &by("ada"), "").await,
        Err(QueueError::Missing { id: nobody })
    );
    assert_eq!(queue.retry(ready.id, false, &by("ada"), "").await, Ok(State::Snoozed));
    assert_eq!(reaches(&queue, ready.id, State::Done).await.snoozed_by, None);
    drop(worker);
}

#[tokio::test]
async fn only_dead_jobs_can_be_discarded() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [dead, waits] = [cleanup(1, 1), cleanup(1, 2).with_delay(HOUR)];
    queue.enqueue(&[dead.clone(), waits.clone()]).await.unwrap();
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(|_| permanent()));
    reaches(&queue, dead.id, State::Dead).await;
    assert_eq!(queue.discard(dead.id, &by("ada"), "").await, Ok(()));
    assert_eq!(look(&queue, dead.id).await.state, State::Cancelled);
    let refused = QueueError::NotDiscardable { id: waits.id, state: State::Scheduled };
    assert_eq!(queue.discard(waits.id, &by("ada"), "").await, Err(refused));
}

#[tokio::test]
async fn actions_are_recorded_with_author_origin_and_reason() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [dead, waits] = [cleanup(1, 1), cleanup(1, 2).with_delay(HOUR)];
    queue.enqueue(&[dead.clone(), waits.clone()]).await.unwrap();
    let worker = Worker::start(&queue, brisk(), Runs::default().handler(|_| permanent()));
    reaches(&queue, dead.id, State::Dead).await;
    drop(worker);
    let author = mission_jobs::queue::Author::new("ada", "dashboard 203.0.113.9");
    queue.retry(dead.id, false, &author, "the disk is replaced").await.unwrap();
    queue.snooze(dead.id, HOUR, &by("bo"), "").await.unwrap();
    queue.cancel(waits.id, &by("bo"), "not\nneeded").await.unwrap();
    assert!(queue.cancel(waits.id, &by("bo"), "again").await.is_err());
    queue.pause(&PauseScope::All, &by("cy"), "new disk").await.unwrap();
    queue.resume(&PauseScope::All, &by("cy"), "").await.unwrap();
    assert!(!queue.resume(&PauseScope::All, &by("cy"), "").await.unwrap());

    let entries = audit(&queue).await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let did = &entry.record;
            let (before, after) = (did.before.as_deref().unwrap(), did.after.as_deref().unwrap());
            (
                did.action.as_str(),
                did.target.clone(),
                before,
                after,
                did.by.as_str(),
                did.why.as_str(),
            )
        })
        .collect();
    let (dead, waits) = (dead.id.to_string(), waits.id.to_string());
    assert_eq!(
        told,
        [
            ("resume", "all".to_owned(), "paused", "active", "cy", ""),
            ("pause", "all".to_owned(), "active", "paused", "cy", "new disk"),
            ("cancel", waits, "scheduled", "cancelled", "bo", "not needed"),
            ("snooze", dead.clone(), "ready", "snoozed", "bo", ""),
            ("retry", dead, "dead", "ready", "ada", "the disk is replaced"),
        ]
    );
    assert_eq!(entries[4].record.from, "dashboard 203.0.113.9");
    assert!(
        entries.is_sorted_by(|newer, older| newer.record.at_ms >= older.record.at_ms)
            && entries[4].record.at_ms > 0
    );
    let before = queue.audit(Some(&entries[1].id), 2).await.unwrap();
    assert_eq!(before, entries[2..4]);
    let wrong = QueueError::EntryId { id: "+ x".to_owned() };
    assert_eq!(queue.audit(Some("+ x"), 2).await, Err(wrong));
}

#[tokio::test]
async fn the_audit_keeps_the_latest_actions() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let fill = "for i = 1, 12000 do redis.call('XADD', KEYS[1], '*', 'entry', '{}') end";
    let mut connection = redis.connect().await;
    redis::Script::new(fill).key("{test}:audit").invoke_async::<()>(&mut connection).await.unwrap();
    queue.pause(&PauseScope::All, &by("ada"), "").await.unwrap();
    let length: usize = redis.tell("XLEN {test}:audit").await;
    assert!((10_000..10_200).contains(&length), "{length}");
    assert_eq!(audit(&queue).await[0].record.action, "pause");
}

#[tokio::test]
async fn failures_to_reach_a_gateway_are_one_group() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    queue.enqueue(&[cleanup(1, 1), cleanup(2, 2)]).await.unwrap();
    let end =
        |claimed: &Claimed| if claimed.lane.ends_with('1') { unreachable() } else { reached() };
    let _worker = Worker::start(&queue, patient(), Runs::default().handler(end));
    eventually("failed", async || group(&queue, "refused").await.is_some()).await;
    let group = group(&queue, "refused").await.unwrap();
    assert_eq!((group.gateway.as_u128(), group.count), (1, 1));
    assert_eq!(group.key.parse::<Uuid>().ok(), None);
}
