//! Keys that somebody has removed or spoilt by hand: what can be derived from others is healed, and
//! the jobs of other gateways go on.

use std::collections::HashMap;
use std::time::Duration;

use mission_jobs::{Envelope, Queue, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::cleanup;
use crate::worker::{Runs, Worker, brisk, done, eventually, put_all, short_lease};

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
