//! Queues with several shards on one Redis; `cluster` has those on several.

mod cluster;
mod cost;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use mission_jobs::queue::{Filter, NotClaiming, PauseScope, QueueError, Search};
use mission_jobs::{Envelope, IdempotencyKey, Queue, Settings, State};
use mission_test_support::RedisServer;
use uuid::Uuid;

use crate::documents::{cleanup, provision_main};
use crate::worker::{
    HOUR, Runs, Worker, brisk, by, done, eventually, never_looks, permanent, put, put_all, reaches,
};

fn sharded(redis: &RedisServer, shards: usize) -> Queue {
    Queue::open(&redis.url(), "test").unwrap().with_shards(shards).unwrap()
}

/// A cleanup on each of this many gateways.
fn on_gateways(count: u128) -> Vec<Envelope> {
    (1..=count).map(|gateway| cleanup(gateway, 1)).collect()
}

fn ids<'a>(jobs: impl IntoIterator<Item = &'a Envelope>) -> HashSet<Uuid> {
    jobs.into_iter().map(|job| job.id).collect()
}

#[tokio::test]
async fn the_number_of_shards_is_fixed_when_the_queue_is_created() {
    for (created, other) in [(4, 1), (4, 8), (1, 4)] {
        let redis = RedisServer::start().await;
        let (queue, wrong) = (sharded(&redis, created), sharded(&redis, other));
        // Nothing is fixed by looking.
        assert_eq!(wrong.counts().await.unwrap().of(State::Ready), 0);
        put(&queue, &cleanup(1, 1)).await;
        let expected = QueueError::Shards { stored: created, set: other };
        let wrong = sharded(&redis, other);
        assert_eq!(wrong.counts().await.unwrap_err(), expected);
        assert_eq!(wrong.enqueue(&[cleanup(2, 1)]).await.unwrap_err(), expected);
        assert!(expected.to_string().contains("redis.shards (MISSION_SHARDS)"), "{expected}");
        let said = if created == 1 { "has 1 shard," } else { "has 4 shards," };
        assert!(expected.to_string().contains(said), "{expected}");
        let _worker = Worker::start(&wrong, brisk(), |_| async { done() });
        eventually("the worker is not ready", async || {
            let state = wrong.claims_jobs(Duration::ZERO).await;
            matches!(state, Err(NotClaiming::Failing { error, .. }) if error == expected)
        })
        .await;
        assert_eq!(queue.counts().await.unwrap().of(State::Ready), 1);
        let keys: Vec<String> = redis.tell("KEYS *").await;
        let foreign = |key: &&String| !key.starts_with("{test}:") && !key.starts_with("{test/");
        assert_eq!(keys.iter().find(foreign), None);
    }
    for count in [0, 65] {
        let refused = Queue::open("redis://localhost", "test").unwrap().with_shards(count);
        assert_eq!(refused.unwrap_err(), QueueError::ShardCount { count });
    }
}

#[tokio::test]
async fn a_number_of_shards_that_was_removed_is_not_forgotten() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 4);
    put_all(&queue, &on_gateways(40)).await;
    redis.tell::<()>("DEL {test}:shards").await;
    for set in [1, 3, 8] {
        let refused = sharded(&redis, set).counts().await.unwrap_err();
        assert_eq!(refused, QueueError::Shards { stored: 4, set });
    }
    assert!(sharded(&redis, 4).counts().await.is_ok());

    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    let stored = async || redis.tell::<Option<usize>>("GET {test}:shards").await == Some(4);
    eventually("a worker stores it again", stored).await;
    redis.tell::<()>("DEL {test}:shards").await;
    eventually("again", stored).await;

    redis.tell::<()>("SET {test}:shards 0").await;
    let refused = sharded(&redis, 4).counts().await.unwrap_err();
    assert!(refused.is_about_shards() && refused.to_string().contains("\"0\""), "{refused}");
    // Only who knows of all shards may repair it.
    let refused = sharded(&redis, 2).repair(&by("ada")).await.unwrap_err();
    assert_eq!(refused, QueueError::Shards { stored: 4, set: 2 });
    sharded(&redis, 4).repair(&by("ada")).await.unwrap();
    assert!(stored().await);
}

#[tokio::test]
async fn jobs_of_all_shards_are_seen_as_those_of_one_queue() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 4);
    let jobs = on_gateways(40);
    let answers = queue.enqueue(&jobs).await.unwrap();
    let answered: Vec<Uuid> = answers.iter().map(|answer| answer.id).collect();
    assert_eq!(answered, jobs.iter().map(|job| job.id).collect::<Vec<_>>());
    let keys: Vec<String> = redis.tell("KEYS {test*:job").await;
    assert_eq!(keys.len(), 4, "{keys:?}");
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 40);
    assert_eq!(queue.summary().await.unwrap().counts.of(State::Ready), 40);
    assert_eq!(queue.gateways(100).await.unwrap().len(), 40);
    assert_eq!(queue.gateways(7).await.unwrap().len(), 7);

    // An id that somebody else has made does not name its shard.
    let foreign = (0..4).map(|_| {
        let mut job = cleanup(50, 1);
        job.id = Uuid::new_v4();
        job
    });
    let foreign: Vec<_> = foreign.collect();
    put_all(&queue, &foreign).await;
    assert_eq!(queue.get(foreign[3].id).await.unwrap().unwrap().id, foreign[3].id);
    assert_eq!(queue.get(Uuid::new_v4()).await.unwrap().map(|job| job.id), None);
    queue.cancel(foreign[3].id, &by("test"), "").await.unwrap();

    // Pages of a list and of a search: every job once, in order.
    let (mut filter, mut listed) = (Filter { limit: 7, ..Filter::new(State::Ready) }, Vec::new());
    loop {
        let page = queue.list(&filter).await.unwrap();
        listed.extend(page.jobs.into_iter().map(|job| (job.timeline[0].at_ms, job.id)));
        let Some(next) = page.next else { break };
        filter.cursor = next;
    }
    assert_eq!(listed.iter().map(|(_, id)| *id).collect::<HashSet<_>>(), ids(&jobs));
    assert_eq!(listed.len(), 40);
    assert!(listed.is_sorted_by_key(|(at_ms, _)| *at_ms), "{listed:?}");
    for search in ["state:ready", "", "00000000 state:ready,cancelled", "state:ready kind:cleanup"]
    {
        let search: Search = search.parse().unwrap();
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = queue.search(&search, after.as_ref(), 7).await.unwrap();
            found.extend(page.jobs.iter().map(|job| job.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let once: HashSet<Uuid> = found.iter().copied().collect();
        assert_eq!(once.len(), found.len(), "{search}");
        assert!(once.is_superset(&ids(&jobs)), "{search}");
    }
    let agent = format!("agent:{}", Uuid::from_u128(1)).parse().unwrap();
    assert!(queue.search(&agent, None, 50).await.unwrap().jobs.len() >= 40);
}

#[tokio::test]
async fn a_worker_runs_the_jobs_of_all_shards_without_polling() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 8);
    let runs = Runs::default();
    let settings = Settings { concurrency: 2, ..never_looks() };
    let bad = Uuid::from_u128(3);
    let fails = runs.handler(
        move |claimed| {
            if claimed.job.gateway_id() == bad { permanent() } else { done() }
        },
    );
    let _worker = Worker::start(&queue, settings, fails);
    redis.has_idle(8).await;
    let jobs = on_gateways(50);
    let latest = queue.latest_event().await.unwrap();
    let began = Instant::now();
    put_all(&queue, &jobs).await;
    eventually("all have ended", async || queue.is_idle().await.unwrap()).await;
    // A shard that had no slot goes on when a run of another shard ends.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(runs.ids().len(), 50);
    assert_eq!(runs.ids().into_iter().collect::<HashSet<_>>(), ids(&jobs));
    queue.claims_jobs(Duration::ZERO).await.unwrap();

    let groups = queue.groups(10).await.unwrap();
    assert_eq!((groups.len(), groups[0].gateway), (1, bad));
    let code = format!("error:{}", groups[0].code).parse().unwrap();
    assert_eq!(queue.search(&code, None, 10).await.unwrap().jobs.len(), 1);
    let figures = queue.stats(5).await.unwrap();
    let count = |what: &str| -> u64 {
        let kinds = figures.iter().flat_map(|minute| minute.kinds.values());
        kinds.filter_map(|kind| kind.counts.get(what)).sum()
    };
    assert_eq!((count("enqueued"), count("done"), count("dead")), (50, 49, 1));
    let quarters = queue.quarters(2).await.unwrap();
    let ended: u64 =
        quarters.iter().flat_map(|span| span.kinds.values()).map(|k| k.ran.count()).sum();
    assert_eq!(ended, 50);

    // Each event comes once, whether it is read at once or in steps.
    let all = queue.events(&latest, Duration::ZERO).await.unwrap();
    assert_eq!(all.len(), 150);
    let rest = queue.events(&all[99].0, Duration::ZERO).await.unwrap();
    assert_eq!(rest, all[100..].to_vec());
    assert!(queue.events("0-0,0-0", Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn a_reader_of_events_hears_of_all_shards() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 4);
    let mut after = queue.latest_event().await.unwrap();
    let jobs = on_gateways(12);
    let (mut heard, writer) = (Vec::new(), queue.clone());
    let sent = jobs.clone();
    let writing = tokio::spawn(async move {
        for job in &sent {
            put(&writer, job).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    while heard.len() < jobs.len() {
        let found = queue.events(&after, Duration::from_secs(5)).await.unwrap();
        assert!(!found.is_empty(), "{heard:?}");
        for (id, event) in found {
            after = id;
            heard.push(event["id"].as_str().unwrap().parse::<Uuid>().unwrap());
        }
    }
    writing.await.unwrap();
    assert_eq!(heard.iter().copied().collect::<HashSet<_>>(), ids(&jobs));
    assert!(queue.events(&after, Duration::from_millis(20)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pause_reaches_all_shards_and_one_that_missed_it_is_repaired() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 4);
    let runs = Runs::default();
    queue.pause(&PauseScope::All, &by("ada"), "a change").await.unwrap();
    put_all(&queue, &on_gateways(12)).await;
    let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
    let paused = |shard: u32| format!("HGETALL {{test/{shard}}}:paused");
    let first: Vec<String> = redis.tell("HGETALL {test}:paused").await;
    for shard in 1..4 {
        assert_eq!(redis.tell::<Vec<String>>(&paused(shard)).await, first);
    }
    assert_eq!(queue.paused().await.unwrap().len(), 1);

    // One shard missed the end of the pause, another the pause of a gateway.
    let version: String = redis.tell("GET {test/2}:pauses").await;
    queue.resume(&PauseScope::All, &by("ada"), "").await.unwrap();
    let gateway = PauseScope::Gateway(Uuid::from_u128(99));
    queue.pause(&gateway, &by("ada"), "").await.unwrap();
    let mut missed = redis::cmd("HSET");
    missed.arg("{test/2}:paused").arg(&first);
    missed.exec_async(&mut redis.connect().await).await.unwrap();
    redis.tell::<()>(&format!("SET {{test/2}}:pauses {version}")).await;
    redis.tell::<()>("DEL {test/3}:paused {test/3}:pauses").await;
    let now: Vec<String> = redis.tell("HGETALL {test}:paused").await;
    eventually("all shards agree", async || {
        for shard in 1..4 {
            if redis.tell::<Vec<String>>(&paused(shard)).await != now {
                return false;
            }
        }
        true
    })
    .await;
    eventually("all run", async || runs.ids().len() == 12).await;
    let audit = queue.audit(None, 10).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|entry| entry.record.action.as_str()).collect();
    assert_eq!(actions, ["pause", "resume", "pause"]);
}

#[tokio::test]
async fn a_drained_worker_takes_nothing_from_any_shard() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 4);
    let runs = Runs::default();
    let settings = Settings { renew: Duration::from_millis(20), ..brisk() };
    let _worker = Worker::start(&queue, settings, runs.handler(|_| done()));
    eventually("it is known", async || queue.workers().await.unwrap().len() == 1).await;
    let name = queue.workers().await.unwrap()[0].name.clone();
    queue.drain(&name, true, &by("ada"), "").await.unwrap();
    eventually("it drains", async || queue.summary().await.unwrap().draining == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    put_all(&queue, &on_gateways(12)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(runs.ids().len(), 0);
    queue.drain(&name, false, &by("ada"), "").await.unwrap();
    eventually("all run", async || runs.ids().len() == 12).await;
}

#[tokio::test]
async fn entries_of_the_audit_come_in_pages_from_all_shards() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 4);
    let jobs = on_gateways(20);
    put_all(&queue, &jobs).await;
    for job in &jobs {
        queue.cancel(job.id, &by("ada"), "").await.unwrap();
    }
    let (mut before, mut targets) = (None::<String>, Vec::new());
    loop {
        let page = queue.audit(before.as_deref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id.clone());
        targets.extend(page.iter().map(|entry| entry.record.target.clone()));
    }
    let expected: Vec<String> = jobs.iter().rev().map(|job| job.id.to_string()).collect();
    assert_eq!(targets.len(), 20);
    assert_eq!(targets.iter().collect::<HashSet<_>>(), expected.iter().collect());
    assert!(queue.audit(Some("7-1.x"), 3).await.is_err());
}

#[tokio::test]
async fn an_idempotency_key_is_one_for_all_gateways() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 16);
    let with = |job: Envelope, key: &str| {
        job.with_idempotency_key(IdempotencyKey::new(key).unwrap().living(HOUR))
    };
    let first = with(cleanup(1, 1), "k");
    let again: Vec<_> = (2..20).map(|gateway| with(cleanup(gateway, 1), "k")).collect();
    assert!(!put(&queue, &first).await.duplicate);
    assert!(!put(&queue, &first).await.duplicate, "the same envelope, sent again");
    for other in &again {
        let answer = put(&queue, other).await;
        assert_eq!((answer.id, answer.duplicate), (first.id, true));
        assert!(answer.other_document && answer.state == Some(State::Ready));
    }
    // In one call, between jobs without a key.
    let mixed =
        [cleanup(30, 1), with(cleanup(31, 1), "m"), with(cleanup(32, 1), "m"), cleanup(33, 1)];
    let answers = queue.enqueue(&mixed).await.unwrap();
    let duplicates: Vec<_> = answers.iter().map(|answer| answer.duplicate).collect();
    assert_eq!(duplicates, [false, false, true, false]);
    assert_eq!(answers[2].id, mixed[1].id);

    // A producer that died between taking the key and storing its job: the next one finishes.
    let (died, next) = (with(cleanup(40, 1), "died"), with(cleanup(40, 1), "died"));
    let keys: Vec<String> = redis.tell("KEYS *:key:k").await;
    for number in 0..16 {
        let tag = if number == 0 { "{test}".to_owned() } else { format!("{{test/{number}}}") };
        redis.tell::<()>(&format!("SET {tag}:key:died ?{} PX 100000", died.id)).await;
    }
    assert_eq!(keys.len(), 1);
    let answer = put(&queue, &next).await;
    assert_eq!((answer.id, answer.duplicate, answer.state), (died.id, false, Some(State::Ready)));
    let late = put(&queue, &died).await;
    assert_eq!((late.id, late.duplicate), (died.id, false));
    let third = put(&queue, &with(cleanup(41, 1), "died")).await;
    assert_eq!((third.id, third.duplicate), (died.id, true));
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), 5);
}

#[tokio::test]
async fn what_concerns_a_gateway_is_in_its_shard() {
    let redis = RedisServer::start().await;
    let queue = sharded(&redis, 4);
    for gateway in 1..8 {
        put(&queue, &provision_main(gateway, 1)).await;
        let id = Uuid::from_u128(gateway);
        let details = queue.gateway_details(id).await.unwrap().unwrap();
        assert_eq!(details.records.agents.wanted, 1);
        assert!(details.records.connection.is_some());
        assert_eq!(queue.agent_jobs(id, Uuid::from_u128(1), 5).await.unwrap().len(), 1);
    }
    assert_eq!(queue.record_counts().await.unwrap(), (7, 7));
    assert_eq!(queue.record_documents().await.unwrap().len(), 7);
    queue.forget_gateway(Uuid::from_u128(3), true, &by("ada"), "").await.unwrap();
    assert_eq!(queue.record_counts().await.unwrap(), (6, 6));
    let filter = Filter { lane: Some(Uuid::from_u128(5)), ..Filter::new(State::Ready) };
    let left = queue.list(&filter).await.unwrap();
    assert_eq!((left.jobs.len(), left.next), (1, None));
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, left.jobs[0].id, State::Done).await;
}
