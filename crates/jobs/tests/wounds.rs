//! Keys that somebody has removed or spoilt by hand: what can be derived from others is healed, and
//! the jobs of other gateways go on.

use std::collections::HashMap;
use std::time::Duration;

use mission_jobs::queue::PauseScope;
use mission_jobs::{Envelope, Queue, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::cleanup;
use crate::worker::{
    Gate, HOUR, Runs, Worker, brisk, by, done, eventually, put_all, reaches, short_lease,
};

/// Two waiting jobs of one gateway, one of them to be due soon, and one of another gateway.
fn jobs() -> [Envelope; 3] {
    let later = cleanup(1, 2).with_delay(Duration::from_millis(300));
    [cleanup(1, 1), later, cleanup(2, 3)]
}

/// Works until all of these jobs are done.
async fn all_done(queue: &Queue, jobs: &[Envelope], what: &str) {
    let runs = Runs::default();
    let _worker =
        Worker::start(queue, Settings { sweep: SWEEP, ..brisk() }, runs.handler(|_| done()));
    for job in jobs {
        eventually(&format!("{what}: done"), async || {
            queue.get(job.id).await.ok().flatten().is_some_and(|job| job.state == State::Done)
        })
        .await;
    }
}

/// The time between two looks of an idle worker.
const SWEEP: Duration = Duration::from_millis(200);

#[tokio::test]
async fn keys_that_were_removed_are_made_anew() {
    let lane = jobs()[0].lane.to_string();
    let subject = jobs()[0].subject.clone();
    for key in [
        "state:ready".to_owned(),
        "state:scheduled".to_owned(),
        "gateway".to_owned(),
        "gateways".to_owned(),
        "lanes".to_owned(),
        "line".to_owned(),
        "agents".to_owned(),
        "deleted".to_owned(),
        "wake".to_owned(),
        "turn".to_owned(),
        "pulse".to_owned(),
        "minute".to_owned(),
        "events".to_owned(),
        format!("lane:{lane}"),
        format!("subject:{subject}"),
        format!("later:{}", jobs()[1].subject),
    ] {
        let redis = RedisServer::start().await;
        let (queue, jobs) = (redis.queue(), jobs());
        put_all(&queue, &jobs).await;
        redis.tell::<()>(&format!("DEL {{test}}:{key}")).await;
        all_done(&queue, &jobs, &key).await;
    }
}

#[tokio::test]
async fn spoilt_entries_of_one_gateway_stop_no_other() {
    let [one, _, other] = jobs();
    let lane = one.lane.to_string();
    for (key, field) in [
        ("job", one.id.to_string()),
        ("more", one.id.to_string()),
        ("out", one.id.to_string()),
        ("gateway", lane.clone()),
        ("line", one.subject.clone()),
        ("agents", one.subject.clone()),
        ("connections", lane.clone()),
        ("applied", one.subject.clone()),
    ] {
        for garbage in
            ["x", "1", "{}", "0123456789012345678901234567890123456789012345678901234567"]
        {
            let redis = RedisServer::start().await;
            let (queue, jobs) = (redis.queue(), [one.clone(), other.clone()]);
            put_all(&queue, &jobs).await;
            redis.tell::<()>(&format!("HSET {{test}}:{key} {field} {garbage}")).await;
            all_done(&queue, &jobs[1..], &format!("{key} {garbage}")).await;
            // A head that cannot be read hides its job, and nothing else does.
            if key != "job" {
                all_done(&queue, &jobs[..1], &format!("{key} {garbage}, its own")).await;
            }
            queue.counts().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_key_of_another_type_stops_no_other_gateway() {
    let [one, _, other] = jobs();
    for key in [
        format!("lane:{}", one.lane),
        format!("subject:{}", one.subject),
        format!("later:{}", one.subject),
        format!("blocked:{}", one.lane),
        format!("document:{}", one.lane),
        format!("heartbeats:{}", one.lane),
    ] {
        let redis = RedisServer::start().await;
        let (queue, jobs) = (redis.queue(), [one.clone(), other.clone()]);
        put_all(&queue, &jobs).await;
        redis.tell::<()>(&format!("SET {{test}}:{key} x")).await;
        all_done(&queue, &jobs[1..], &key).await;
    }
}

#[tokio::test]
async fn a_right_that_was_missing_for_a_while_leaves_nothing_behind() {
    for command in ["xadd", "zadd", "hset", "hincrby"] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let jobs: Vec<_> = (0..8).map(|agent| cleanup(agent % 2, agent)).collect();
        put_all(&queue, &jobs).await;
        redis.tell::<()>(&format!("ACL SETUSER default -{command}")).await;
        let runs = Runs::default();
        let settings = Settings { sweep: SWEEP, ..short_lease() };
        let worker = Worker::start(&queue, settings, runs.handler(|_| done()));
        eventually("several refusals", async || {
            let log: Vec<HashMap<String, String>> = redis.tell("ACL LOG").await;
            log.iter().map(|entry| entry["count"].parse::<u32>().unwrap()).sum::<u32>() >= 3
        })
        .await;
        redis.tell::<()>("ACL SETUSER default +@all").await;
        eventually(command, async || {
            queue.counts().await.unwrap().of(State::Done) == jobs.len() as u64
        })
        .await;
        drop(worker);
    }
}

#[tokio::test]
async fn a_wrong_type_that_stops_the_queue_is_named_until_it_is_repaired() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put_all(&queue, &jobs()).await;
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    for (agent, key) in
        (10..).zip(["job", "state:scheduled", "expiry", "held", "paused", "line", "connections"])
    {
        let kind =
            if matches!(key, "state:scheduled" | "expiry" | "held") { "zset" } else { "hash" };
        redis.tell::<()>(&format!("SET {{test}}:{key} x")).await;
        let named = format!("{{test}}:{key} is a string, not a {kind}");
        let refused = queue.enqueue(&[cleanup(1, agent).with_expiry(HOUR)]).await;
        let failed = async || {
            let why = queue.claims_jobs(Duration::ZERO).await.err().map(|why| why.to_string());
            why.is_some_and(|why| why.contains(&named) && why.contains("worker doctor --repair"))
        };
        match refused {
            // Only this one call needs the key.
            Err(error) if matches!(key, "line" | "connections") => {
                assert!(error.to_string().contains(&named), "{error}");
            }
            _ => eventually(&named, failed).await,
        }
        let found = queue.wounds().await.unwrap();
        assert!(found.about.contains(&named) && !found.complete, "{found:?}");
        let repaired = queue.repair(&by("ada")).await.unwrap();
        assert!(repaired.about.contains(&named), "{repaired:?}");
        let job = cleanup(1, 100 + agent);
        put_all(&queue, std::slice::from_ref(&job)).await;
        reaches(&queue, job.id, State::Done).await;
        queue.claims_jobs(HOUR).await.unwrap();
        let audit = queue.audit(None, 1).await.unwrap();
        assert_eq!(audit[0].record.action, "repair");
        assert!(audit[0].record.why.contains("keys of a wrong type: 1"), "{audit:?}");
    }
    let kept: Vec<String> = redis.tell("KEYS {test}:wrong:*").await;
    assert_eq!(kept.len(), 7, "{kept:?}");
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_named_and_kept() {
    let redis = RedisServer::start().await;
    let (queue, jobs) = (redis.queue(), jobs());
    put_all(&queue, &jobs).await;
    let id = jobs[0].id;
    redis.tell::<()>(&format!("HSET {{test}}:job {id} x")).await;
    let of = async |queue: &Queue| queue.get(id).await.unwrap_err().to_string();
    let why = of(&queue).await;
    assert!(why.contains(&format!("job {id}")) && why.contains("HGET {test}:job"), "{why}");
    let found = queue.wounds().await.unwrap();
    assert_eq!(found.about[0], format!("job {id}"));
    assert_eq!(found.found["unreadable"], 1);

    assert_eq!(queue.repair(&by("ada")).await.unwrap().found["unreadable"], 1);
    assert!(of(&queue).await.contains("HGET {test}:unreadable"));
    let kept: Vec<String> = redis.tell("HVALS {test}:unreadable").await;
    assert_eq!(kept, ["x"]);
    assert!(queue.wounds().await.unwrap().is_empty());
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 1);
    all_done(&queue, &jobs[1..], "the others").await;
}

#[tokio::test]
async fn the_gateway_of_a_running_job_that_was_lost_works_again() {
    let redis = RedisServer::start().await;
    let (queue, gate) = (redis.queue(), Gate::default());
    let worker = Worker::start(&queue, short_lease(), gate.handler(done));
    let jobs: Vec<_> = (0..2).map(|agent| cleanup(1, agent)).collect();
    put_all(&queue, &jobs).await;
    gate.begun().await;
    gate.begun().await;
    drop(worker);
    for job in &jobs {
        redis.tell::<()>(&format!("HDEL {{test}}:job {}", job.id)).await;
    }
    let next = cleanup(1, 3);
    put_all(&queue, std::slice::from_ref(&next)).await;
    let _worker = Worker::start(&queue, short_lease(), |_| async { done() });
    reaches(&queue, next.id, State::Done).await;
    eventually("the numbers of the gateway", async || {
        let gateway = queue.gateway(next.lane).await.unwrap().unwrap();
        gateway.jobs.of(State::Running) == 0
    })
    .await;
}

#[tokio::test]
async fn a_layout_that_was_lost_or_spoilt_does_not_begin_the_numbers_anew() {
    let redis = RedisServer::start().await;
    let (queue, jobs) = (redis.queue(), jobs());
    put_all(&queue, &jobs).await;
    redis.tell::<()>("DEL {test}:layout").await;
    put_all(&queue, &[cleanup(3, 1)]).await;
    let seq: u64 = redis.tell("GET {test}:seq").await;
    assert_eq!(seq, 4);
    redis.tell::<()>("SET {test}:layout x").await;
    let why = queue.counts().await.unwrap_err().to_string();
    assert!(why.contains("worker doctor --repair"), "{why}");
    assert_eq!(queue.wounds().await.unwrap().found["layout"], 1);
    queue.repair(&by("ada")).await.unwrap();
    all_done(&queue, &jobs, "after the repair").await;
}

/// Returns the number of jobs of a state as the queue counts them, and as its gateways do together.
async fn counted(queue: &Queue, state: State) -> [u64; 2] {
    let gateways = queue.gateways(100).await.unwrap();
    let of_gateways = gateways.iter().map(|gateway| gateway.jobs.of(state)).sum();
    [queue.counts().await.unwrap().of(state), of_gateways]
}

/// A paused queue with 40 ready jobs and a later one of the same gateway. The heads of three of them
/// are gone, as is that of the later one.
async fn with_ghosts(redis: &RedisServer) -> (Queue, Vec<Envelope>) {
    let queue = redis.queue();
    queue.pause(&PauseScope::All, &by("ada"), "").await.unwrap();
    let mut jobs: Vec<Envelope> = (1..=40).map(|agent| cleanup(1, agent)).collect();
    jobs.push(cleanup(1, 50).with_delay(HOUR));
    put_all(&queue, &jobs).await;
    for gone in [0, 20, 39, 40] {
        redis.tell::<()>(&format!("HDEL {{test}}:job {}", jobs[gone].id)).await;
    }
    (queue, jobs)
}

#[tokio::test]
async fn ids_without_a_job_leave_the_lists_by_themselves() {
    let redis = RedisServer::start().await;
    let (queue, jobs) = with_ghosts(&redis).await;
    let settings = Settings { sweep: SWEEP, ..short_lease() };
    let _worker = Worker::start(&queue, settings, |_| async { done() });
    for (state, left) in [(State::Ready, 37), (State::Scheduled, 0)] {
        eventually(state.as_str(), async || counted(&queue, state).await == [left; 2]).await;
    }
    let lane = jobs[0].lane;
    assert_eq!(redis.tell::<u64>(&format!("ZCARD {{test}}:lane:{lane}")).await, 37);
    queue.resume(&PauseScope::All, &by("ada"), "").await.unwrap();
    eventually("it is idle", async || queue.is_idle().await.unwrap()).await;
}

#[tokio::test]
async fn ids_without_a_job_are_named_and_repaired() {
    let redis = RedisServer::start().await;
    let (queue, jobs) = with_ghosts(&redis).await;
    let found = queue.wounds().await.unwrap();
    for (key, job) in [("state:ready", 0), ("state:scheduled", 40)] {
        let named = format!("{key} {}", jobs[job].id);
        assert!(found.about.contains(&named), "{found:?}");
    }
    queue.repair(&by("ada")).await.unwrap();
    assert_eq!(counted(&queue, State::Ready).await, [37; 2]);
    assert_eq!(counted(&queue, State::Scheduled).await, [0; 2]);
    let lane = jobs[0].lane;
    assert_eq!(redis.tell::<u64>(&format!("ZCARD {{test}}:lane:{lane}")).await, 37);
    let left = queue.wounds().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_producer_without_a_right_leaves_no_ids_without_jobs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put_all(&queue, &[cleanup(1, 1)]).await;
    redis.tell::<()>("ACL SETUSER default -hset").await;
    queue.enqueue(&[cleanup(1, 2)]).await.unwrap_err();
    redis.tell::<()>("ACL SETUSER default +@all").await;
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 2, "the script stopped half-way");
    let settings = Settings { sweep: SWEEP, ..short_lease() };
    let _worker = Worker::start(&queue, settings, |_| async { done() });
    eventually("it is idle", async || queue.is_idle().await.unwrap()).await;
    assert_eq!(counted(&queue, State::Done).await, [1; 2]);
}
