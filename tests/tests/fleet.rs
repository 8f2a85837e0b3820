//! Many agents at once: their cost for a gateway, and that all of them are provisioned.
//!
//! The gateways are in memory, on a simulated clock. Calls, bytes and round trips are counted, and
//! the time by that clock follows from these alone. Wall time and memory are printed and not
//! asserted.

mod process;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mission_core::gateway::Limits;
use mission_core::{Job, Outcome};
use mission_gateway_sim::{Gateway, Profile, Setup};
use serde_json::Value;

use crate::in_memory::{Network, play};
use crate::killmatrix::flows::{HOST, provision_on};

/// The maximum number of config writes for a fleet that arrives at once.
const MAX_WRITES: u64 = 3;
/// The time that the system replaced by this worker takes for one agent, on a gateway that answers
/// after 10 ms.
const BEFORE: Duration = Duration::from_millis(333);
/// The factor by which a fleet must be faster.
const FASTER: u32 = 50;

/// The measurements of a provisioned fleet.
struct Fleet {
    agents: usize,
    gateways: Vec<Arc<Gateway>>,
    /// The time by the simulated clock.
    took: Duration,
    wall: Duration,
    /// The outcomes of the runs that were not done.
    failures: Vec<String>,
    /// The times at which the agents were done, in order.
    done_at: Vec<Duration>,
    /// The memory that the fleet has added to this process, in KiB.
    grown: u64,
}

/// Provisions `agents` agents at once by one process, spread over gateways that take `latency_ms`
/// to answer.
fn raise(profile: Profile, agents: usize, gateways: usize, latency_ms: u64) -> Fleet {
    let before = resident();
    play(async move {
        let host = |gateway: usize| format!("{HOST}-{gateway}");
        let gateways: Vec<_> = (0..gateways)
            .map(|_| {
                let mut setup = Setup::new(profile);
                setup.options.latency_ms = latency_ms;
                setup.options.restarts = false;
                Arc::new(Gateway::detached(setup))
            })
            .collect();
        let network = Network::of(
            gateways.iter().enumerate().map(|(at, gateway)| (host(at), Arc::clone(gateway))),
        );
        let worker = network.worker(Limits::default());
        let (wall, began) = (Instant::now(), tokio::time::Instant::now());
        let runs = (0..agents).map(|agent| {
            let document = provision_on(&host(agent % gateways.len()), &format!("Agent {agent}"));
            let (job, worker) = (Job::from_value(document).unwrap(), &worker);
            async move {
                (
                    worker.apply(&format!("job {agent}"), &job, &Arc::default()).await.outcome,
                    began.elapsed(),
                )
            }
        });
        let ends = join_all(runs).await;
        let mut done_at: Vec<_> = ends.iter().map(|(_, at)| *at).collect();
        done_at.sort();
        let failed = ends.iter().filter(|(outcome, _)| !matches!(outcome, Outcome::Done(_)));
        Fleet {
            agents,
            took: began.elapsed(),
            wall: wall.elapsed(),
            failures: failed.map(|(outcome, _)| format!("{outcome:?}")).collect(),
            done_at,
            grown: resident().saturating_sub(before),
            gateways,
        }
    })
}

/// Returns the memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Fleet {
    /// Returns the number of calls of each method, on all gateways.
    fn calls(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.gateways.iter().flat_map(|gateway| gateway.calls()) {
            *counts.entry(call.method).or_default() += 1;
        }
        counts
    }

    fn calls_per_agent(&self) -> usize {
        self.calls().values().sum::<usize>() / self.agents
    }

    /// Returns the bytes of answers to a method, per agent.
    fn bytes_per_agent(&self, method: &str) -> usize {
        let calls = self.gateways.iter().flat_map(|gateway| gateway.calls());
        calls.filter(|call| call.method == method).map(|call| call.answer_bytes).sum::<usize>()
            / self.agents
    }

    /// Checks that all agents exist and were written together.
    fn check(&self) {
        assert!(
            self.failures.is_empty(),
            "{} failed; the first: {}",
            self.failures.len(),
            self.failures[0]
        );
        for gateway in &self.gateways {
            assert_eq!(gateway.connections(), 1, "one connection for each gateway");
            assert!(
                gateway.config_writes() <= MAX_WRITES,
                "{} config writes",
                gateway.config_writes()
            );
            let state = gateway.state();
            let (agents, files) =
                (state["agents"].as_object().unwrap(), state["files"].as_object().unwrap());
            let mine = |id: &&String| *id != "main";
            assert_eq!(agents.keys().filter(mine).count(), self.agents / self.gateways.len());
            assert!(
                agents.keys().filter(mine).all(|id| files[id]["SOUL.md"].is_string()),
                "all have their files"
            );
            assert!(
                state["sessions"].as_object().unwrap().len() >= self.agents / self.gateways.len()
            );
            assert!(
                agents
                    .values()
                    .filter(|agent| agent["id"] != "main")
                    .all(|agent| agent["name"] != Value::Null)
            );
        }
    }
}

impl Display for Fleet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let writes: Vec<_> = self.gateways.iter().map(|gateway| gateway.config_writes()).collect();
        let most = writes.iter().max().copied().unwrap_or_default();
        let at = |share: usize| {
            self.done_at[(self.agents * share / 100).min(self.agents - 1)].as_millis()
        };
        let calls = self.calls();
        let count = |method: &str| calls.get(method).copied().unwrap_or_default();
        write!(
            f,
            "{} agents on {} gateways: {} config writes at most, {} calls each ({} of config.get), \
             {} and {} bytes each of config.get and agents.list and {} of sessions.list; \
             done at {}, {} and {} ms (half, most, all), {} ms of wall time, {} KiB more memory",
            self.agents,
            self.gateways.len(),
            most,
            self.calls_per_agent(),
            count("config.get"),
            self.bytes_per_agent("config.get"),
            self.bytes_per_agent("agents.list"),
            self.bytes_per_agent("sessions.list"),
            at(50),
            at(90),
            self.took.as_millis(),
            self.wall.as_millis(),
            self.grown,
        )
    }
}

const PROFILES: [Profile; 2] = [Profile::V2026_2_9, Profile::V2026_9_6];

#[test]
fn fifty_agents_at_once_on_a_slow_gateway() {
    for profile in crate::killmatrix::flows::PROFILES {
        let fleet = raise(profile, 50, 1, 10);
        println!("{profile:?}, 10 ms: {fleet}");
        fleet.check();
        // By the simulated clock, so this limits the round trips in sequence and not the speed of
        // this machine.
        let most = BEFORE * 50 / FASTER;
        assert!(
            fleet.took <= most,
            "{:?} by the simulated clock, and {most:?} are allowed",
            fleet.took
        );
    }
}

#[test]
fn twice_the_agents_cost_twice_as_much() {
    for profile in PROFILES {
        let (some, more) = (raise(profile, 100, 1, 1), raise(profile, 200, 1, 1));
        println!("{profile:?}: {some}\n{profile:?}: {more}");
        some.check();
        more.check();
        assert!(
            more.calls_per_agent() <= some.calls_per_agent(),
            "calls for each agent grow with the fleet"
        );
        for method in ["config.get", "sessions.list", "agents.list"] {
            let (some, more) = (some.bytes_per_agent(method), more.bytes_per_agent(method));
            assert!(
                more <= some + some / 10,
                "{method}: {some} bytes for each agent grow to {more}"
            );
        }
    }
}

#[test]
fn a_thousand_agents_on_twenty_gateways() {
    for profile in PROFILES {
        let fleet = raise(profile, 1000, 20, 1);
        println!("{profile:?}: {fleet}");
        fleet.check();
    }
}
