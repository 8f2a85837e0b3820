//! The views of the queue other than jobs: gateways, their restarts, figures, the summary, events.

use std::time::Duration;

use mission_core::outcome::GatewayFacts;
use mission_core::{Failure, Outcome, Report};
use mission_jobs::queue::Recent;
use mission_jobs::{Claimed, PauseScope, State};
use mission_test_support::RedisServer;
use serde_json::json;
use uuid::Uuid;

use crate::documents::cleanup;
use crate::worker::{
    HOUR, Runs, Worker, brisk, by, done, eventually, look, permanent, put, put_all, reaches,
};

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
    redis.tell::<()>(&format!("HDEL {} {}", queue.keys().jobs(), job.id)).await;
    let gateway = queue.gateways(50).await.unwrap().remove(0);
    assert_eq!(gateway.url.as_deref(), Some("ws://127.0.0.1:1/"));
    assert_eq!(gateway.name, None, "an empty name is none");
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
    let jobs: Vec<_> = (0..2).map(|agent| cleanup(1, agent)).chain([cleanup(2, 9)]).collect();
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
