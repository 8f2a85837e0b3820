//! Every key of a queue with jobs in all states, removed, of another type, or spoilt: after a repair,
//! nothing is left to repair, and every job that is still readable ends.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use mission_core::{Failure, Outcome};
use mission_jobs::queue::{PauseScope, QueueError};
use mission_jobs::{Envelope, Queue, RunResult, State};
use mission_test_support::RedisServer;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, cmd};
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync, provision_main, update};
use crate::worker::{
    HOUR, Runs, Worker, by, done, eventually, patient, permanent, put, put_all, short_lease,
    transient,
};

/// The keys that a queue has once and that the jobs of this test need not make.
const ONCE: [(&str, &str); 12] = [
    ("healed", "string"),
    ("alone", "string"),
    ("calm", "string"),
    ("held", "zset"),
    ("reconnected", "zset"),
    ("remembered", "zset"),
    ("suspects", "zset"),
    ("restarts", "zset"),
    ("wake", "list"),
    ("audit", "stream"),
    ("applied", "hash"),
    ("unreadable", "hash"),
];

/// The number of servers that are wounded at the same time.
const SERVERS: usize = 8;

/// A damage to a key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wound {
    Removed,
    OtherType,
    Spoilt,
}

/// The jobs of the test, and the stored keys by name: type and dump.
struct Queued {
    jobs: Vec<Envelope>,
    /// The number of records of gateways and of agents.
    records: (u64, u64),
    keys: Vec<(String, String, Vec<u8>)>,
}

async fn ask<T: FromRedisValue>(redis: &mut MultiplexedConnection, command: &Cmd) -> T {
    command.query_async(redis).await.unwrap()
}

/// Ends the first run of a job, by its agent.
async fn first_run(agent: u128) -> RunResult {
    match agent {
        2 => transient(),
        3 => permanent(),
        4 => Outcome::Blocked(Failure::new("pairing_required", "not paired").of_gateway()).into(),
        5 => {
            let failure = Failure::new("restarting", "starting up").of_gateway();
            Outcome::Busy { retry_after: Some(HOUR), failure }.into()
        }
        6 => std::future::pending().await,
        _ => done(),
    }
}

/// Makes jobs in all states. Those of agents 1 to 6 have been claimed; the worker of 6 was killed.
async fn prepare(queue: &Queue, redis: &mut MultiplexedConnection) -> Queued {
    let mut jobs: Vec<Envelope> =
        (1..=6).map(|agent| update(if agent == 5 { 5 } else { agent % 3 + 1 }, agent)).collect();
    put_all(queue, &jobs).await;
    let worker = Worker::start(queue, patient(), |claimed| async move {
        first_run(claimed.job.agent_id().map_or(0, |id| id.as_u128())).await
    });
    for (job, state) in jobs.iter().zip([
        State::Done,
        State::Retrying,
        State::Dead,
        State::Blocked,
        State::Snoozed,
        State::Running,
    ]) {
        eventually(state.as_str(), async || {
            queue.get(job.id).await.unwrap().unwrap().state == state
        })
        .await;
    }
    drop(worker);
    let more = [
        update(1, 6),
        update(2, 7).with_expiry(2 * HOUR),
        update(1, 8),
        update(1, 8),
        cleanup(2, 9).with_delay(HOUR),
        provision_main(3, 10),
        heartbeat_sync(1, &[(1, "10m"), (2, "5m")]),
        update(2, 11),
    ];
    for job in &more {
        put(queue, job).await;
    }
    queue.cancel(more[7].id, &by("ada"), "").await.unwrap();
    queue.pause(&PauseScope::Gateway(Uuid::from_u128(99)), &by("ada"), "").await.unwrap();
    jobs.extend(more);
    let mut names: Vec<String> = ask(redis, cmd("KEYS").arg("{test}:*")).await;
    names.sort();
    let mut keys = Vec::new();
    for name in names {
        let kind = ask(redis, cmd("TYPE").arg(&name)).await;
        let dump = ask(redis, cmd("DUMP").arg(&name)).await;
        keys.push((name, kind, dump));
    }
    Queued { jobs, records: queue.record_counts().await.unwrap(), keys }
}

async fn restore(redis: &mut MultiplexedConnection, queued: &Queued) {
    let mut all = redis::pipe();
    all.cmd("FLUSHALL").ignore();
    for (name, _, dump) in &queued.keys {
        all.cmd("RESTORE").arg(name).arg(0).arg(dump).ignore();
    }
    // So that the lost job is taken back at once.
    let (seconds, _): (u64, u64) = ask(redis, &cmd("TIME")).await;
    all.cmd("SET").arg("{test}:pulse").arg(seconds * 1000).ignore();
    all.query_async::<()>(redis).await.unwrap();
}

/// Wounds a key. Returns whether that changed anything.
async fn wound(redis: &mut MultiplexedConnection, key: &str, kind: &str, wound: Wound) -> bool {
    let command = match (wound, kind) {
        (Wound::Removed, _) => cmd("DEL").arg(key).to_owned(),
        (Wound::OtherType, kind) => {
            ask::<i64>(redis, cmd("DEL").arg(key)).await;
            if kind == "string" {
                cmd("HSET").arg(key).arg("x").arg("y").to_owned()
            } else {
                cmd("SET").arg(key).arg("x").to_owned()
            }
        }
        (Wound::Spoilt, "string") => cmd("SET").arg(key).arg("garbage").to_owned(),
        (Wound::Spoilt, "list") => cmd("RPUSH").arg(key).arg("garbage").to_owned(),
        (Wound::Spoilt, "zset") => cmd("ZADD").arg(key).arg(1).arg("garbage").to_owned(),
        (Wound::Spoilt, "stream") => {
            cmd("XADD").arg(key).arg("*").arg("garbage").arg("garbage").to_owned()
        }
        (Wound::Spoilt, _) => {
            let fields: Vec<String> = ask(redis, cmd("HKEYS").arg(key)).await;
            let field = fields.into_iter().min().unwrap_or_default();
            let mut command = cmd("HSET");
            command.arg(key).arg(field).arg("garbage").arg("garbage").arg("garbage").to_owned()
        }
    };
    command.query_async::<redis::Value>(redis).await.is_ok()
}

/// Returns the jobs whose heads and documents are there.
async fn whole(queue: &Queue, queued: &Queued) -> (HashSet<Uuid>, HashSet<Uuid>) {
    let (mut readable, mut whole) = (HashSet::new(), HashSet::new());
    for job in &queued.jobs {
        match queue.get(job.id).await {
            Ok(Some(_)) => {
                readable.insert(job.id);
                let document = queue.document(job.id).await.ok().flatten();
                if document.is_some_and(|document| document.expose() == job.payload.expose()) {
                    whole.insert(job.id);
                }
            }
            Ok(None) | Err(QueueError::Unreadable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    (readable, whole)
}

/// Works off what is left: every readable job ends, and every whole one that was not cancelled or
/// replaced is done.
async fn work_off(queue: &Queue, queued: &Queued, what: &str) {
    let (readable, whole) = whole(queue, queued).await;
    let runs = Runs::default();
    let _worker = Worker::start(queue, short_lease(), runs.handler(|_| done()));
    eventually(&format!("{what}: the lost job"), async || {
        let job = queue.get(queued.jobs[5].id).await;
        job.ok().flatten().is_none_or(|job| job.state != State::Running)
    })
    .await;
    let mut ended = HashMap::new();
    eventually(&format!("{what}: all end"), async || {
        for id in &readable {
            let Ok(Some(job)) = queue.get(*id).await else { return false };
            if !matches!(job.state, State::Done | State::Superseded | State::Cancelled) {
                if job.state != State::Ready && job.state != State::Running {
                    // A document that is missing kills its job each time.
                    if job.state == State::Dead && !whole.contains(id) {
                        continue;
                    }
                    let _ = queue.retry(*id, true, &by("ada"), "").await;
                }
                return false;
            }
        }
        true
    })
    .await;
    for id in &readable {
        ended.insert(*id, queue.get(*id).await.unwrap().unwrap().state);
    }
    let counts = queue.counts().await.unwrap();
    for state in State::ALL {
        let real = ended.values().filter(|ended| **ended == state).count() as u64;
        assert_eq!(counts.of(state), real, "{what}: {state}");
        let of_gateways: u64 =
            queue.gateways(100).await.unwrap().iter().map(|gateway| gateway.jobs.of(state)).sum();
        assert_eq!(of_gateways, real, "{what}: {state} of gateways");
    }
}

/// Wounds one key, and repairs the queue.
async fn cell(redis: &RedisServer, queued: &Queued, key: &str, kind: &str, how: Wound) {
    let what = format!("{key} {how:?}");
    let (queue, mut connection) = (redis.queue(), redis.connect().await);
    restore(&mut connection, queued).await;
    assert!(wound(&mut connection, key, kind, how).await, "{what}");
    queue.repair(&by("ada")).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let left = queue.wounds().await.unwrap();
    assert!(left.is_empty() && left.complete, "{what}: {left:?}");
    if key != "{test}:job" && !key.contains(":document:") {
        assert_eq!(queue.record_counts().await.unwrap(), queued.records, "{what}");
    }
    let lost = queued.jobs[5].id.to_string();
    let end = cmd("ZADD").arg("{test}:state:running").arg("XX").arg(1).arg(lost).to_owned();
    ask::<i64>(&mut connection, &end).await;
    work_off(&queue, queued, &what).await;
    let left = queue.wounds().await.unwrap();
    assert!(left.is_empty(), "{what}, after work: {left:?}");
}

#[tokio::test]
async fn every_wound_of_every_key_is_repaired() {
    let redis = RedisServer::start_with(|_| vec!["--appendonly".into(), "no".into()]).await;
    let mut connection = redis.connect().await;
    let queued = prepare(&redis.queue(), &mut connection).await;
    let left = redis.queue().wounds().await.unwrap();
    assert!(left.is_empty() && left.complete, "without a wound: {left:?}");
    let mut keys: Vec<(String, String)> =
        queued.keys.iter().map(|(name, kind, _)| (name.clone(), kind.clone())).collect();
    for (name, kind) in ONCE {
        let key = format!("{{test}}:{name}");
        if !keys.iter().any(|(known, _)| *known == key) {
            keys.push((key, kind.to_owned()));
        }
    }
    assert!(keys.len() > 60, "{keys:?}");
    let cells: Vec<_> = keys
        .iter()
        .flat_map(|key| [Wound::Removed, Wound::OtherType, Wound::Spoilt].map(|how| (key, how)))
        .collect();
    // Most of the time is waiting for leases to end.
    let some = cells.len().div_ceil(SERVERS);
    join_all(cells.chunks(some).map(async |cells| {
        let redis = RedisServer::start_with(|_| vec!["--appendonly".into(), "no".into()]).await;
        for ((key, kind), how) in cells {
            cell(&redis, &queued, key, kind, *how).await;
        }
    }))
    .await;
}
