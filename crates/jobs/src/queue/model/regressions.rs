//! Cases that failed once, as short as possible, and some that random operations meet too seldom.

use std::time::Duration;

use mission_core::Kind;

use super::Harness;
use super::machine::Limits;
use super::operations::{End, New, Operation, Whose};
use crate::queue::{Keep, State};

fn check(operations: &[Operation]) {
    Harness::start().run(Limits::default(), operations).unwrap();
}

/// Returns a job for agent 0 of gateway 0, due at once, without anything special.
fn new(kind: Kind) -> New {
    New {
        kind,
        gateway: 0,
        agent: 0,
        delay: 0,
        priority: 5,
        expires_in: 0,
        key: None,
        parts: "",
        generation: None,
        revision: None,
        fingerprint: "",
        max_attempts: 12,
    }
}

fn enqueue(job: New) -> Operation {
    Operation::Enqueue(vec![job])
}

fn claim(wanted: u8) -> Operation {
    Operation::Claim { worker: 0, wanted }
}

/// Returns the end of the worker's first run.
fn end(state: State, delay: u64, signal: &'static str) -> Operation {
    let counts = !matches!(state, State::Snoozed | State::Blocked);
    let (leave_alone, applied, apart, whose) = (500, 1, false, Whose::Own);
    let end = End { pick: 0, state, delay, counts, apart, signal, leave_alone, applied, whose };
    Operation::Ack { worker: 0, ends: vec![end] }
}

#[test]
fn a_job_that_expires_before_it_is_due_replaces_nothing() {
    check(&[
        enqueue(new(Kind::Provision)),
        Operation::Pause { scope: 0 },
        enqueue(New { delay: 500, expires_in: 1, ..new(Kind::Provision) }),
        Operation::Advance { ms: 1000 },
        claim(0),
    ]);
}

#[test]
fn a_job_that_is_not_wanted_and_loses_its_last_lease_is_cancelled() {
    check(&[
        enqueue(New { max_attempts: 1, ..new(Kind::Cleanup) }),
        claim(1),
        Operation::Cancel { pick: 0, discard: false },
        Operation::Lapse,
    ]);
}

#[test]
fn a_job_that_is_not_wanted_and_was_snoozed_too_long_is_cancelled() {
    check(&[
        enqueue(new(Kind::Cleanup)),
        claim(1),
        Operation::Cancel { pick: 0, discard: false },
        end(State::Snoozed, 900_001, "busy"),
    ]);
}

#[test]
fn a_hold_that_is_over_stays_over_when_the_clock_is_set_back() {
    check(&[
        enqueue(new(Kind::Cleanup)),
        claim(1),
        end(State::Snoozed, 1, "busy"),
        Operation::Lapse,
        Operation::Jump { ms: -60_000 },
        claim(1),
    ]);
}

#[test]
fn an_older_heartbeat_sync_that_becomes_due_waits_for_the_newer_one_that_runs() {
    check(&[
        enqueue(New { delay: 5000, ..new(Kind::HeartbeatSync) }),
        enqueue(new(Kind::HeartbeatSync)),
        claim(1),
        Operation::Advance { ms: 5000 },
        claim(1),
    ]);
}

#[test]
fn a_heartbeat_sync_whose_part_of_a_run_is_over_waits_for_the_others_of_the_run() {
    check(&[
        Operation::Enqueue(vec![new(Kind::HeartbeatSync), new(Kind::HeartbeatSync)]),
        claim(1),
        end(State::Retrying, 1, ""),
        Operation::Advance { ms: 1 },
        claim(1),
    ]);
}

/// Checks a job whose expiry was noted before the clock was set back.
#[test]
fn a_job_expires_although_it_ran_when_its_time_came_for_the_first_time() {
    check(&[
        enqueue(New { expires_in: 4000, ..new(Kind::Provision) }),
        claim(1),
        Operation::Advance { ms: 5000 },
        claim(0),
        Operation::Jump { ms: -5000 },
        end(State::Retrying, 500, ""),
        Operation::Advance { ms: 1000 },
        claim(0),
        Operation::Advance { ms: 5000 },
        claim(0),
    ]);
}

#[test]
fn the_owner_of_a_lane_learns_that_the_queue_goes_on() {
    check(&[
        enqueue(new(Kind::Cleanup)),
        claim(2),
        Operation::Pause { scope: 0 },
        enqueue(New { agent: 1, ..new(Kind::Cleanup) }),
        claim(2),
        Operation::Resume { scope: 0 },
    ]);
}

#[test]
fn a_job_is_set_free_by_its_gateways_recovery_once() {
    let blocked = || end(State::Blocked, 300_000, "blocked");
    let done = || end(State::Done, 0, "reached");
    let other = |agent| enqueue(New { agent, ..new(Kind::Cleanup) });
    check(&[
        enqueue(new(Kind::Cleanup)),
        claim(1),
        blocked(),
        other(1),
        claim(1),
        done(),
        claim(1),
        blocked(),
        other(2),
        claim(1),
        done(),
    ]);
}

#[test]
fn a_dead_job_that_was_retried_is_newer_than_all_others() {
    let dead = || end(State::Dead, 0, "");
    let retry = |pick, force| Operation::Retry { pick, force, fitting: false };
    let job = || enqueue(new(Kind::Cleanup));
    check(&[
        job(),
        claim(1),
        dead(),
        job(),
        claim(1),
        dead(),
        retry(0, true),
        claim(1),
        dead(),
        retry(1, false),
    ]);
}

#[test]
fn a_retry_by_hand_lets_the_other_jobs_of_the_gateway_go_on() {
    let failed = || end(State::Retrying, 300_000, "unreachable");
    check(&[
        Operation::Enqueue(vec![new(Kind::HeartbeatSync), new(Kind::HeartbeatSync)]),
        claim(1),
        failed(),
        failed(),
        enqueue(new(Kind::Cleanup)),
        Operation::Retry { pick: 1, force: false, fitting: false },
        claim(2),
    ]);
}

#[test]
fn a_job_whose_time_was_set_by_a_clock_ahead_is_made_due_by_hand() {
    let scheduled = |kind| enqueue(New { delay: 3_600_000, ..new(kind) });
    let retry = |pick| Operation::Retry { pick, force: false, fitting: false };
    for kind in [Kind::Provision, Kind::Cleanup, Kind::HeartbeatSync] {
        check(&[
            enqueue(new(Kind::Provision)),
            scheduled(kind),
            retry(0),
            retry(1),
            claim(2),
            end(State::Done, 0, "reached"),
            claim(2),
        ]);
        // The gateway is left alone, and a worker sleeps.
        check(&[
            enqueue(new(Kind::Provision)),
            claim(1),
            end(State::Retrying, 300_000, "unreachable"),
            scheduled(kind),
            retry(1),
            claim(2),
        ]);
    }
}

/// Checks a job whose token changed together with its lease.
#[test]
fn a_job_that_is_lost_and_taken_in_one_call_can_be_ended() {
    let take = || [Operation::Advance { ms: 5000 }, claim(0)];
    let mut operations =
        vec![enqueue(new(Kind::Cleanup)), claim(1), Operation::Crash { worker: 0 }];
    operations.extend([take(), take(), take()].concat());
    operations.extend([Operation::Advance { ms: 5000 }, claim(1), end(State::Done, 0, "reached")]);
    check(&operations);
}

#[test]
fn a_group_of_failures_is_as_old_as_its_jobs_that_are_kept() {
    let expires = |expires_in, agent| enqueue(New { agent, expires_in, ..new(Kind::Cleanup) });
    let operations = [
        expires(1, 0),
        expires(30_000, 1),
        Operation::Pause { scope: 0 },
        Operation::Lapse,
        Operation::Lapse,
    ];
    let keep = Keep { age: Duration::from_secs(300), count: 1 };
    Harness::start().run(Limits { keep, ..Limits::default() }, &operations).unwrap();
}
