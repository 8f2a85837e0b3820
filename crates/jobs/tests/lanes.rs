//! Concurrency in lanes and subjects: order and turns.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mission_jobs::{Claimed, RunResult, Settings, State};
use mission_test_support::RedisServer;

use crate::documents::{cleanup, heartbeat_sync, update};
use crate::worker::{Gate, Runs, Worker, brisk, done, eventually, put, put_all, reached, reaches};

#[tokio::test]
async fn jobs_of_a_subject_run_one_at_a_time_and_in_order() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    // The kind is never replaced. Jobs that wait one behind the other share a run.
    let jobs: Vec<_> = (0..90).map(|agent| heartbeat_sync(1, &[(agent % 3, "1m")])).collect();
    queue.enqueue(&jobs[..50]).await.unwrap();

    // The first is the number of running jobs, the second the finished ones.
    let seen = Arc::new(Mutex::new((0, Vec::new())));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let seen = seen.clone();
            Worker::start(&queue, Settings { concurrency: 8, ..brisk() }, move |claimed| {
                let seen = seen.clone();
                async move {
                    {
                        let mut seen = seen.lock().unwrap();
                        seen.0 += 1;
                        assert_eq!(seen.0, 1, "alone in its subject");
                        seen.1.push(claimed.id);
                        seen.1.extend(&claimed.shared_with);
                    }
                    tokio::task::yield_now().await;
                    seen.lock().unwrap().0 -= 1;
                    done()
                }
            })
        })
        .collect();
    // Some jobs arrive while others of their subject run.
    for job in &jobs[50..] {
        put(&queue, job).await;
    }
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 90).await;
    assert_eq!(seen.lock().unwrap().1, jobs.iter().map(|job| job.id).collect::<Vec<_>>());
    drop(workers);
}

#[tokio::test]
async fn a_lane_is_worked_by_one_worker_at_a_time() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..120).map(|agent| cleanup(agent % 3, agent)).collect();
    put_all(&queue, &jobs).await;

    // Counts the jobs that each worker is running per lane.
    let running: Arc<Mutex<HashMap<(String, usize), u32>>> = Arc::default();
    let workers: Vec<_> = (0..3)
        .map(|me| {
            let running = running.clone();
            Worker::start(&queue, Settings { concurrency: 4, ..brisk() }, move |claimed| {
                let running = running.clone();
                async move {
                    let place = (claimed.lane.clone(), me);
                    {
                        let mut running = running.lock().unwrap();
                        *running.entry(place.clone()).or_default() += 1;
                        let others = running
                            .iter()
                            .filter(|((lane, who), n)| *lane == place.0 && *who != me && **n > 0);
                        assert_eq!(others.count(), 0, "two workers in one lane");
                    }
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    *running.lock().unwrap().get_mut(&place).unwrap() -= 1;
                    done()
                }
            })
        })
        .collect();
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 120).await;
    for job in jobs {
        assert_eq!(
            queue.get(job.id).await.unwrap().unwrap().runs,
            1,
            "a failed assertion would show as another run"
        );
    }
    drop(workers);
}

#[tokio::test]
async fn lanes_take_turns() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let many: Vec<_> = (0..50).map(|agent| cleanup(1, agent)).collect();
    queue.enqueue(&many).await.unwrap();
    queue.enqueue(&[cleanup(2, 1), cleanup(2, 2)]).await.unwrap();

    let order = Arc::new(Mutex::new(Vec::new()));
    let _worker = Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, {
        let order = order.clone();
        move |claimed| {
            order.lock().unwrap().push(claimed.job.gateway_id().as_u128());
            async { done() }
        }
    });
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 52).await;
    assert_eq!(order.lock().unwrap()[..4], [1, 2, 1, 2]);
}

#[tokio::test]
async fn jobs_of_a_lane_come_by_priority_and_then_by_age() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let priorities = [None, Some(9), Some(0), Some(4), None, Some(0), Some(5)];
    let jobs: Vec<_> = (0..)
        .zip(priorities)
        .map(|(agent, priority)| match priority {
            Some(priority) => cleanup(1, agent).with_priority(priority),
            None => cleanup(1, agent),
        })
        .collect();
    queue.enqueue(&jobs).await.unwrap();
    let runs = Runs::default();
    let _worker =
        Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, runs.handler(|_| done()));
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 7).await;
    assert_eq!(runs.agents(), [2, 5, 3, 0, 4, 6, 1]);
}

#[tokio::test]
async fn priority_does_not_disturb_the_order_of_an_agent_nor_the_turns_of_lanes() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [first, urgent] = [cleanup(1, 1), update(1, 1).with_priority(0)];
    let other_lane = cleanup(2, 9).with_priority(9);
    queue
        .enqueue(&[first.clone(), urgent.clone(), cleanup(1, 2), other_lane.clone()])
        .await
        .unwrap();
    let runs = Runs::default();
    let _worker =
        Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, runs.handler(|_| done()));
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 4).await;
    let ids = runs.ids();
    assert_eq!(ids[..2], [first.id, other_lane.id]);
    assert!(ids.contains(&urgent.id));
}

#[tokio::test]
async fn a_lane_runs_as_many_jobs_at_once_as_its_limit_allows() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    queue.enqueue(&(0..10).map(|agent| cleanup(1, agent)).collect::<Vec<_>>()).await.unwrap();
    let gate = Gate::default();
    let settings = Settings { concurrency: 8, lane_concurrency: 3, ..brisk() };
    let _worker = Worker::start(&queue, settings, gate.handler(done));
    for ended in 0..10 {
        // Two at first; the gateway's answers allow more.
        let begun = 10.min(ended + if ended == 0 { 2 } else { 3 });
        eventually("the places are taken", async || gate.runs() == begun).await;
        // The worker has free slots, and sleeps all the same.
        redis.has_idle(1).await;
        assert_eq!(queue.counts().await.unwrap().of(State::Running), u64::from(begun - ended));
        gate.open();
        eventually("one more is done", async || {
            queue.counts().await.unwrap().of(State::Done) > u64::from(ended)
        })
        .await;
    }
}

/// Returns a handler that answers for agents from 1000 on and hangs for others, and the number of
/// runs that hang.
fn hangs_below_1000()
-> (impl Fn(Claimed) -> BoxFuture<'static, RunResult> + Clone + Send + 'static, Arc<AtomicU32>) {
    let hanging = Arc::new(AtomicU32::new(0));
    let counted = hanging.clone();
    let handler = move |claimed: Claimed| -> BoxFuture<'static, RunResult> {
        if claimed.job.agent_id().unwrap().as_u128() >= 1000 {
            return Box::pin(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                reached()
            });
        }
        counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    };
    (handler, hanging)
}

#[tokio::test]
async fn gateways_that_never_answer_take_few_slots() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let hang: Vec<_> = (0..100).map(|agent| cleanup(1 + agent % 4, agent)).collect();
    put_all(&queue, &hang).await;
    let (handler, hanging) = hangs_below_1000();
    let _worker = Worker::start(&queue, Settings { concurrency: 64, ..brisk() }, handler);
    eventually("they hang", async || hanging.load(Ordering::SeqCst) == 8).await;
    let urgent = cleanup(9, 1000).with_priority(0);
    put(&queue, &urgent).await;
    reaches(&queue, urgent.id, State::Done).await;
    assert_eq!(hanging.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn gateways_that_stop_to_answer_leave_slots_for_others() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let answered: Vec<_> = (0..80).map(|agent| cleanup(1 + agent % 4, 1000 + agent)).collect();
    put_all(&queue, &answered).await;
    let (handler, hanging) = hangs_below_1000();
    let settings = Settings { concurrency: 40, lane_concurrency: 40, ..brisk() };
    let _worker = Worker::start(&queue, settings, handler);
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 80).await;
    // Their answers count for a while, so they get nine tenths of the slots.
    let hang: Vec<_> = (0..100).map(|agent| cleanup(1 + agent % 4, agent)).collect();
    put_all(&queue, &hang).await;
    eventually("they hang", async || hanging.load(Ordering::SeqCst) == 36).await;
    let urgent = cleanup(9, 1000).with_priority(0);
    put(&queue, &urgent).await;
    reaches(&queue, urgent.id, State::Done).await;
    assert_eq!(hanging.load(Ordering::SeqCst), 36);
}

#[tokio::test]
async fn a_gateway_that_answers_soon_has_as_many_runs_as_it_may() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    put_all(&queue, &(0..200).map(|agent| cleanup(1, agent)).collect::<Vec<_>>()).await;
    let (at_once, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counted = (at_once.clone(), most.clone());
    let handler = move |_| {
        let (at_once, most) = counted.clone();
        async move {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            at_once.fetch_sub(1, Ordering::SeqCst);
            reached()
        }
    };
    let settings = Settings { lane_concurrency: 32, ..brisk() };
    let _worker = Worker::start(&queue, settings, handler);
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 200).await;
    assert_eq!(most.load(Ordering::SeqCst), 32);
}
