//! The operations on a queue, as plain data. Jobs and leases are picked by position, so that a list
//! of operations still makes sense when some are left out.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use mission_core::Kind;
use uuid::Uuid;

use super::records::Used;
use crate::queue::State;
use crate::queue::redis::scripts::Ack;
use crate::retry::RetryPolicy;

/// The number of workers, of gateways, and of agents of each gateway.
pub(super) const WORKERS: u8 = 3;
pub(super) const GATEWAYS: u8 = 3;
const AGENTS: u8 = 3;
/// The length of a lease.
pub(super) const LEASE: u64 = 20_000;
/// The longest time that a job may be snoozed in a row.
pub(super) const SNOOZE_LIMIT: u64 = 600_000;
/// The time after which a gateway that is away is given up.
pub(super) const GIVE_UP_AFTER: u64 = 900_000;

/// Returns the id of a gateway.
pub(super) fn gateway(number: u8) -> Uuid {
    Uuid::from_u128(0x10 + u128::from(number))
}

/// An operation. Times are in ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// Enqueues new jobs in one call.
    Enqueue(Vec<New>),
    /// Enqueues an envelope that was enqueued before.
    EnqueueAgain {
        pick: u8,
    },
    /// Claims jobs; 0 jobs make it a sweep. A worker that sleeps first takes a token that wakes it,
    /// if there is one.
    Claim {
        worker: u8,
        wanted: u8,
    },
    /// Renews all leases of a worker, or only the one picked, which it may have lost.
    Renew {
        worker: u8,
        only: Option<u8>,
        stale: bool,
    },
    /// Writes ends of runs of one worker in one call.
    Ack {
        worker: u8,
        ends: Vec<End>,
    },
    /// Hands back the lease picked, or all leases of the worker.
    Release {
        worker: u8,
        only: Option<u8>,
    },
    /// Makes a worker forget its leases.
    Crash {
        worker: u8,
    },
    /// Cancels a job, or discards one, which must be dead.
    Cancel {
        pick: u8,
        discard: bool,
    },
    /// Snoozes a job.
    Snooze {
        pick: u8,
        ms: u64,
    },
    /// Retries a job; with `fitting`, one whose state allows that.
    Retry {
        pick: u8,
        force: bool,
        fitting: bool,
    },
    /// Stores the connection of a gateway.
    Put(Put),
    /// Forgets a gateway.
    Forget {
        gateway: u8,
        force: bool,
    },
    Pause {
        scope: u8,
    },
    Resume {
        scope: u8,
    },
    /// Lets time pass.
    Advance {
        ms: u64,
    },
    /// Sets the clock.
    Jump {
        ms: i64,
    },
    /// Lets the time of a lease pass, with sweeps all along.
    Lapse,
}

/// A new job to enqueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct New {
    pub(super) kind: Kind,
    pub(super) gateway: u8,
    pub(super) agent: u8,
    pub(super) delay: u64,
    pub(super) priority: u8,
    pub(super) expires_in: u64,
    pub(super) key: Option<u8>,
    pub(super) parts: &'static str,
    pub(super) generation: Option<u64>,
    pub(super) revision: Option<u64>,
    pub(super) fingerprint: &'static str,
    pub(super) max_attempts: u32,
}

/// A connection to store without a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Put {
    pub(super) gateway: u8,
    pub(super) revision: Option<u64>,
    pub(super) fingerprint: &'static str,
}

/// Returns the policy with these limits.
pub(super) fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        snooze_limit: Duration::from_millis(SNOOZE_LIMIT),
        give_up_gateway_after: Duration::from_millis(GIVE_UP_AFTER),
        ..RetryPolicy::default()
    }
}

impl New {
    /// Returns the heartbeats by agent, which only heartbeat-syncs have: of the picked agent, and
    /// with the text of the parts.
    pub(super) fn heartbeats(&self) -> BTreeMap<String, String> {
        if self.kind != Kind::HeartbeatSync || self.parts.is_empty() {
            return BTreeMap::new();
        }
        BTreeMap::from([(agent(self.agent).to_string(), self.parts.to_owned())])
    }
}

/// Returns the id of an agent.
pub(super) const fn agent(number: u8) -> Uuid {
    Uuid::from_u128(0xA0 + number as u128)
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) pick: u8,
    pub(super) state: State,
    pub(super) delay: u64,
    pub(super) counts: bool,
    /// `true` if the run was shared and the job is to run again by itself.
    pub(super) apart: bool,
    pub(super) signal: &'static str,
    pub(super) leave_alone: u64,
    /// The thing that the run has applied to its agent: a number, or nothing if it is 0.
    pub(super) applied: u8,
    pub(super) whose: Whose,
}

/// Selects the lease of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// A lease that the worker holds.
    Own,
    /// A lease that it once held.
    Stale,
    /// A lease of another worker.
    Others,
}

/// The number of scopes that can be paused: everything, each kind, each gateway.
#[expect(clippy::cast_possible_truncation, reason = "four kinds")]
pub(super) const SCOPES: u8 = 1 + Kind::ALL.len() as u8 + GATEWAYS;

const REVISIONS: &[Option<u64>] = &[None, None, Some(1), Some(2)];
const FINGERPRINTS: &[&str] = &["", "a", "a", "b"];
const DELAYS: [u64; 6] = [0, 1, 500, 5_000, 60_000, 300_000];

impl Operation {
    /// Returns operations like this one with a part left out.
    pub(super) fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Enqueue(jobs) => without_one(jobs)
                .map(Self::Enqueue)
                .chain(plainer(jobs).map(Self::Enqueue))
                .collect(),
            Self::Ack { worker, ends } => {
                without_one(ends).map(|ends| Self::Ack { worker: *worker, ends }).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn without_one<T: Clone>(all: &[T]) -> impl Iterator<Item = Vec<T>> {
    let some = if all.len() > 1 { all.len() } else { 0 };
    (0..some).map(|left_out| {
        let mut fewer = all.to_vec();
        fewer.remove(left_out);
        fewer
    })
}

/// Returns the same jobs with one special property less.
fn plainer(jobs: &[New]) -> impl Iterator<Item = Vec<New>> {
    let plain: [fn(&mut New); 9] = [
        |new| new.delay = 0,
        |new| new.priority = 5,
        |new| new.expires_in = 0,
        |new| new.key = None,
        |new| new.parts = "",
        |new| new.generation = None,
        |new| new.revision = None,
        |new| new.fingerprint = "",
        |new| new.max_attempts = 12,
    ];
    let places = (0..jobs.len()).flat_map(move |place| plain.map(|plain| (place, plain)));
    let changed = places.map(|(place, plain)| {
        let mut jobs = jobs.to_vec();
        plain(&mut jobs[place]);
        jobs
    });
    changed.filter(move |changed| changed != jobs)
}

/// Returns random operations. Those that make work are more frequent than those that hinder it. The
/// fewer gateways and agents there are, the more jobs meet each other.
pub(super) fn random(rng: &mut Rng) -> Vec<Operation> {
    let count = rng.usize(5..60);
    let world = World {
        gateways: rng.u8(1..=GATEWAYS),
        agents: rng.u8(1..=AGENTS),
        grim: rng.u8(..4) == 0,
    };
    (0..count).map(|_| one(rng, &world)).collect()
}

/// The common properties of the operations of one case.
struct World {
    gateways: u8,
    agents: u8,
    /// `true` if most runs fail.
    grim: bool,
}

fn one(rng: &mut Rng, world: &World) -> Operation {
    let worker = rng.u8(..WORKERS);
    let pick = rng.u8(..);
    match rng.u8(..100) {
        0 => Operation::Forget { gateway: rng.u8(..world.gateways), force: rng.bool() },
        1..24 => Operation::Enqueue((0..few(rng)).map(|_| new(rng, world)).collect()),
        24..26 => Operation::EnqueueAgain { pick },
        26..48 => Operation::Claim { worker, wanted: rng.u8(..5) },
        48..53 => {
            Operation::Renew { worker, only: rng.bool().then_some(pick), stale: rng.u8(..4) == 0 }
        }
        53..71 => Operation::Ack { worker, ends: (0..few(rng)).map(|_| end(rng, world)).collect() },
        71..73 => Operation::Release { worker, only: rng.bool().then_some(pick) },
        73..75 => Operation::Crash { worker },
        75..77 => Operation::Cancel { pick, discard: rng.u8(..4) == 0 },
        77..79 => Operation::Snooze { pick, ms: among(rng, &DELAYS[1..]) },
        79 => Operation::Put(Put {
            gateway: rng.u8(..world.gateways),
            revision: among(rng, REVISIONS),
            fingerprint: among(rng, FINGERPRINTS),
        }),
        80..82 => Operation::Retry { pick, force: rng.bool(), fitting: rng.u8(..4) > 0 },
        82..84 => Operation::Pause { scope: rng.u8(..SCOPES) },
        84..88 => Operation::Resume { scope: rng.u8(..SCOPES) },
        88..95 => Operation::Advance {
            ms: among(rng, &[1, 100, 1000, 5000, 10_000, 21_000, 61_000, 300_000]),
        },
        95..97 => Operation::Jump { ms: among(rng, &[-600_000, -60_000, -5000, 60_000, 900_000]) },
        _ => Operation::Lapse,
    }
}

fn new(rng: &mut Rng, world: &World) -> New {
    New {
        kind: among(rng, &Kind::ALL),
        gateway: rng.u8(..world.gateways),
        agent: rng.u8(..world.agents),
        delay: if rng.u8(..3) == 0 { among(rng, &DELAYS) } else { 0 },
        priority: if rng.u8(..3) == 0 { rng.u8(..10) } else { 5 },
        expires_in: if rng.u8(..6) == 0 { among(rng, &[1, 4_000, 30_000, 120_000]) } else { 0 },
        key: (rng.u8(..8) == 0).then(|| rng.u8(..3)),
        parts: among(rng, &["", "c", "t", "ctp", "cw", "cfr", "ctfrwp"]),
        generation: among(rng, &[None, None, None, Some(1), Some(2), Some(3)]),
        revision: among(rng, REVISIONS),
        fingerprint: among(rng, FINGERPRINTS),
        max_attempts: if rng.u8(..4) == 0 { 2 } else { 12 },
    }
}

/// Returns an end as workers write it, or occasionally one that they never write.
fn end(rng: &mut Rng, world: &World) -> End {
    let delay = among(rng, &DELAYS[1..]);
    let (state, counts, signal) =
        match if world.grim && rng.bool() { rng.u8(14..18) } else { rng.u8(..20) } {
            0..8 => (State::Done, true, "reached"),
            8..11 => (State::Retrying, true, "unreachable"),
            11 => (State::Retrying, true, "reached"),
            12 | 13 => (State::Snoozed, false, "busy"),
            14..17 => (State::Blocked, false, among(rng, &["blocked", "blocked", ""])),
            17 => (State::Dead, true, among(rng, &["reached", "", "unreachable"])),
            18 => (State::Cancelled, true, ""),
            _ => {
                let states = [
                    State::Done,
                    State::Retrying,
                    State::Snoozed,
                    State::Blocked,
                    State::Dead,
                    State::Cancelled,
                ];
                (
                    among(rng, &states),
                    rng.bool(),
                    among(rng, &["reached", "blocked", "busy", "restarting", "unreachable", ""]),
                )
            }
        };
    let whose = match rng.u8(..16) {
        0 => Whose::Stale,
        1 => Whose::Others,
        _ => Whose::Own,
    };
    let delay = if state.is_waiting() { delay } else { 0 };
    End {
        pick: rng.u8(..),
        state,
        delay,
        counts,
        apart: state == State::Retrying && rng.bool(),
        signal,
        leave_alone: among(rng, &DELAYS[1..]),
        applied: rng.u8(..3),
        whose,
    }
}

/// Returns 1 to 4, mostly 1.
fn few(rng: &mut Rng) -> u8 {
    if rng.bool() { 1 } else { rng.u8(1..5) }
}

fn among<T: Copy>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())]
}

impl End {
    /// Returns what the run has applied to its agent, or an empty text.
    pub(super) fn applied(&self) -> String {
        if self.applied == 0 { String::new() } else { format!("applied-{}", self.applied) }
    }

    /// Returns the end as an argument of `ack.lua`.
    pub(super) fn ack(&self, used: &Used) -> Ack {
        let failure =
            if self.state == State::Done { "" } else { r#"{"code":"test","message":"A test."}"# };
        Ack {
            delay: Duration::from_millis(self.delay),
            counts: self.counts,
            reason: match self.state {
                State::Dead => "permanent",
                _ if self.apart => "apart",
                _ => "",
            },
            failure: failure.to_owned(),
            signal: self.signal,
            leave_alone: Duration::from_millis(self.leave_alone),
            observed: used.seq,
            carried: used.carried(),
            applied: self.applied(),
            ..Ack::new(self.state, r#"{"outcome":"acked"}"#.to_owned())
        }
    }
}
