//! Heartbeat-syncs of a gateway that wait share one run, which leaves out agents that were cleaned
//! up since.

use mission_core::{Failure, Job, Kind, Outcome};
use mission_jobs::queue::PauseScope;
use mission_jobs::{Claimed, Queue, State};
use mission_test_support::RedisServer;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync};
use crate::worker::{
    DropFlag, HOUR, Runs, Worker, brisk, by, done, eventually, look, never_ends, notified, patient,
    permanent, put, quick_renewal, reached, reaches, short_lease, unreachable,
};

/// Returns the agents of a run with their heartbeats, and those that are left out of it.
fn agents(claimed: &Claimed) -> (Vec<(u128, String)>, Vec<u128>) {
    let Job::HeartbeatSync(sync) = &claimed.job else { panic!("{claimed:?}") };
    let every = |agent: &mission_core::model::Agent| {
        agent.heartbeat_config["every"].as_str().unwrap().to_owned()
    };
    let agents = sync.agents.iter().map(|agent| (agent.id.as_u128(), every(agent))).collect();
    (agents, sync.left_out.iter().map(|agent| agent.id.as_u128()).collect())
}

/// Returns the jobs that shared each run, oldest first.
fn members(runs: &Runs) -> Vec<Vec<Uuid>> {
    runs.map(|claimed| [vec![claimed.id], claimed.shared_with.clone()].concat())
}

async fn all_done(queue: &Queue, count: u64) {
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == count).await;
}

#[tokio::test]
async fn syncs_that_wait_share_a_run_and_the_newest_entry_of_each_agent_counts() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [
        heartbeat_sync(1, &[(1, "1m"), (2, "1m")]),
        heartbeat_sync(1, &[(2, "2m"), (3, "2m")]),
        heartbeat_sync(1, &[(1, "3m")]),
    ];
    let other_lane = heartbeat_sync(2, &[(1, "9m")]);
    queue.enqueue(&jobs).await.unwrap();
    put(&queue, &other_lane).await;
    let runs = Runs::default();
    let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
    all_done(&queue, 4).await;
    assert_eq!(members(&runs), [jobs.iter().map(|job| job.id).collect(), vec![other_lane.id]]);
    let (merged, _) = &runs.map(agents)[0];
    assert_eq!(*merged, [(2, "2m".to_owned()), (3, "2m".to_owned()), (1, "3m".to_owned())]);
    for job in &jobs {
        let record = look(&queue, job.id).await;
        assert_eq!((record.runs, record.attempts, record.history.len()), (1, 1, 1));
        assert_eq!(record.report.unwrap().summary, "as it should be");
    }
}

#[tokio::test]
async fn the_wrong_one_of_a_shared_run_fails_alone_and_later_ones_run() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let sync = |agent| heartbeat_sync(1, &[(agent, "1m")]);
    let jobs: Vec<_> = (0..4).map(sync).collect();
    queue.enqueue(&jobs).await.unwrap();
    let runs = Runs::default();
    let refused = || Outcome::Blocked(Failure::new("agent_not_ours", "not ours")).into();
    let is_wrong = |claimed: &Claimed| agents(claimed).0.iter().any(|(agent, _)| *agent == 1);
    let end = move |claimed: &Claimed| if is_wrong(claimed) { refused() } else { reached() };
    let _worker = Worker::start(&queue, brisk(), runs.handler(end));
    let wrong = reaches(&queue, jobs[1].id, State::Blocked).await;
    assert_eq!((wrong.runs, wrong.attempts), (2, 0));
    for right in [0, 2, 3] {
        let record = reaches(&queue, jobs[right].id, State::Done).await;
        assert_eq!((record.runs, record.attempts), (2, 1), "{record:?}");
    }
    // The wrong one is tried again with a newer one, and keeps it from nothing.
    let later = [sync(5), sync(6)];
    queue.enqueue(&later).await.unwrap();
    for job in &later {
        assert_eq!(reaches(&queue, job.id, State::Done).await.runs, 1);
    }
    assert_eq!(reaches(&queue, jobs[1].id, State::Blocked).await.runs, 3);
}

#[tokio::test]
async fn all_members_of_a_shared_run_share_a_failure_of_the_gateway() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (1..=3).map(|agent| heartbeat_sync(1, &[(agent, "1m")])).collect();
    queue.enqueue(&jobs).await.unwrap();
    let _worker = Worker::start(&queue, patient(), |_| async { unreachable() });
    for job in &jobs {
        let record = reaches(&queue, job.id, State::Retrying).await;
        assert_eq!((record.runs, record.failure.unwrap().code.as_str()), (1, "refused"));
    }
}

#[tokio::test]
async fn no_more_than_32_share_a_run() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..40).map(|agent| heartbeat_sync(1, &[(agent, "1m")])).collect();
    queue.enqueue(&jobs).await.unwrap();
    let runs = Runs::default();
    let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
    all_done(&queue, 40).await;
    assert_eq!(members(&runs).iter().map(Vec::len).collect::<Vec<_>>(), [32, 8]);
}

#[tokio::test]
async fn a_sync_that_lost_its_worker_runs_alone() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let [first, second, third] = [1, 2, 3].map(|agent| heartbeat_sync(1, &[(agent, "1m")]));
    queue.enqueue(&[first.clone(), second.clone()]).await.unwrap();
    let begun = Notify::new().into();
    let victim = Worker::start(&queue, short_lease(), never_ends(&begun, &DropFlag::default()));
    notified(&begun).await;
    put(&queue, &third).await;
    drop(victim);

    let runs = Runs::default();
    let _worker = Worker::start(&queue, short_lease(), runs.handler(|_| done()));
    all_done(&queue, 3).await;
    assert_eq!(members(&runs), [[first.id], [second.id], [third.id]]);
    assert_eq!(look(&queue, first.id).await.history[0].result.outcome, "lost");
}

#[tokio::test]
async fn one_that_cannot_be_read_dies_alone() {
    for spoilt in 0..3 {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        let jobs: Vec<_> = (0..3).map(|agent| heartbeat_sync(1, &[(agent, "1m")])).collect();
        queue.enqueue(&jobs).await.unwrap();
        let key = queue.keys().documents(&jobs[spoilt].lane.to_string());
        redis::cmd("HSET")
            .arg(key)
            .arg(jobs[spoilt].id.to_string())
            .arg("{")
            .exec_async(&mut redis.connect().await)
            .await
            .unwrap();

        let runs = Runs::default();
        let _worker = Worker::start(&queue, brisk(), runs.handler(|_| done()));
        all_done(&queue, 2).await;
        assert_eq!(
            reaches(&queue, jobs[spoilt].id, State::Dead).await.reason.as_deref(),
            Some("invalid")
        );
        let good: Vec<_> =
            jobs.iter().map(|job| job.id).filter(|id| *id != jobs[spoilt].id).collect();
        assert_eq!(members(&runs), [good]);
    }
}

#[tokio::test]
async fn cancelling_one_sync_stops_the_run_and_the_others_run_again() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..3).map(|agent| heartbeat_sync(1, &[(agent, "1m")])).collect();
    queue.enqueue(&jobs).await.unwrap();
    let (begun, stopped) = (Notify::new().into(), DropFlag::default());
    let worker = Worker::start(&queue, quick_renewal(), {
        let first = never_ends(&begun, &stopped);
        move |claimed: Claimed| {
            if claimed.run == 1 {
                return first(claimed);
            }
            assert_eq!(
                (claimed.attempt, claimed.shared_with.len()),
                (1, 1),
                "the stopped run does not count"
            );
            Box::pin(async { done() })
        }
    });
    notified(&begun).await;
    queue.cancel(jobs[1].id, &by("ada"), "wrong").await.unwrap();
    reaches(&queue, jobs[1].id, State::Cancelled).await;
    assert!(stopped.is_set());
    all_done(&queue, 2).await;
    for job in [&jobs[0], &jobs[2]] {
        let record = look(&queue, job.id).await;
        let outcomes: Vec<_> =
            record.history.iter().map(|run| run.result.outcome.as_str()).collect();
        assert_eq!((record.attempts, outcomes), (1, vec!["released", "done"]));
    }
    drop(worker);
}

/// Holds back syncs until the cleanup of agent 1 is done.
async fn cleaned_up_meanwhile(queue: &Queue) {
    queue.pause(&PauseScope::Kind(Kind::HeartbeatSync), &by("test"), "").await.unwrap();
    let older = heartbeat_sync(1, &[(1, "1m"), (2, "1m")]);
    let gone = cleanup(1, 1);
    queue.enqueue(&[older, gone.clone()]).await.unwrap();
    let _worker = Worker::start(queue, brisk(), |_| async { reached() });
    reaches(queue, gone.id, State::Done).await;
}

async fn runs_of_syncs(queue: &Queue, count: u64) -> Runs {
    let runs = Runs::default();
    let _worker = Worker::start(queue, brisk(), runs.handler(|_| done()));
    queue.resume(&PauseScope::Kind(Kind::HeartbeatSync), &by("test"), "").await.unwrap();
    all_done(queue, count).await;
    runs
}

#[tokio::test]
async fn an_agent_that_was_cleaned_up_since_is_left_out() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    cleaned_up_meanwhile(&queue).await;
    let runs = runs_of_syncs(&queue, 2).await;
    assert_eq!(runs.map(agents), [(vec![(2, "1m".to_owned())], vec![1])]);
}

#[tokio::test]
async fn a_newer_sync_does_not_bring_an_agent_back_that_was_cleaned_up() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    cleaned_up_meanwhile(&queue).await;
    put(&queue, &heartbeat_sync(1, &[(1, "7m")])).await;
    let runs = runs_of_syncs(&queue, 3).await;
    assert_eq!(runs.map(agents), [(vec![(2, "1m".to_owned())], vec![1])]);
}

#[tokio::test]
async fn a_cleanup_of_another_gateway_or_one_that_is_not_due_leaves_out_no_agent() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    queue.pause(&PauseScope::Kind(Kind::HeartbeatSync), &by("test"), "").await.unwrap();
    let (sync, other_lane) = (heartbeat_sync(1, &[(1, "1m")]), cleanup(2, 1));
    let later = cleanup(1, 1).with_delay(HOUR);
    queue.enqueue(&[sync, other_lane.clone(), later]).await.unwrap();
    let worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, other_lane.id, State::Done).await;
    drop(worker);
    let runs = runs_of_syncs(&queue, 2).await;
    assert_eq!(runs.map(agents), [(vec![(1, "1m".to_owned())], vec![])]);
}

#[tokio::test]
async fn a_cleanup_that_failed_leaves_out_its_agent_until_a_person_discards_it() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    queue.pause(&PauseScope::Kind(Kind::HeartbeatSync), &by("test"), "").await.unwrap();
    let dead = cleanup(1, 1);
    put(&queue, &dead).await;
    let worker = Worker::start(&queue, brisk(), |_| async { permanent() });
    reaches(&queue, dead.id, State::Dead).await;
    drop(worker);
    put(&queue, &heartbeat_sync(1, &[(1, "1m")])).await;
    let runs = runs_of_syncs(&queue, 1).await;
    assert_eq!(runs.map(agents), [(vec![], vec![1])]);

    queue.discard(dead.id, &by("test"), "").await.unwrap();
    put(&queue, &heartbeat_sync(1, &[(1, "2m")])).await;
    let runs = runs_of_syncs(&queue, 2).await;
    assert_eq!(runs.map(agents), [(vec![(1, "2m".to_owned())], vec![])]);
}
