//! The views and actions of operators other than jobs: groups of failures, snoozing, the audit,
//! gateways, hours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mission_core::outcome::GatewayFacts;
use mission_core::{Failure, Outcome, Remedy, Report};
use mission_jobs::queue::{AuditEntry, Group, Recent};
use mission_jobs::{Claimed, PauseScope, Queue, QueueError, RunResult, Settings, State};
use mission_test_support::RedisServer;
use serde_json::json;
use uuid::Uuid;

use crate::documents::{cleanup, update};
use crate::worker::{
    HOUR, Runs, Worker, brisk, by, done, eventually, look, patient, permanent, put, put_all,
    reached, reaches, transient, unreachable,
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

fn facts() -> GatewayFacts {
    GatewayFacts {
        version: "2026.9.6".to_owned(),
        protocol: 4,
        roster: Some("entries".to_owned()),
        write_limit: Some("3 per 60s".to_owned()),
        restarts_on_write: true,
        scopes: Some(vec!["operator.admin".to_owned()]),
        heartbeat_turns_per_day: Some(144),
    }
}

#[tokio::test]
async fn a_gateways_name_and_facts_outlive_its_jobs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    assert_eq!(
        queue.gateway(Uuid::from_u128(1)).await.unwrap().unwrap().name,
        None,
        "nobody has read its document"
    );
    assert!(queue.gateway(Uuid::from_u128(2)).await.unwrap().is_none());
    let end = |claimed: &Claimed| match claimed.run {
        1 => Outcome::Done(Box::new(Report { gateway: Some(facts()), ..Report::default() })).into(),
        _ => done(),
    };
    let worker = Worker::start(&queue, brisk(), Runs::default().handler(end));
    reaches(&queue, job.id, State::Done).await;
    drop(worker);
    redis.tell::<()>(&format!("DEL {}", queue.keys().job(&job.id.to_string()))).await;
    let gateway = queue.gateways(50).await.unwrap().remove(0);
    assert_eq!(gateway.url.as_deref(), Some("ws://127.0.0.1:1/"));
    assert_eq!(gateway.name.as_deref(), Some(""));
    assert_eq!((gateway.version.as_deref(), gateway.protocol), (Some("2026.9.6"), Some(4)));
    assert_eq!(
        (gateway.roster.as_deref(), gateway.write_limit.as_deref()),
        (Some("entries"), Some("3 per 60s"))
    );
    assert!(gateway.restarts_on_write && !gateway.insecure_tls);
    assert_eq!(
        (gateway.scopes, gateway.heartbeat_turns_per_day),
        (Some(vec!["operator.admin".to_owned()]), Some(144))
    );
    assert_eq!((gateway.waiting_since_ms, gateway.restarted_at_ms), (None, None));

    let waits = cleanup(1, 2);
    put(&queue, &waits).await;
    let record = look(&queue, waits.id).await;
    let gateway = queue.gateway(Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!(gateway.waiting_since_ms, Some(record.enqueued_at_ms));
    assert!(!json!(gateway).to_string().contains("secret"));
}

#[tokio::test]
async fn each_gateway_shows_how_its_latest_runs_ended() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [cleanup(1, 1), cleanup(1, 2), cleanup(2, 1)];
    put_all(&queue, &jobs).await;
    let bad = jobs[1].id;
    let end = move |claimed: &Claimed| if claimed.id == bad { permanent() } else { done() };
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(end));
    for (job, state) in jobs.iter().zip([State::Done, State::Dead, State::Done]) {
        reaches(&queue, job.id, state).await;
    }
    let recent =
        async |gateway| queue.gateway(Uuid::from_u128(gateway)).await.unwrap().unwrap().recent;
    let sums = |recent: &[Recent]| {
        recent.iter().fold((0, 0), |(done, failed), one| (done + one.done, failed + one.failed))
    };
    assert_eq!(sums(&recent(1).await), (1, 1));
    assert_eq!(sums(&recent(2).await), (1, 0));
    let at_ms = recent(2).await[0].at_ms;
    assert_eq!(at_ms % Recent::SPAN_MS, 0);
    assert!(look(&queue, jobs[2].id).await.finished_at_ms.unwrap() - at_ms < Recent::SPAN_MS);

    // The record is aged by more than an hour; entries that are too old go when the next run ends.
    let age = "local key, lane = KEYS[1] .. ':gateway', ARGV[1]
        local known = cmsgpack.unpack(redis.call('HGET', key, lane))
        known.recent = (known.slot - 13) .. ' 7 7;' .. (known.slot - 3) .. ' 2 1;'
        known.slot = known.slot - 1
        redis.call('HSET', key, lane, cmsgpack.pack(known))";
    let mut connection = redis.connect().await;
    let lane = Uuid::from_u128(2).to_string();
    redis::Script::new(age)
        .key("{test}")
        .arg(lane)
        .invoke_async::<()>(&mut connection)
        .await
        .unwrap();
    let next = cleanup(2, 5);
    put(&queue, &next).await;
    reaches(&queue, next.id, State::Done).await;
    let known = recent(2).await;
    let ago = |slots| at_ms - slots * Recent::SPAN_MS;
    assert_eq!(known[0], Recent { at_ms: ago(3), done: 2, failed: 1 });
    assert_eq!(known[1], Recent { at_ms: ago(1), done: 1, failed: 0 });
    assert!(
        known.len() == 3 && known[2].at_ms >= at_ms && (known[2].done, known[2].failed) == (1, 0),
        "{known:?}"
    );
}

#[tokio::test]
async fn a_gateways_restart_is_recorded_once_for_all_jobs_that_meet_it() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..5).map(|agent| cleanup(1, agent)).chain([cleanup(2, 9)]).collect();
    queue.enqueue(&jobs).await.unwrap();
    let restarting = |claimed: &Claimed| {
        let code = if claimed.lane.ends_with('1') { "gateway_restarting" } else { "gateway_busy" };
        Outcome::Busy {
            retry_after: Some(HOUR),
            failure: Failure::new(code, "back soon").of_gateway(),
        }
        .into()
    };
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(restarting));
    for job in &jobs {
        reaches(&queue, job.id, State::Snoozed).await;
    }
    let restarts = queue.restarts(50).await.unwrap();
    assert_eq!(restarts.iter().map(|restart| restart.gateway.as_u128()).collect::<Vec<_>>(), [1]);
    let gateway = queue.gateway(Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!(gateway.restarted_at_ms, Some(restarts[0].at_ms));
    let minutes = queue.stats(2).await.unwrap();
    let counted: u64 = minutes
        .iter()
        .filter_map(|minute| minute.kinds.get("cleanup")?.counts.get("restart"))
        .sum();
    assert_eq!(counted, 1);
}

#[tokio::test]
async fn hours_add_up_the_minutes_and_outlive_them() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let now = queue.summary().await.unwrap().at_ms / 60_000;
    let hour = now / 60 - 2;
    for (minute, count) in [(hour * 60 + 1, 3), (hour * 60 + 7, 4), (now - 1, 5), (now, 6)] {
        redis
            .tell::<()>(&format!(
                "HSET {{test}}:minute:{minute} cleanup|done {count} cleanup|wait|3 {count}"
            ))
            .await;
    }
    let total = async || {
        let hours = queue.hours(24).await.unwrap();
        assert_eq!(hours.len(), 24);
        assert!(hours.iter().all(|hour| hour.at_ms % 3_600_000 == 0));
        let of = |at: u64| {
            let hour = hours.iter().find(|hour| hour.at_ms == at * 3_600_000).unwrap();
            hour.kinds
                .get("cleanup")
                .map_or((0, 0), |kind| (kind.counts["done"], kind.waited.count()))
        };
        let all: u64 =
            hours.iter().filter_map(|hour| hour.kinds.get("cleanup")?.counts.get("done")).sum();
        (of(hour), all)
    };
    assert_eq!(total().await, ((7, 7), 18), "before anything was added up");
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    eventually("added up", async || {
        let rolled: Option<u64> = redis.tell("GET {test}:rolled").await;
        rolled.is_some_and(|rolled| rolled >= now - 1)
    })
    .await;
    assert_eq!(total().await, ((7, 7), 18));
    redis
        .tell::<()>(&format!(
            "DEL {{test}}:minute:{} {{test}}:minute:{}",
            hour * 60 + 1,
            hour * 60 + 7
        ))
        .await;
    assert_eq!(total().await, ((7, 7), 18), "hours stand by themselves");
    let quarters = queue.quarters(96).await.unwrap();
    let done: Vec<u64> = quarters
        .iter()
        .filter_map(|quarter| quarter.kinds.get("cleanup")?.counts.get("done").copied())
        .collect();
    assert_eq!((quarters.len(), done[0], done.iter().sum()), (96, 7, 18));
}

#[tokio::test]
async fn the_summary_shows_the_oldest_ready_and_the_next_due_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let empty = queue.summary().await.unwrap();
    assert!(empty.at_ms > 0);
    assert_eq!(
        (empty.oldest_ready_at_ms, empty.next_due_at_ms, empty.last_ended_at_ms),
        (None, None, None)
    );
    let jobs = [cleanup(1, 1), cleanup(1, 2), cleanup(1, 3).with_delay(HOUR)];
    for job in &jobs {
        put(&queue, job).await;
    }
    queue.cancel(jobs[1].id, &by("ada"), "").await.unwrap();
    queue.pause(&PauseScope::All, &by("ada"), "why").await.unwrap();
    let summary = queue.summary().await.unwrap();
    assert_eq!(summary.oldest_ready_at_ms, Some(look(&queue, jobs[0].id).await.enqueued_at_ms));
    assert_eq!(summary.next_due_at_ms, look(&queue, jobs[2].id).await.next_at_ms);
    assert_eq!(summary.last_ended_at_ms, look(&queue, jobs[1].id).await.finished_at_ms);
    let counts =
        [State::Ready, State::Scheduled, State::Cancelled].map(|state| summary.counts.of(state));
    assert_eq!((counts, summary.paused.len()), ([1, 1, 1], 1));
}

#[tokio::test]
async fn events_are_read_from_a_position() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    assert_eq!(queue.latest_event().await.unwrap(), "0-0");
    put(&queue, &cleanup(1, 1)).await;
    let first = queue.latest_event().await.unwrap();
    assert!(queue.events(&first, Duration::ZERO).await.unwrap().is_empty());
    let waiting = {
        let (queue, first) = (queue.clone(), first.clone());
        tokio::spawn(async move { queue.events(&first, HOUR).await })
    };
    redis.has_idle(1).await;
    let second = cleanup(1, 2);
    put(&queue, &second).await;
    let events = waiting.await.unwrap().unwrap();
    assert_eq!(
        (events.len(), events[0].1["id"].as_str()),
        (1, Some(second.id.to_string().as_str()))
    );
    assert_eq!(events[0].0, queue.latest_event().await.unwrap());
    assert_eq!(queue.events("0-0", Duration::ZERO).await.unwrap().len(), 2);
    assert!(queue.events(&events[0].0, Duration::from_millis(5)).await.unwrap().is_empty());
    assert!(queue.events("$; FLUSHALL", Duration::ZERO).await.is_err());
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
