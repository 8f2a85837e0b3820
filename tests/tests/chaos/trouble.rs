//! What is done to the workers and to Redis while they work.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep_until};

use super::fleet::{Fleet, now_ms};
use crate::redis_server::RedisServer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// SIGKILL a worker and start another.
    Kill,
    /// SIGSTOP a worker for less than its lease.
    Freeze,
    /// SIGSTOP a worker for so long that its leases are taken from it.
    FreezeLong,
    /// SIGKILL Redis and restart it on the same data.
    Redis,
}

/// Strikes come in this proportion.
const DECK: [Strike; 12] = {
    use Strike::{Freeze, FreezeLong, Kill, Redis};
    [Kill, Kill, Kill, Kill, Freeze, Freeze, Freeze, Freeze, FreezeLong, Redis, Redis, Redis]
};

#[derive(Clone, Copy)]
enum Mend {
    Thaw(usize),
    Redis,
}

/// How often each was done.
#[derive(Debug, Default)]
pub struct Count {
    pub kills: usize,
    pub freezes: usize,
    pub long_freezes: usize,
    /// When Redis was killed, in ms since 1970.
    pub redis_kills: Vec<u64>,
}

/// Strikes at the fleet and at Redis, and mends what it did.
pub struct Trouble<'a> {
    random: StdRng,
    fleet: &'a mut Fleet,
    redis: &'a mut RedisServer,
    redis_is_up: bool,
    /// The worker that is frozen past its lease; it is not killed before it has seen that.
    frozen_long: Option<usize>,
    /// What has to be mended, and when.
    mends: Vec<(Instant, Mend)>,
    count: Count,
}

impl<'a> Trouble<'a> {
    /// Nothing has happened yet.
    pub fn new(seed: u64, fleet: &'a mut Fleet, redis: &'a mut RedisServer) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let (mends, count) = (Vec::new(), Count::default());
        Self { random, fleet, redis, redis_is_up: true, frozen_long: None, mends, count }
    }

    /// Strikes about every second for that long. At the end Redis and all workers run.
    pub async fn make(mut self, length: Duration) -> Count {
        let end = Instant::now() + length;
        let (mut deck, mut strike_at) = (Vec::new(), Instant::now() + Duration::from_secs(1));
        loop {
            self.mends.sort_by_key(|(at, _)| *at);
            let next_mend = self.mends.first().map(|(at, _)| *at).filter(|at| *at < strike_at.min(end));
            sleep_until(next_mend.unwrap_or(strike_at).min(end)).await;
            if Instant::now() >= end {
                break;
            }
            if next_mend.is_some() {
                let (_, mend) = self.mends.remove(0);
                self.mend(mend).await;
                continue;
            }
            if deck.is_empty() {
                deck = DECK.to_vec();
                deck.shuffle(&mut self.random);
            }
            self.strike(deck.pop().expect("it was filled")).await;
            strike_at = Instant::now() + Duration::from_millis(self.random.random_range(600..1400));
        }
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.mend(mend).await;
        }
        self.count
    }

    async fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Thaw(slot) => {
                self.fleet.thaw(slot).await;
                self.frozen_long.take_if(|long| *long == slot);
            }
            Mend::Redis => {
                self.redis.restart().await;
                self.redis_is_up = true;
            }
        }
    }

    async fn strike(&mut self, strike: Strike) {
        let awake: Vec<usize> = (0..self.fleet.size()).filter(|slot| !self.fleet.is_frozen(*slot)).collect();
        match strike {
            Strike::Redis if self.redis_is_up => {
                self.count.redis_kills.push(now_ms());
                self.redis.kill();
                self.redis_is_up = false;
                self.mend_within(50..1500, Mend::Redis);
            }
            // One worker at least goes on.
            Strike::FreezeLong if awake.len() > 1 && self.frozen_long.is_none() => {
                let slot = *awake.choose(&mut self.random).expect("there are some");
                self.fleet.freeze(slot).await;
                self.frozen_long = Some(slot);
                self.count.long_freezes += 1;
                self.mend_within(21_000..30_000, Mend::Thaw(slot));
            }
            Strike::Freeze if awake.len() > 1 => {
                let slot = *awake.choose(&mut self.random).expect("there are some");
                self.fleet.freeze(slot).await;
                self.count.freezes += 1;
                self.mend_within(300..5000, Mend::Thaw(slot));
            }
            _ => {
                let victims: Vec<_> = (0..self.fleet.size()).filter(|slot| self.frozen_long != Some(*slot)).collect();
                let slot = *victims.choose(&mut self.random).expect("one at most is frozen for long");
                self.mends.retain(|(_, mend)| !matches!(mend, Mend::Thaw(frozen) if *frozen == slot));
                self.fleet.replace(slot).await;
                self.count.kills += 1;
            }
        }
    }

    fn mend_within(&mut self, range_ms: std::ops::Range<u64>, mend: Mend) {
        let after = Duration::from_millis(self.random.random_range(range_ms));
        self.mends.push((Instant::now() + after, mend));
    }
}
