//! The disturbances of a worker and a gateway, and when they occur.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use super::network::{GATEWAY, WORKER};

/// A disturbance of the network or of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Nothing is delivered; what is sent meanwhile is lost.
    Partition,
    /// Messages from the gateway to the worker are lost.
    GatewayUnheard,
    /// Messages from the worker to the gateway are lost.
    WorkerUnheard,
    /// Messages are held back and then delivered all at once.
    Hold,
    /// The gateway's machine goes down, and comes back with its state.
    GatewayDown,
    /// The worker is killed and started again.
    WorkerDown,
}

const DISTURBANCES: [Disturbance; 6] = [
    Disturbance::Partition,
    Disturbance::GatewayUnheard,
    Disturbance::WorkerUnheard,
    Disturbance::Hold,
    Disturbance::GatewayDown,
    Disturbance::WorkerDown,
];

impl Disturbance {
    pub fn begin(self, sim: &mut Sim<'_>) {
        match self {
            Self::Partition => sim.partition(WORKER, GATEWAY),
            Self::GatewayUnheard => sim.partition_oneway(GATEWAY, WORKER),
            Self::WorkerUnheard => sim.partition_oneway(WORKER, GATEWAY),
            Self::Hold => sim.hold(WORKER, GATEWAY),
            Self::GatewayDown => sim.crash(GATEWAY),
            Self::WorkerDown => sim.crash(WORKER),
        }
    }

    pub fn end(self, sim: &mut Sim<'_>) {
        match self {
            Self::Partition => sim.repair(WORKER, GATEWAY),
            Self::GatewayUnheard => sim.repair_oneway(GATEWAY, WORKER),
            Self::WorkerUnheard => sim.repair_oneway(WORKER, GATEWAY),
            Self::Hold => sim.release(WORKER, GATEWAY),
            Self::GatewayDown => sim.bounce(GATEWAY),
            Self::WorkerDown => sim.bounce(WORKER),
        }
    }
}

/// A sequence of disturbances, each with its start and its duration.
pub struct Weather {
    pub disturbances: Vec<(Duration, Disturbance, Duration)>,
    /// The maximum latency of a message.
    pub latency: Duration,
}

impl Weather {
    /// Returns these disturbances on an otherwise fast network.
    pub fn of(disturbances: impl IntoIterator<Item = (Duration, Disturbance, Duration)>) -> Self {
        Self {
            disturbances: disturbances.into_iter().collect(),
            latency: Duration::from_millis(20),
        }
    }

    /// Returns a network without disturbances.
    pub fn fair() -> Self {
        Self::of([])
    }

    /// Returns one to five disturbances during the first jobs, on a fast or a slow network.
    pub fn random(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let (mut at, mut disturbances) = (0, Vec::new());
        for _ in 0..chance.random_range(1..=5) {
            at += chance.random_range(20..1500);
            // Most disturbances are short, and some outlast every timeout.
            let lasts = if chance.random_bool(0.8) {
                chance.random_range(50..3_000)
            } else {
                chance.random_range(20_000..120_000)
            };
            let disturbance = DISTURBANCES[chance.random_range(0..DISTURBANCES.len())];
            disturbances.push((
                Duration::from_millis(at),
                disturbance,
                Duration::from_millis(lasts),
            ));
            at += lasts;
        }
        let latency = Duration::from_millis(if chance.random_bool(0.5) { 20 } else { 400 });
        Self { disturbances, latency }
    }
}

impl Display for Weather {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "up to {} ms", self.latency.as_millis())?;
        for (at, disturbance, lasts) in &self.disturbances {
            write!(f, ", {disturbance:?} {}+{} ms", at.as_millis(), lasts.as_millis())?;
        }
        Ok(())
    }
}
