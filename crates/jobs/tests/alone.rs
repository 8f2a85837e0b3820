//! Jobs that have lost their worker run alone, so that only the one that kills workers is poison.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mission_core::outcome::Actor;
use mission_jobs::{Claimed, Queue, RunResult, Settings, State};
use mission_test_support::RedisServer;
use tokio::sync::Notify;

use crate::documents::cleanup;
use crate::worker::{Worker, done, eventually, look, notified, put, put_all, reaches, short_lease};

/// The agent whose job kills its worker.
const KILLER: u128 = 7;

/// Counts the runs that are in progress. One that is dropped counts no more.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The reports of runs.
#[derive(Clone, Default)]
struct Reports {
    begun: Arc<Notify>,
    kills: Arc<Notify>,
}

/// Starts a worker whose jobs take some time, except the killer, which reports that it kills. Jobs
/// that have lost a worker must run alone.
fn start(queue: &Queue, reports: &Reports, takes: Duration) -> Worker {
    let (reports, runs) = (reports.clone(), Arc::new(AtomicU32::new(0)));
    let handler = move |claimed: Claimed| {
        let (reports, runs) = (reports.clone(), Runs(runs.clone()));
        async move {
            let others = runs.0.fetch_add(1, Ordering::SeqCst);
            reports.begun.notify_one();
            assert!(claimed.run == 1 || others == 0, "run {} with {others} others", claimed.run);
            tokio::time::sleep(takes).await;
            assert!(claimed.run == 1 || runs.0.load(Ordering::SeqCst) == 1, "joined by others");
            if claimed.job.agent_id().is_some_and(|agent| agent.as_u128() == KILLER) {
                reports.kills.notify_one();
                std::future::pending::<RunResult>().await;
            }
            done()
        }
    };
    Worker::start(queue, short_lease(), handler)
}

#[tokio::test]
async fn only_the_job_that_kills_workers_is_poison() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..20).map(|agent| cleanup(agent % 5, agent)).collect();
    put_all(&queue, &jobs).await;
    let reports = Reports::default();
    // Once beside all others, and three times alone.
    for _ in 0..4 {
        let victim = start(&queue, &reports, Duration::from_millis(30));
        notified(&reports.kills).await;
        drop(victim);
    }
    let _worker = start(&queue, &reports, Duration::from_millis(30));
    for (agent, job) in (0..).zip(&jobs) {
        let (state, lost) = if agent == KILLER { (State::Dead, 4) } else { (State::Done, 0) };
        let record = reaches(&queue, job.id, state).await;
        assert_eq!((record.lost, record.reason.is_some()), (lost, agent == KILLER), "{record:?}");
    }
    let poison = look(&queue, jobs[7].id).await;
    assert_eq!((poison.reason.as_deref(), poison.attempts), (Some("poison"), 4));
    let failure = poison.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.remedy.actor), ("poison", Actor::Worker));
}

#[tokio::test]
async fn workers_that_are_killed_from_outside_bury_no_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (100..120).map(|agent| cleanup(agent % 5, agent)).collect();
    put_all(&queue, &jobs).await;
    let reports = Reports::default();
    for _ in 0..3 {
        let victim = start(&queue, &reports, Duration::from_secs(60));
        notified(&reports.begun).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(victim);
    }
    assert_eq!(queue.counts().await.unwrap().of(State::Dead), 0);
    let _worker = start(&queue, &reports, Duration::ZERO);
    for job in &jobs {
        reaches(&queue, job.id, State::Done).await;
    }
}

#[tokio::test]
async fn a_busy_worker_makes_room_for_a_job_that_runs_alone() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let suspect = cleanup(1, 1);
    put(&queue, &suspect).await;
    let reports = Reports::default();
    let victim = start(&queue, &reports, Duration::from_secs(60));
    reaches(&queue, suspect.id, State::Running).await;
    drop(victim);
    let others: Vec<_> = (100..500).map(|agent| cleanup(1 + agent % 5, agent)).collect();
    put_all(&queue, &others).await;
    let settings = Settings { concurrency: 4, ..short_lease() };
    let handler = |_| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        done()
    };
    let _workers = [(); 2].map(|()| Worker::start(&queue, settings.clone(), handler));
    reaches(&queue, suspect.id, State::Done).await;
    assert!(queue.counts().await.unwrap().of(State::Ready) > 0, "it came before the others' end");
    assert_eq!(look(&queue, suspect.id).await.runs, 2);
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == 401).await;
}
