//! What befalls a worker and a gateway, and when.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use super::sea::{GATEWAY, WORKER};

/// One thing that happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Nothing comes through; what was sent meanwhile is lost.
    Partition,
    /// The worker does not hear the gateway.
    GatewayUnheard,
    /// The gateway does not hear the worker.
    WorkerUnheard,
    /// What is sent waits, and then comes all at once.
    Hold,
    /// The gateway's machine is gone, and comes back with what it knew.
    GatewayDown,
    /// The worker is killed, and started again.
    WorkerDown,
}

const BLOWS: [Blow; 6] = [
    Blow::Partition,
    Blow::GatewayUnheard,
    Blow::WorkerUnheard,
    Blow::Hold,
    Blow::GatewayDown,
    Blow::WorkerDown,
];

impl Blow {
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

/// Blows, one after another: when each begins, and how long it lasts.
pub struct Weather {
    pub blows: Vec<(Duration, Blow, Duration)>,
    /// Most time that a message takes.
    pub latency: Duration,
}

impl Weather {
    /// Those blows, on a network that is fast otherwise.
    pub fn of(blows: impl IntoIterator<Item = (Duration, Blow, Duration)>) -> Self {
        Self { blows: blows.into_iter().collect(), latency: Duration::from_millis(20) }
    }

    /// No blows.
    pub fn fair() -> Self {
        Self::of([])
    }

    /// One to five blows within the first jobs, on a fast or a slow network.
    pub fn random(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let (mut at, mut blows) = (0, Vec::new());
        for _ in 0..chance.random_range(1..=5) {
            at += chance.random_range(20..1500);
            // Short ones, and some that last longer than any patience.
            let lasts = if chance.random_bool(0.8) {
                chance.random_range(50..3_000)
            } else {
                chance.random_range(20_000..120_000)
            };
            let blow = BLOWS[chance.random_range(0..BLOWS.len())];
            blows.push((Duration::from_millis(at), blow, Duration::from_millis(lasts)));
            at += lasts;
        }
        let latency = Duration::from_millis(if chance.random_bool(0.5) { 20 } else { 400 });
        Self { blows, latency }
    }
}

impl Display for Weather {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "up to {} ms", self.latency.as_millis())?;
        for (at, blow, lasts) in &self.blows {
            write!(f, ", {blow:?} {}+{} ms", at.as_millis(), lasts.as_millis())?;
        }
        Ok(())
    }
}
