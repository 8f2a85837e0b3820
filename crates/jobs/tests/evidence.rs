//! The evidence that remains: of each job, as a stream, and in numbers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mission_core::{Failure, Outcome, Remedy};
use mission_jobs::queue::PauseScope;
use mission_jobs::{Claimed, Queue, RunResult, State, Step};
use mission_test_support::RedisServer;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync, update};
use crate::worker::{
    HOUR, Runs, Worker, brisk, by, done, eventually, look, permanent, put, reaches, transient,
};

type Entries = Vec<(String, HashMap<String, String>)>;

/// Returns all events, oldest first.
async fn events(queue: &Queue) -> Vec<Value> {
    let events = queue.events("0", Duration::ZERO).await.unwrap();
    events.into_iter().map(|(_, event)| event).collect()
}

fn fails_first(claimed: &Claimed) -> RunResult {
    if claimed.run > 1 {
        return done().with_steps(vec![Step::new("compare", 3), Step::new("write", 4)]);
    }
    let failure = Failure::new("refused", "connection refused")
        .with_remedy(Remedy::gateway_host("start the gateway"));
    RunResult::from(Outcome::Transient(failure)).with_steps(vec![Step::new("connect", 2)])
}

#[tokio::test]
async fn a_job_shows_its_states_and_its_runs_with_their_steps() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(fails_first));
    let record = reaches(&queue, job.id, State::Done).await;

    let states: Vec<State> = record.timeline.iter().map(|entered| entered.state).collect();
    assert_eq!(
        states,
        [State::Ready, State::Running, State::Retrying, State::Ready, State::Running, State::Done]
    );
    assert!(record.timeline.is_sorted_by_key(|entered| entered.at_ms));
    assert_eq!(record.timeline[0].at_ms, record.enqueued_at_ms);
    assert_eq!(Some(record.timeline[5].at_ms), record.finished_at_ms);

    let [first, second] = &record.history[..] else { panic!("{:?}", record.history) };
    assert_eq!((first.number, first.started_at_ms), (1, record.timeline[1].at_ms));
    assert_eq!(first.ended_at_ms, record.timeline[2].at_ms);
    assert_eq!(
        (first.result.outcome.as_str(), first.result.code()),
        ("transient", Some("refused"))
    );
    let failure = first.result.failure.as_ref().unwrap();
    assert_eq!(failure.message, "connection refused");
    assert_eq!(failure.remedy, Remedy::gateway_host("start the gateway"));
    assert_eq!(first.result.steps, [Step::new("connect", 2)]);
    assert_eq!((second.result.outcome.as_str(), second.result.code()), ("done", None));
    assert_eq!(second.result.steps, [Step::new("compare", 3), Step::new("write", 4)]);
    assert!(first.worker.starts_with("test-") && first.worker == second.worker);
}

#[tokio::test]
async fn every_transition_is_one_event() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let mut jobs: Vec<_> = (0..5).map(|agent| cleanup(1, agent)).collect();
    jobs.extend([
        update(1, 7),
        update(1, 7),
        update(1, 8).with_delay(HOUR),
        heartbeat_sync(1, &[(1, "1m")]),
    ]);
    queue.enqueue(&jobs).await.unwrap();
    queue.cancel(jobs[7].id, &by("ada"), "").await.unwrap();
    let dies = jobs[0].id;
    let end = move |claimed: &Claimed| {
        if claimed.id == dies && claimed.run == 1 { permanent() } else { fails_first(claimed) }
    };
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(end));
    reaches(&queue, dies, State::Dead).await;
    queue.retry(dies, false, &by("ada"), "").await.unwrap();
    eventually("all ended", async || queue.counts().await.unwrap().of(State::Done) == 7).await;

    let events = events(&queue).await;
    let mut total = 0;
    for job in &jobs {
        let id = job.id.to_string();
        let of_job: Vec<&Value> = events.iter().filter(|event| event["id"] == *id).collect();
        let mut told = Vec::new();
        let mut from = Value::Null;
        for event in &of_job {
            assert_eq!(event["from"], from);
            from = event["to"].clone();
            told.push((event["to"].as_str().unwrap().to_owned(), event["at_ms"].as_u64().unwrap()));
        }
        let record = look(&queue, job.id).await;
        let timeline: Vec<_> = record
            .timeline
            .iter()
            .map(|entered| (entered.state.to_string(), entered.at_ms))
            .collect();
        assert_eq!(told, timeline);
        total += told.len();
    }
    assert_eq!(total, events.len());
}

/// Returns an event without the values that differ from run to run, after checking them.
fn settled(mut event: Value) -> Value {
    let members = event.as_object_mut().unwrap();
    assert!(members.remove("at_ms").is_some_and(|at| at.is_u64()));
    for name in ["next_at_ms", "worker"] {
        members.entry(name).and_modify(|value| *value = json!(value.is_u64() || value.is_string()));
    }
    event
}

#[tokio::test]
async fn an_event_has_only_members_with_a_meaning() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 2);
    put(&queue, &job).await;
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(fails_first));
    reaches(&queue, job.id, State::Done).await;

    let mut told: Vec<Value> = events(&queue).await.into_iter().map(settled).collect();
    let (gateway, agent) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let event = |from: Value, to: &str, run: u32, more: Value| {
        let mut event = json!({"v": 1, "event": "job", "id": job.id, "kind": "cleanup",
            "gateway": gateway,
            "subject": format!("{gateway}/{agent}"), "from": from, "to": to, "run": run,
            "attempts": run});
        let Value::Object(more) = more else { panic!() };
        event.as_object_mut().unwrap().extend(more);
        event
    };
    let failure = told[2]["failure"].take();
    assert_eq!(
        told,
        [
            event(Value::Null, "ready", 0, json!({})),
            event(json!("ready"), "running", 1, json!({"worker": true})),
            event(json!("running"), "retrying", 1, json!({"next_at_ms": true, "failure": null})),
            event(json!("retrying"), "ready", 1, json!({})),
            event(json!("ready"), "running", 2, json!({"worker": true})),
            event(json!("running"), "done", 2, json!({})),
        ]
    );
    assert_eq!(
        (&failure["code"], &failure["message"]),
        (&json!("refused"), &json!("connection refused"))
    );
    assert_eq!(failure["action"], "start the gateway");
    assert_eq!(failure["remedy"], json!({"actor": "gateway_host", "retry_helps": true}));
}

#[tokio::test]
async fn events_name_author_reason_and_the_newer_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (older, newer, dead) = (update(1, 1), update(1, 1), cleanup(1, 2));
    queue.enqueue(&[older.clone(), newer.clone()]).await.unwrap();
    queue.cancel(newer.id, &by("ada"), "not needed").await.unwrap();
    put(&queue, &dead).await;
    let worker = Worker::start(&queue, brisk(), |_| async { permanent() });
    reaches(&queue, dead.id, State::Dead).await;
    drop(worker);
    queue.retry(dead.id, false, &by("bo"), "").await.unwrap();
    queue.pause(&PauseScope::Gateway(Uuid::from_u128(1)), &by("cy"), "new disk").await.unwrap();
    queue.resume(&PauseScope::Gateway(Uuid::from_u128(1)), &by("di"), "it is in").await.unwrap();

    let told = events(&queue).await;
    let one = |member: &str, value: &str| {
        let mut found = told.iter().filter(|event| event[member] == value);
        let event = found.next().unwrap().clone();
        assert!(found.next().is_none(), "{value} twice");
        event
    };
    let superseded = one("to", "superseded");
    assert_eq!(
        (&superseded["id"], &superseded["superseded_by"]),
        (&json!(older.id), &json!(newer.id))
    );
    let cancelled = one("to", "cancelled");
    assert_eq!(
        (&cancelled["by"], &cancelled["reason"]),
        (&json!("ada"), &json!("cancelled by ada: not needed"))
    );
    assert_eq!(one("to", "dead")["reason"], "permanent");
    let retried = one("by", "bo");
    assert_eq!(
        (&retried["from"], &retried["to"], &retried["attempts"]),
        (&json!("dead"), &json!("ready"), &json!(0))
    );
    let scope = format!("gateway:{}", Uuid::from_u128(1));
    assert_eq!(
        settled(one("event", "paused")),
        json!({"v": 1, "event": "paused", "scope": scope, "by": "cy", "reason": "new disk"})
    );
    assert_eq!(
        settled(one("event", "resumed")),
        json!({"v": 1, "event": "resumed", "scope": scope, "by": "di", "reason": "it is in"})
    );
}

#[tokio::test]
async fn a_group_of_readers_gets_each_event_once() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..20).map(|agent| cleanup(1, agent)).collect();
    queue.enqueue(&jobs[..10]).await.unwrap();
    let mut connection = redis.connect().await;
    let key = queue.keys().events();
    redis::cmd("XGROUP")
        .arg("CREATE")
        .arg(&key)
        .arg("readers")
        .arg(0)
        .exec_async(&mut connection)
        .await
        .unwrap();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    queue.enqueue(&jobs[10..]).await.unwrap();
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 20).await;

    let (mut seen, mut told) = (HashSet::new(), 0);
    for reader in ["one", "other"].iter().cycle() {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP")
            .arg("readers")
            .arg(reader)
            .arg("COUNT")
            .arg(7)
            .arg("STREAMS")
            .arg(&key)
            .arg(">");
        let read: Option<Vec<(String, Entries)>> = read.query_async(&mut connection).await.unwrap();
        let Some(read) = read else { break };
        for (entry, fields) in &read[0].1 {
            redis::cmd("XACK")
                .arg(&key)
                .arg("readers")
                .arg(entry)
                .exec_async(&mut connection)
                .await
                .unwrap();
            assert!(seen.insert(entry.clone()));
            let event: Value = serde_json::from_str(&fields["event"]).unwrap();
            told += event["jobs"].as_array().map_or(1, Vec::len);
        }
    }
    assert_eq!((told, events(&queue).await.len()), (3 * 20, 3 * 20));
}

#[tokio::test]
async fn the_minutes_count_transitions_by_kind() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> =
        (0..5).map(|agent| cleanup(1, agent)).chain([update(1, 7), update(1, 7)]).collect();
    queue.enqueue(&jobs).await.unwrap();
    let end = |claimed: &Claimed| {
        let is_first = claimed.run == 1 && claimed.job.agent_id() == Some(Uuid::nil());
        if is_first { transient() } else { done() }
    };
    let _worker = Worker::start(&queue, brisk(), Runs::default().handler(end));
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 6).await;

    // The minute before this one may contain the start.
    let minutes = queue.stats(2).await.unwrap();
    assert!(minutes.len() == 2 && minutes.iter().all(|minute| minute.at_ms % 60_000 == 0));
    let count = |kind: &str, what: &str| -> u64 {
        minutes.iter().filter_map(|minute| minute.kinds.get(kind)?.counts.get(what)).sum()
    };
    let cleanups = ["enqueued", "retrying", "done", "dead"].map(|what| count("cleanup", what));
    assert_eq!(cleanups, [5, 1, 5, 0]);
    let updates = ["enqueued", "superseded", "done"].map(|what| count("provision", what));
    assert_eq!(updates, [2, 1, 1]);

    let mut times = (0, 0);
    for happened in minutes.iter().filter_map(|minute| minute.kinds.get("cleanup")) {
        times.0 += happened.waited.count();
        times.1 += happened.ran.count();
    }
    assert_eq!(times, (6, 6));
}
