//! Jobs that have ended are kept for a while, and then removed completely.

use std::time::Duration;

use mission_jobs::queue::Keep;
use mission_jobs::{Claimed, Envelope, Queue, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::{cleanup, update};
use crate::worker::{
    HOUR, Runs, Worker, brisk, by, done, eventually, permanent, put, put_all, reaches,
};

const NOTHING: Keep = Keep { age: Duration::ZERO, count: 0 };

const fn newest(count: u64) -> Keep {
    Keep { age: HOUR, count }
}

async fn ends(queue: &Queue, settings: Settings, jobs: &[Envelope], as_state: State) {
    put_all(queue, jobs).await;
    let end = move |_: &Claimed| if as_state == State::Dead { permanent() } else { done() };
    let _worker =
        Worker::start(queue, Settings { concurrency: 1, ..settings }, Runs::default().handler(end));
    eventually("all ended", async || {
        queue.counts().await.unwrap().of(as_state) == jobs.len() as u64
    })
    .await;
}

async fn remain(queue: &Queue, jobs: &[Envelope]) -> Vec<bool> {
    let mut remain = Vec::new();
    for job in jobs {
        remain.push(queue.get(job.id).await.unwrap().is_some());
    }
    remain
}

#[tokio::test]
async fn the_newest_jobs_are_kept_and_nothing_remains_of_the_others() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..12).map(|agent| cleanup(1, agent)).collect();
    ends(&queue, brisk(), &jobs, State::Done).await;

    let _worker =
        Worker::start(&queue, Settings { keep_ended: newest(5), ..brisk() }, |_| async { done() });
    eventually("five are kept", async || queue.counts().await.unwrap().of(State::Done) == 5).await;
    assert_eq!(remain(&queue, &jobs).await, [[false; 7].as_slice(), &[true; 5]].concat());
    for (key, left) in [
        (queue.keys().jobs(), 5),
        // The latest connection of the gateway is in the document of a job that remains.
        (queue.keys().documents(&jobs[0].lane.to_string()), 5),
        ("{test}:out".to_owned(), 5),
        ("{test}:more".to_owned(), 0),
    ] {
        assert_eq!(redis.tell::<u64>(&format!("HLEN {key}")).await, left, "{key}");
    }
}

#[tokio::test]
async fn jobs_that_are_too_old_are_removed() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (older, newer) = (cleanup(1, 1), cleanup(1, 2));
    ends(&queue, brisk(), std::slice::from_ref(&older), State::Done).await;
    let settings =
        Settings { keep_ended: Keep { age: Duration::from_millis(50), count: 100 }, ..brisk() };
    let worker = Worker::start(&queue, settings, |_| async { done() });
    eventually("the old one is removed", async || queue.get(older.id).await.unwrap().is_none())
        .await;
    drop(worker);

    let _worker =
        Worker::start(&queue, Settings { keep_ended: newest(100), ..brisk() }, |_| async {
            done()
        });
    put(&queue, &newer).await;
    reaches(&queue, newer.id, State::Done).await;
    let last = cleanup(1, 3);
    put(&queue, &last).await;
    reaches(&queue, last.id, State::Done).await;
    assert_eq!(queue.counts().await.unwrap().of(State::Done), 2);
}

#[tokio::test]
async fn dead_jobs_are_kept_by_their_own_rule() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (dead, good) =
        ((0..4).map(|agent| cleanup(1, agent)), (4..8).map(|agent| cleanup(1, agent)));
    let (dead, good): (Vec<_>, Vec<_>) = (dead.collect(), good.collect());
    ends(&queue, brisk(), &dead, State::Dead).await;
    ends(&queue, brisk(), &good, State::Done).await;
    let count = async |state| queue.counts().await.unwrap().of(state);

    let worker =
        Worker::start(&queue, Settings { keep_ended: NOTHING, ..brisk() }, |_| async { done() });
    eventually("the done are gone", async || count(State::Done).await == 0).await;
    assert_eq!(count(State::Dead).await, 4);
    drop(worker);
    let _worker =
        Worker::start(&queue, Settings { keep_dead: newest(1), ..brisk() }, |_| async { done() });
    eventually("one dead is left", async || count(State::Dead).await == 1).await;
    assert_eq!(remain(&queue, &dead).await, [false, false, false, true]);
}

#[tokio::test]
async fn superseded_and_cancelled_jobs_are_removed_too_and_live_ones_never() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [older, newer, unwanted] =
        [update(1, 1), update(1, 1), update(1, 2)].map(|job| job.with_delay(HOUR));
    let live = update(1, 1).with_delay(HOUR);
    queue.enqueue(&[older.clone(), unwanted.clone()]).await.unwrap();
    queue.cancel(unwanted.id, &by("test"), "").await.unwrap();
    let newer = newer.with_delay(Duration::ZERO);
    queue.enqueue(&[newer.clone(), live.clone()]).await.unwrap();
    let _worker =
        Worker::start(&queue, Settings { keep_ended: NOTHING, ..brisk() }, |_| async { done() });
    let ended = [older, newer, unwanted];
    eventually("removed", async || remain(&queue, &ended).await == [false; 3]).await;
    let counts = queue.counts().await.unwrap();
    let left: u64 = State::ALL.into_iter().map(|state| counts.of(state)).sum();
    assert_eq!((left, counts.of(State::Scheduled)), (1, 1));
}

#[tokio::test]
async fn many_old_jobs_are_removed_in_small_steps() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..300).map(|agent| cleanup(1, agent)).collect();
    ends(&queue, brisk(), &jobs, State::Done).await;

    let monitor = redis.monitor().await;
    let _worker =
        Worker::start(&queue, Settings { keep_ended: NOTHING, ..brisk() }, |_| async { done() });
    eventually("removed", async || queue.counts().await.unwrap().of(State::Done) == 0).await;
    // The commands of a script come right after its call.
    let (mut steps, mut removed) = (Vec::new(), 0);
    for line in monitor.so_far().await {
        if line.contains(" lua] ") {
            let is_removal = line.contains(r#""HDEL" "{test}:job""#);
            removed += if is_removal { line.matches("\" \"").count() - 1 } else { 0 };
        } else if removed > 0 {
            steps.push(std::mem::take(&mut removed));
        }
    }
    assert_eq!(steps.iter().sum::<usize>(), 300);
    assert!(steps.iter().all(|step| *step <= 64), "{steps:?}");
}

#[tokio::test]
async fn what_is_known_of_an_agent_is_forgotten_unless_it_has_come_back() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let (back, gone) = (update(1, 1), update(1, 2));
    let jobs = [back.clone(), gone.clone()];
    ends(&queue, brisk(), &jobs, State::Done).await;
    redis.tell::<()>(&format!("HDEL {{test}}:agents {}", gone.subject)).await;
    for job in &jobs {
        redis.tell::<()>(&format!("ZADD {{test}}:remembered 1 {}", job.subject)).await;
    }
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    eventually("forgotten", async || !redis.tell::<bool>("EXISTS {test}:remembered").await).await;
    let left: Vec<String> = redis.tell("HKEYS {test}:line").await;
    assert_eq!(left, [back.subject]);
}
