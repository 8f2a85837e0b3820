//! Tests the queue's scripts on a real `redis-server` beside a model in plain Rust: random
//! operations on both, compared after every step. The operations of a case follow from a number,
//! and pick jobs by position. So the number alone repeats a case, and a case is shrunk by leaving
//! operations out. A library for such tests would do no more here.
//!
//! `MISSION_MODEL_CASES` sets the number of cases, `MISSION_MODEL_SEED` the one to repeat.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alone;
mod calls;
mod case;
mod claims;
mod clock_ahead;
mod compare;
mod events;
mod gateways;
mod job;
mod machine;
mod operations;
mod records;
mod regressions;
mod sleepers;

use std::error::Error;
use std::time::Duration;

use fastrand::Rng;
use mission_test_support::RedisServer;
use redis::Script;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::Keep;
use super::redis::connection::Connection;
use super::redis::scripts::{Lease, Scripts, test_script};
use crate::envelope::Envelope;
use case::{Bench, Case};
use machine::Limits;
use operations::Operation;

/// The number of cases by default, which take some 20 s.
const CASES: u64 = 500;
/// A clock that the test sets.
const CLOCK: &str =
    "local function now() return tonumber(redis.call('GET', KEYS[1] .. ':test-clock')) end\n";
const DOCUMENT: &str = r#"{"version": 1, "kind": "cleanup",
    "gateway": {"id": "00000000-0000-0000-0000-000000000001", "url": "ws://127.0.0.1:1",
                "workspace_root": "/srv"},
    "agent": {"id": "00000000-0000-0000-0000-000000000002", "name": "Agent"}}"#;

/// The result of a step, which fails if both sides do not agree.
type Checked<T = ()> = Result<T, Box<dyn Error>>;

struct Harness {
    runtime: Runtime,
    bench: Bench,
    _server: RedisServer,
}

impl Harness {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(RedisServer::start());
        let bench = runtime.block_on(async {
            let mut connection = server.connect().await;
            for (name, value) in [("appendonly", "no"), ("save", "")] {
                let set = ("SET", name, value);
                redis::cmd("CONFIG").arg(set).exec_async(&mut connection).await.unwrap();
            }
            let redis = Connection::open(&server.url(), super::Tls::default()).unwrap();
            Bench {
                scripts: Scripts::with_clock("test", redis, CLOCK),
                connection,
                shown: Script::new(&test_script(include_str!("shown.lua"))),
                envelope: Envelope::new(DOCUMENT.as_bytes()).unwrap(),
            }
        });
        Self { runtime, bench, _server: server }
    }

    fn run(&mut self, limits: Limits, operations: &[Operation]) -> Result<(), String> {
        let case = async { Case::new(&mut self.bench, limits).await.run(operations).await };
        self.runtime.block_on(case).map_err(|error| error.to_string())
    }

    /// Returns the same failure, or another one, with as few operations as possible.
    fn shrink(
        &mut self,
        limits: Limits,
        operations: &[Operation],
        error: String,
    ) -> (Vec<Operation>, String) {
        let (mut operations, mut error) = (operations.to_vec(), error);
        let mut size = operations.len() / 2;
        while size > 0 {
            let mut first = 0;
            while first < operations.len() {
                let mut fewer = operations.clone();
                fewer.drain(first..(first + size).min(fewer.len()));
                match self.run(limits, &fewer) {
                    Err(again) => (operations, error) = (fewer, again),
                    Ok(()) => first += size,
                }
            }
            size /= 2;
        }
        while let Some((smaller, again)) = self.shrink_one(limits, &operations) {
            (operations, error) = (smaller, again);
        }
        (operations, error)
    }

    fn shrink_one(
        &mut self,
        limits: Limits,
        operations: &[Operation],
    ) -> Option<(Vec<Operation>, String)> {
        let candidates = operations.iter().enumerate().flat_map(|(place, operation)| {
            operation.smaller().into_iter().map(move |smaller| {
                let mut operations = operations.to_vec();
                operations[place] = smaller;
                operations
            })
        });
        candidates
            .into_iter()
            .find_map(|fewer| self.run(limits, &fewer).err().map(|error| (fewer, error)))
    }
}

/// Returns the limits and operations of a case.
fn case(seed: u64) -> (Limits, Vec<Operation>) {
    let mut rng = Rng::with_seed(seed);
    let keep = if rng.u8(..3) == 0 {
        Keep { age: Duration::from_secs(300), count: rng.u64(1..6) }
    } else {
        Keep { age: Duration::from_secs(7 * 24 * 3600), count: 10_000 }
    };
    let slots = if rng.bool() { rng.usize(1..8) } else { 0 };
    (Limits { lane_concurrency: rng.usize(1..6), keep, slots }, operations::random(&mut rng))
}

fn picked<T>(from: &[T], pick: u8) -> Option<&T> {
    (!from.is_empty()).then(|| &from[usize::from(pick) % from.len()])
}

fn raw(leases: &[(Uuid, u64)]) -> Vec<Lease> {
    leases.iter().map(|(id, token)| (id.to_string(), *token)).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

#[test]
fn the_scripts_do_what_the_model_does() {
    let mut harness = Harness::start();
    let seeds = number("MISSION_MODEL_SEED").map_or_else(
        || {
            (0..number("MISSION_MODEL_CASES").unwrap_or(CASES))
                .map(|_| fastrand::u64(..1 << 48))
                .collect()
        },
        |seed| vec![seed],
    );
    for seed in seeds {
        let (limits, operations) = case(seed);
        if let Err(error) = harness.run(limits, &operations) {
            let (operations, error) = harness.shrink(limits, &operations, error);
            let list = operations
                .iter()
                .fold(String::new(), |list, operation| list + &format!("    {operation:?},\n"));
            panic!("MISSION_MODEL_SEED={seed}, shortened: {limits:?}\n[\n{list}]\n{error}");
        }
    }
}
