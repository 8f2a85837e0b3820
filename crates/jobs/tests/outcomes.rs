//! The state of a job after each outcome of a run.

use std::time::Duration;

use mission_core::outcome::Actor;
use mission_core::{Failure, Outcome, Remedy};
use mission_jobs::{RetryPolicy, RunResult, Settings, State, Step};
use mission_test_support::RedisServer;

use crate::documents::{cleanup, provision_main};
use crate::worker::{Worker, brisk, by, done, put, reaches, transient, unreachable};

#[tokio::test]
async fn a_job_is_done_with_its_report_steps_and_no_secret() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = provision_main(1, 1);
    let accepted = put(&queue, &job).await;
    assert_eq!((accepted.id, accepted.state), (job.id, Some(State::Ready)));

    let _worker = Worker::start(&queue, brisk(), |claimed| async move {
        assert_eq!((claimed.attempt, claimed.max_attempts, claimed.run), (1, 12, 1));
        done().with_steps(vec![Step::new("compare", 3)])
    });
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!((record.attempts, record.runs, record.worker.as_deref()), (1, 1, None));
    assert_eq!(record.report.as_ref().unwrap().summary, "as it should be");
    assert_eq!(record.history.len(), 1);
    assert_eq!(record.history[0].result.outcome, "done");
    assert_eq!(record.history[0].result.steps, [Step::new("compare", 3)]);
    assert!(
        record.finished_at_ms >= record.started_at_ms
            && record.started_at_ms >= Some(record.enqueued_at_ms)
    );
    let shown = serde_json::to_string(&record).unwrap();
    assert!(!shown.contains("secret-") && shown.contains(r#""auth_token":"***""#), "{shown}");
    assert!(queue.is_idle().await.unwrap());
}

#[tokio::test]
async fn transient_failures_are_retried_until_the_attempts_run_out() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let _worker = Worker::start(&queue, brisk(), |_| async { transient() });
    let record = reaches(&queue, job.id, State::Dead).await;
    assert_eq!((record.attempts, record.runs), (12, 12));
    assert_eq!(record.reason.as_deref(), Some("attempts"));
    assert_eq!(record.failure.unwrap().code, "refused");
    let numbers: Vec<u32> = record.history.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<u32>>());
    assert!(record.history.iter().all(|attempt| attempt.result.code() == Some("refused")));

    // The history keeps the last twenty.
    queue.retry(job.id, false, &by("test"), "").await.unwrap();
    let record = reaches(&queue, job.id, State::Dead).await;
    assert_eq!((record.attempts, record.runs), (12, 24));
    assert_eq!((record.history.len(), record.history[0].number), (20, 5));
}

#[tokio::test]
async fn a_busy_gateway_costs_no_attempt() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let _worker = Worker::start(&queue, brisk(), |claimed| async move {
        if claimed.run == 3 {
            return done();
        }
        let failure = Failure::new("rate_limited", "slow down");
        Outcome::Busy { retry_after: Some(Duration::from_millis(1)), failure }.into()
    });
    let waiting = reaches(&queue, job.id, State::Snoozed).await;
    assert!(waiting.next_at_ms.unwrap() >= waiting.snoozed_since_ms.unwrap() + 250);
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!((record.attempts, record.runs, record.snoozed_since_ms), (1, 3, None));
}

#[tokio::test]
async fn a_job_that_is_snoozed_for_too_long_is_dead() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let retry = RetryPolicy { snooze_limit: Duration::from_millis(1500), ..brisk().retry };
    let _worker = Worker::start(&queue, Settings { retry, ..brisk() }, |_| async {
        let failure = Failure::new("restarting", "starting up");
        Outcome::Busy { retry_after: Some(Duration::ZERO), failure }.into()
    });
    let record = reaches(&queue, job.id, State::Dead).await;
    assert_eq!(record.reason.as_deref(), Some("snooze_deadline"));
    assert_eq!(
        (record.attempts, record.runs, record.failure.unwrap().code),
        (0, 2, "restarting".to_owned())
    );
}

#[tokio::test]
async fn a_gateway_that_is_away_costs_its_jobs_no_attempts_and_is_given_up_in_the_end() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let give_up_gateway_after = Duration::from_secs(1);
    let retry = RetryPolicy { give_up_gateway_after, ..brisk().retry };
    let _worker = Worker::start(&queue, Settings { retry, ..brisk() }, |_| async { unreachable() });
    let record = reaches(&queue, job.id, State::Dead).await;
    assert_eq!(record.reason.as_deref(), Some("gateway_gone"));
    assert_eq!(record.attempts, 0);
    assert!(record.runs > record.max_attempts, "{} runs", record.runs);
}

#[tokio::test]
async fn a_blocked_job_waits_for_a_person_and_is_probed_again() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let answer = |claimed: mission_jobs::Claimed| async move {
        if claimed.run == 1 {
            let failure = Failure::new("pairing_required", "not paired").with_remedy(
                Remedy::gateway_host("approve it").with_command("openclaw devices approve 7"),
            );
            return Outcome::Blocked(failure).into();
        }
        done()
    };
    let worker = Worker::start(&queue, brisk(), answer);
    let record = reaches(&queue, job.id, State::Blocked).await;
    assert_eq!(record.attempts, 0);
    let remedy = record.failure.unwrap().remedy;
    assert_eq!(remedy.command.as_deref(), Some("openclaw devices approve 7"));
    assert!(remedy.actor == Actor::GatewayHost && remedy.retry_helps);
    assert!(queue.is_idle().await.unwrap(), "nothing happens by itself for ten minutes");
    queue.retry(job.id, false, &by("test"), "").await.unwrap();
    reaches(&queue, job.id, State::Done).await;
    drop(worker);

    let other = cleanup(2, 2);
    put(&queue, &other).await;
    let retry = RetryPolicy { reprobe: Duration::from_millis(20), ..brisk().retry };
    let _worker = Worker::start(&queue, Settings { retry, ..brisk() }, answer);
    let record = reaches(&queue, other.id, State::Done).await;
    assert_eq!((record.attempts, record.runs), (1, 2));
}

#[tokio::test]
async fn a_permanent_failure_is_the_end_until_an_operator_retries() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let _worker = Worker::start(&queue, brisk(), |claimed| async move {
        if claimed.run == 1 {
            Outcome::Permanent(Failure::new("template_error", "line 3")).into()
        } else {
            done()
        }
    });
    let record = reaches(&queue, job.id, State::Dead).await;
    assert_eq!((record.reason.as_deref(), record.runs), (Some("permanent"), 1));
    queue.retry(job.id, false, &by("test"), "").await.unwrap();
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!(
        (record.reason, record.attempts, record.runs, record.history.len()),
        (None, 1, 2, 2)
    );
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_worker_continues() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let job = cleanup(1, 1);
    put(&queue, &job).await;

    let _worker = Worker::start(&queue, brisk(), |claimed| {
        assert_ne!(claimed.run, 2, "before the future");
        async move {
            assert_ne!(claimed.run, 1, "in the future");
            done()
        }
    });
    let record = reaches(&queue, job.id, State::Done).await;
    assert_eq!((record.attempts, record.runs), (3, 3));
    for (attempt, words) in record.history.iter().zip(["in the future", "before the future"]) {
        assert_eq!(attempt.result.code(), Some("panic"));
        assert!(attempt.result.message().unwrap().contains(words), "{attempt:?}");
    }
}

/// A valid cleanup for a reader that takes the last of two members, and a provision for others.
const TWICE: &str = r#"{"version": 1, "kind": "provision", "kind": "cleanup",
    "gateway": {"id": "00000000-0000-0000-0000-000000000001"},
    "agent": {"id": "00000000-0000-0000-0000-000000000002", "name": "Ada"}}"#;

#[tokio::test]
async fn what_cannot_be_read_is_dead_with_the_reason_and_the_loop_goes_on() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..7).map(|agent| cleanup(1, agent)).collect();
    queue.enqueue(&jobs).await.unwrap();
    let spoilt = [
        ("payload", "{\"version\": 1, oops", "invalid_job"),
        ("payload", TWICE, "invalid_job"),
        ("payload", "", "invalid_job"),
        ("kind", "nonsense", "unknown_kind"),
        ("kind", "provision", "invalid_job"),
        ("version", "99", "unknown_version"),
    ];
    let mut connection = redis.connect().await;
    for (job, (field, value, _)) in jobs.iter().zip(spoilt) {
        if field == "payload" {
            let key = queue.keys().documents(&job.lane.to_string());
            redis::cmd("HSET")
                .arg(key)
                .arg(job.id.to_string())
                .arg(value)
                .exec_async(&mut connection)
                .await
                .unwrap();
        } else {
            redis.change(&queue, job.id, field, value).await;
        }
    }

    let _worker =
        Worker::start(&queue, Settings { concurrency: 1, ..brisk() }, |claimed| async move {
            assert_eq!(claimed.job.agent_id().unwrap().as_u128(), 6, "only the last one is good");
            RunResult::from(done().outcome)
        });
    reaches(&queue, jobs[6].id, State::Done).await;
    for (job, (_, _, code)) in jobs.iter().zip(spoilt) {
        let record = reaches(&queue, job.id, State::Dead).await;
        assert_eq!(
            (record.reason.as_deref(), record.failure.unwrap().code.as_str()),
            (Some("invalid"), code)
        );
    }
}

#[tokio::test]
async fn a_document_that_was_removed_is_not_called_too_large() {
    let redis = RedisServer::start().await;
    let (queue, job) = (redis.queue(), cleanup(1, 1));
    queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    redis.tell::<()>(&format!("DEL {}", queue.keys().documents(&job.lane.to_string()))).await;
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    let failure = reaches(&queue, job.id, State::Dead).await.failure.unwrap();
    assert!(failure.message.contains("not in Redis"), "{failure:?}");
    assert!(failure.remedy.text.contains("enqueue the job again"), "{failure:?}");
}
