//! Workers and Redis are killed and frozen at random while jobs come in, and everything ends as it
//! should.
//!
//! Three worker processes with default settings, a Redis that writes each change to disk, fifty
//! simulated gateways and a stream of jobs, several for each agent. When the trouble ends, all must
//! be settled within [`SETTLE`], and then:
//!
//! * no acknowledged job is lost: each is done, or a newer one of its subject took its place;
//! * runs of a subject never overlapped, a lane had one worker at a time, and each lost lease has a
//!   cause;
//! * done jobs of a subject were done in the order of their enqueueing;
//! * each agent is on its gateway as its newest job alone would have made it.
//!
//! The seed is printed; `MISSION_CHAOS_SEED` sets it. The same seed gives the same jobs and the
//! same strikes, but not the same moments. `MISSION_CHAOS_SECONDS` sets how long the trouble lasts
//! (60 by default); the number of jobs follows.
//!
//! | File | What is in it |
//! |---|---|
//! | `plan` | the jobs that follow from a seed |
//! | `fleet` | the worker processes, and what was done to them |
//! | `trouble` | the strikes |
//! | `ledger` | what the queue says at the end, and whether that is as promised |
//! | `gateways` | the gateways, and how their agents must be at the end |

mod fleet;
mod gateways;
mod ledger;
mod plan;
mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use mission_gateway_sim::Gateway;
use mission_jobs::{Envelope, JobRecord, Queue, State};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use fleet::{Fleet, Life};
use gateways::Seen;
use ledger::Ledger;
use plan::{Agent, Wish};
use trouble::{Count, Trouble};

use crate::scenarios::differences::differences;

const WORKERS: usize = 3;
/// Jobs for each minute of trouble.
const JOBS_PER_MINUTE: u64 = 2000;
/// Jobs that are enqueued in one call, at most.
const MAX_BATCH: usize = 20;
/// A lease of 20 s, looked for every 5 s, and time to run what waited for it.
const SETTLE: Duration = Duration::from_secs(35);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_in_chaos() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seed = number("MISSION_CHAOS_SEED").unwrap_or_else(rand::random);
    let length = Duration::from_secs(number("MISSION_CHAOS_SECONDS").unwrap_or(60).max(1));
    let jobs = plan::jobs(seed, usize::try_from(length.as_secs() * JOBS_PER_MINUTE / 60).unwrap());
    println!("seed {seed}: {} jobs, {} s of trouble", jobs.len(), length.as_secs());
    let began = Instant::now();
    let (gateways, folder) = (gateways::start().await, TempDir::new().unwrap());
    let mut redis = crate::redis_server::RedisServer::start_with(|_| {
        vec!["--appendfsync".to_owned(), "always".to_owned()]
    })
    .await;
    let queue = redis.queue_named("mission");
    let mut fleet = Fleet::start(folder.path(), redis.url(), WORKERS);
    let urls: Vec<String> = gateways.iter().map(Gateway::url).collect();
    let producer = tokio::spawn(produce(redis.queue_named("mission"), jobs.clone(), urls, length));
    let count = Trouble::new(seed, &mut fleet, &mut redis).make(length).await;

    let ended = Instant::now();
    let ids = timeout(SETTLE, producer).await.expect("Redis takes jobs again").unwrap();
    let settled = timeout(SETTLE.saturating_sub(ended.elapsed()), settle(&queue, ids.len())).await;
    let settle_time = ended.elapsed();
    let lives = fleet.end().await;
    let records = records(&queue, &ids).await;
    let expected = gateways::expected(&jobs).await;

    let ledger = Ledger { jobs: &records, lives: &lives, redis_kills: &count.redis_kills };
    let mut faults = ledger.faults();
    faults.extend(lives.iter().flat_map(Life::errors));
    if settled.is_err() {
        faults.push(format!("not settled within {} s", SETTLE.as_secs()));
    }
    let mut late = 0;
    for (number, gateway) in gateways.iter().enumerate() {
        late += ledger.late_writes(
            &plan::gateway_id(number).to_string(),
            &gateway.mutating_calls(),
            &mut faults,
        );
    }
    let compared = compare(&jobs, &records, &gateways, &expected, &mut faults);
    tell(&ledger, &count);
    println!("settled {:.1} s after the trouble", settle_time.as_secs_f64());
    println!(
        "{compared} agents compared; {late} writes of workers that were frozen past their lease"
    );
    println!("whole test {:.1} s", began.elapsed().as_secs_f64());
    if !faults.is_empty() {
        println!("what the workers said is in {}", folder.keep().display());
    }
    assert!(faults.is_empty(), "{} faults with seed {seed}:\n{}", faults.len(), faults.join("\n"));
}

/// Enqueues all jobs, evenly over three quarters of the time; each again until it is acknowledged.
/// Their ids.
async fn produce(queue: Queue, jobs: Vec<Wish>, urls: Vec<String>, length: Duration) -> Vec<Uuid> {
    let (began, step) = (Instant::now(), length.mul_f64(0.75) / u32::try_from(jobs.len()).unwrap());
    let envelope = |wish: &Wish| {
        Envelope::new(wish.document(&urls[wish.gateway]).to_string().as_bytes()).unwrap()
    };
    let mut ids = Vec::with_capacity(jobs.len());
    while ids.len() < jobs.len() {
        sleep_until(began + step * u32::try_from(ids.len()).unwrap()).await;
        // All that are due, which are many when Redis was away.
        let due = usize::try_from(began.elapsed().as_nanos() / step.as_nanos()).unwrap() + 1;
        let batch = ids.len()..due.clamp(ids.len() + 1, ids.len() + MAX_BATCH).min(jobs.len());
        let batch: Vec<Envelope> = jobs[batch].iter().map(envelope).collect();
        while let Err(error) = queue.enqueue(&batch).await {
            assert!(error.is_unavailable(), "{error}");
            sleep(Duration::from_millis(20)).await;
        }
        ids.extend(batch.iter().map(|envelope| envelope.id));
    }
    ids
}

/// Waits until all those jobs have ended.
async fn settle(queue: &Queue, jobs: usize) {
    let ended = [State::Done, State::Superseded, State::Dead, State::Cancelled];
    let all = u64::try_from(jobs).unwrap();
    while !queue
        .counts()
        .await
        .is_ok_and(|counts| ended.iter().map(|state| counts.of(*state)).sum::<u64>() >= all)
    {
        sleep(Duration::from_millis(50)).await;
    }
}

async fn records(queue: &Queue, ids: &[Uuid]) -> Vec<JobRecord> {
    let mut records = Vec::with_capacity(ids.len());
    for id in ids {
        records.push(queue.get(*id).await.unwrap().expect("an acknowledged job is there"));
    }
    records
}

/// Compares each agent with what its newest job wants. How many; those whose newest job died cannot
/// be told.
fn compare(
    jobs: &[Wish],
    records: &[JobRecord],
    gateways: &[Gateway],
    expected: &BTreeMap<(usize, Agent), Seen>,
    faults: &mut Vec<String>,
) -> usize {
    let states: Vec<_> = gateways.iter().map(Gateway::state).collect();
    let newest = plan::newest(jobs);
    let told = newest.iter().filter(|(_, place)| records[**place].state == State::Done);
    let mut compared = 0;
    for ((gateway, agent), place) in told {
        compared += 1;
        let (found, wanted) =
            (gateways::seen(&states[*gateway], *gateway, *agent), &expected[&(*gateway, *agent)]);
        // The newest gateways keep the session of a provisioning that was killed before it
        // registered its agent: they delete no agent's main session. What a cleanup leaves it has
        // to report.
        let left = reported_as_left(
            &records[*place],
            &format!("session agent:{}:main", agent.id(*gateway)),
        );
        for difference in differences(wanted, &found) {
            if left && difference.starts_with("/session") {
                continue;
            }
            let kind = jobs[*place].kind;
            faults.push(format!(
                "{agent:?} of gateway {gateway} after job {place} ({kind}): {difference}"
            ));
        }
    }
    compared
}

fn reported_as_left(job: &JobRecord, what: &str) -> bool {
    let skipped = job.report.as_ref().and_then(|report| report["skipped"].as_array());
    skipped.is_some_and(|skipped| skipped.iter().any(|skipped| skipped["what"] == what))
}

fn tell(ledger: &Ledger, count: &Count) {
    let mut states: BTreeMap<State, usize> = BTreeMap::new();
    for job in ledger.jobs {
        *states.entry(job.state).or_default() += 1;
    }
    println!(
        "jobs by state: {states:?}; runs per job at most {:?}",
        ledger.jobs.iter().map(|job| job.runs).max()
    );
    println!(
        "{} kills, {} freezes, {} freezes past the lease, {} kills of Redis",
        count.kills,
        count.freezes,
        count.long_freezes,
        count.redis_kills.len()
    );
    let (taken_back, gone_on) = ledger.recoveries();
    println!("leases lost: {:?}", ledger.lost());
    println!(
        "after a kill, leases were taken back within {}, and the jobs ran again within {}",
        spread(&taken_back),
        spread(&gone_on)
    );
}

/// Half and all of ascending times.
fn spread(times_ms: &[u64]) -> String {
    let seconds = |place: usize| {
        times_ms.get(place).map_or(f64::NAN, |ms| Duration::from_millis(*ms).as_secs_f64())
    };
    let last = times_ms.len().saturating_sub(1);
    format!("{:.1} s (p50) and {:.1} s (p100)", seconds(last / 2), seconds(last))
}
