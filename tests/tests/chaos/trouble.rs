//! The strikes against workers and Redis while they work.

use std::time::Duration;

use mission_jobs::queue::{Filter, MAX_PAGE};
use mission_jobs::{Queue, State};
use mission_test_support::RedisServer;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::fleet::{Fleet, now_ms};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// SIGKILL a worker and start another one.
    Kill,
    /// SIGSTOP a worker for less than its lease.
    Freeze,
    /// SIGSTOP a worker until another worker runs one of its jobs: the worst moment to continue.
    FreezeLong,
    /// SIGKILL Redis and restart it on the same data.
    Redis,
}

/// Strikes are drawn from this deck, which sets their proportions.
const DECK: [Strike; 12] = {
    use Strike::{Freeze, FreezeLong, Kill, Redis};
    [Kill, Kill, Kill, Kill, Freeze, Freeze, Freeze, Freeze, FreezeLong, Redis, Redis, Redis]
};

/// The interval at which the test checks whether a job has been taken over.
const LOOK: Duration = Duration::from_millis(50);

/// The time for which a worker that was frozen past its lease is spared.
const SPARED: Duration = Duration::from_secs(4);

#[derive(Clone, Copy)]
enum Repair {
    Thaw(usize),
    Redis,
}

/// Counts the strikes of each kind.
#[derive(Debug, Default)]
pub struct Count {
    pub kills: usize,
    pub freezes: usize,
    pub long_freezes: usize,
    /// The times at which Redis was killed, in ms since 1970.
    pub redis_kills: Vec<u64>,
}

/// Strikes at the fleet and at Redis, and repairs the damage.
pub struct Trouble<'a> {
    random: StdRng,
    fleet: &'a mut Fleet,
    redis: &'a mut RedisServer,
    redis_is_up: bool,
    queue: Queue,
    /// The worker that is frozen past its lease, and its jobs. It is not killed before it has
    /// noticed the loss.
    frozen_long: Option<(usize, Vec<Uuid>)>,
    /// The worker that was last frozen past its lease, and when it was thawed.
    thawed: Option<(usize, Instant)>,
    /// The pending repairs, and when they are due.
    repairs: Vec<(Instant, Repair)>,
    count: Count,
}

impl<'a> Trouble<'a> {
    pub fn new(seed: u64, fleet: &'a mut Fleet, redis: &'a mut RedisServer) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let (repairs, count) = (Vec::new(), Count::default());
        let queue = redis.queue_named("mission");
        Self {
            random,
            fleet,
            redis,
            redis_is_up: true,
            queue,
            frozen_long: None,
            thawed: None,
            repairs,
            count,
        }
    }

    /// Strikes about every second for `length`. At the end, Redis and all workers run.
    pub async fn make(mut self, length: Duration) -> Count {
        let end = Instant::now() + length;
        let (mut deck, mut strike_at) = (Vec::new(), Instant::now() + Duration::from_secs(1));
        loop {
            self.repairs.sort_by_key(|(at, _)| *at);
            let look_at = Instant::now() + if self.frozen_long.is_some() { LOOK } else { length };
            let repair_at = self.repairs.first().map_or(end, |(at, _)| *at);
            sleep_until(strike_at.min(repair_at).min(look_at).min(end)).await;
            let now = Instant::now();
            if now >= end {
                break;
            }
            if self.is_taken_over().await {
                let (slot, _) = self.frozen_long.take().expect("a worker is frozen");
                self.fleet.thaw(slot).await;
                self.thawed = Some((slot, now));
            }
            if now >= repair_at {
                let (_, repair) = self.repairs.remove(0);
                self.repair(repair).await;
            }
            if now < strike_at {
                continue;
            }
            if deck.is_empty() {
                deck = DECK.to_vec();
                deck.shuffle(&mut self.random);
            }
            let strike = deck.pop().expect("the deck was refilled");
            if !self.strike(strike).await {
                deck.insert(0, strike);
            }
            strike_at = Instant::now() + Duration::from_millis(self.random.random_range(600..1400));
        }
        let frozen = self.frozen_long.take().map(|(slot, _)| (end, Repair::Thaw(slot)));
        for (_, repair) in std::mem::take(&mut self.repairs).into_iter().chain(frozen) {
            self.repair(repair).await;
        }
        self.count
    }

    async fn repair(&mut self, repair: Repair) {
        match repair {
            Repair::Thaw(slot) => self.fleet.thaw(slot).await,
            Repair::Redis => {
                self.redis.restart().await;
                self.redis_is_up = true;
            }
        }
    }

    /// Carries out a strike. Returns false if it has to wait for a better moment.
    async fn strike(&mut self, strike: Strike) -> bool {
        let is_awake = |slot: &usize| !self.fleet.is_frozen(*slot) && !self.is_spared(*slot);
        let awake: Vec<usize> = (0..self.fleet.size()).filter(is_awake).collect();
        match strike {
            Strike::Redis if self.redis_is_up => {
                self.count.redis_kills.push(now_ms());
                self.redis.kill();
                self.redis_is_up = false;
                self.repair_within(50..1500, Repair::Redis);
            }
            // At least one worker must stay awake.
            Strike::FreezeLong if awake.len() > 1 && self.frozen_long.is_none() => {
                let Some((slot, jobs)) = self.busiest(&awake).await else { return false };
                self.fleet.freeze(slot).await;
                self.count.long_freezes += 1;
                self.frozen_long = Some((slot, jobs));
            }
            Strike::Freeze if awake.len() > 1 => {
                let slot = *awake.choose(&mut self.random).expect("two or more are awake");
                self.fleet.freeze(slot).await;
                self.count.freezes += 1;
                self.repair_within(300..5000, Repair::Thaw(slot));
            }
            _ => {
                let victims: Vec<_> =
                    (0..self.fleet.size()).filter(|slot| !self.is_spared(*slot)).collect();
                let slot = *victims.choose(&mut self.random).expect("two at most are spared");
                self.repairs.retain(
                    |(_, repair)| !matches!(repair, Repair::Thaw(frozen) if *frozen == slot),
                );
                self.fleet.replace(slot).await;
                self.count.kills += 1;
            }
        }
        true
    }

    /// Returns whether the worker must live to notice that it was frozen past its lease.
    fn is_spared(&self, slot: usize) -> bool {
        self.frozen_long.as_ref().is_some_and(|(frozen, _)| *frozen == slot)
            || self.thawed.is_some_and(|(thawed, at)| thawed == slot && at.elapsed() < SPARED)
    }

    /// Returns the worker that runs the most jobs, and those jobs; none if no job is running or
    /// Redis is away.
    async fn busiest(&self, slots: &[usize]) -> Option<(usize, Vec<Uuid>)> {
        let page = self
            .queue
            .list(&Filter { limit: MAX_PAGE, ..Filter::new(State::Running) })
            .await
            .ok()?;
        let jobs_of = |slot: &usize| -> Vec<Uuid> {
            page.jobs.iter().filter(|job| self.fleet.runs(*slot, job)).map(|job| job.id).collect()
        };
        let busiest =
            slots.iter().map(|slot| (*slot, jobs_of(slot))).max_by_key(|(_, jobs)| jobs.len());
        busiest.filter(|(_, jobs)| !jobs.is_empty())
    }

    /// Returns whether the worker that is frozen past its lease has lost a job to another one, or
    /// has none left.
    async fn is_taken_over(&self) -> bool {
        let Some((slot, jobs)) = &self.frozen_long else { return false };
        let mut left = 0;
        for id in jobs {
            match self.queue.get(*id).await {
                Ok(Some(job)) if !self.fleet.runs(*slot, &job) => {
                    if job.history.last().is_some_and(|run| run.result.outcome == "lost") {
                        return true;
                    }
                }
                _ => left += 1,
            }
        }
        left == 0
    }

    fn repair_within(&mut self, range_ms: std::ops::Range<u64>, repair: Repair) {
        let after = Duration::from_millis(self.random.random_range(range_ms));
        self.repairs.push((Instant::now() + after, repair));
    }
}
