//! Measures reads of a queue with very many jobs. Prints figures without judging them: run it
//! alone, with `cargo test --release -p mission-jobs --test main scale -- --ignored --nocapture`.

use std::time::Instant;

use mission_jobs::queue::{Cursor, MAX_PAGE, Search};
use mission_jobs::{Queue, State};
use mission_test_support::RedisServer;
use mission_test_support::million::{fill, fill_minutes};
use uuid::Uuid;

use crate::documents::update;

/// Returns the microseconds of CPU that Redis has used. The elapsed time would depend on the other
/// load of the machine.
async fn cpu(redis: &RedisServer) -> f64 {
    let stats: String = redis.tell("INFO cpu").await;
    let seconds = |name: &str| -> f64 {
        stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
            .unwrap()
    };
    (seconds("used_cpu_user_main_thread") + seconds("used_cpu_sys_main_thread")) * 1e6
}

async fn measure<T, E: std::fmt::Debug>(
    redis: &RedisServer,
    what: &str,
    call: impl AsyncFn() -> Result<T, E>,
    found: impl Fn(&T) -> String,
) -> T {
    const TIMES: u32 = 5;
    let mut answer = call().await.unwrap();
    let (before, began) = (cpu(redis).await, Instant::now());
    for _ in 0..TIMES {
        answer = call().await.unwrap();
    }
    let (took, used) = (began.elapsed() / TIMES, (cpu(redis).await - before) / f64::from(TIMES));
    println!(
        "{what:90} Redis {used:>7.0} µs   in all {:>8} µs   {}",
        took.as_micros(),
        found(&answer)
    );
    answer
}

async fn search(redis: &RedisServer, queue: &Queue, text: &str) {
    let search: Search = text.parse().unwrap();
    let mut after: Option<Cursor> = None;
    for page in 1..=2 {
        let call = async || queue.search(&search, after.as_ref(), 50).await;
        let shown = |found: &mission_jobs::queue::Found| {
            format!("{} of {}", found.jobs.len(), found.looked_at)
        };
        let found = measure(redis, &format!("{text:?}, page {page}"), call, shown).await;
        let Some(next) = found.next else { return };
        after = Some(next);
    }
}

#[tokio::test]
#[ignore = "a gigabyte and some minutes"]
async fn reading_a_million_jobs() {
    let redis = RedisServer::start_with(|_| vec!["--appendonly".to_owned(), "no".to_owned()]).await;
    let queue = redis.queue();
    let ended =
        std::env::var("MISSION_SCALE_ENDED").map_or(1_000_000, |text| text.parse().unwrap());
    fill(&redis, &queue, &update(1, 1), ended).await;
    let counts = queue.counts().await.unwrap();
    let all: u64 = State::ALL.into_iter().map(|state| counts.of(state)).sum();
    println!("{all} jobs");
    let gateway = "00000000-0000-0000-0000-000000000007";
    let agent = "00000000-0000-0000-0001-000000000007";
    let rare = Uuid::from_u128(0xFFFF);
    for text in [
        String::new(),
        "state:done".to_owned(),
        "state:ready kind:cleanup".to_owned(),
        format!("gateway:{gateway}"),
        format!("gateway:{gateway} state:done"),
        format!("gateway:{gateway} agent:{agent}"),
        format!("agent:{agent}"),
        format!("agent:{rare}"),
        "error:pairing_required".to_owned(),
        format!("error:template gateway:{gateway}"),
        "should be, 990123".to_owned(),
        "nothingofthekind".to_owned(),
        format!("board:{rare}"),
        "id:000f0000".to_owned(),
        "id:000f0000-0000-7000-8000-0000000f0000".to_owned(),
    ] {
        search(&redis, &queue, &text).await;
    }
    let len = |all: usize| all.to_string();
    measure(
        &redis,
        "summary",
        async || queue.summary().await,
        |summary| summary.workers.to_string(),
    )
    .await;
    measure(&redis, "counts", async || queue.counts().await, |_| String::new()).await;
    measure(&redis, "gateways, 200", async || queue.gateways(MAX_PAGE).await, |all| len(all.len()))
        .await;
    measure(&redis, "groups, 50", async || queue.groups(50).await, |all| len(all.len())).await;
    measure(&redis, "workers", async || queue.workers().await, |all| len(all.len())).await;
    measure(&redis, "audit", async || queue.audit(None, 50).await, |all| len(all.len())).await;
    let agent_jobs =
        async || queue.agent_jobs(gateway.parse().unwrap(), agent.parse().unwrap(), 50).await;
    measure(&redis, "jobs of an agent", agent_jobs, |all| len(all.len())).await;
    fill_minutes(&redis).await;
    measure(&redis, "stats, 60 minutes", async || queue.stats(60).await, |all| len(all.len()))
        .await;
    measure(&redis, "stats, a day", async || queue.stats(1440).await, |all| len(all.len())).await;
    measure(&redis, "quarters, a day", async || queue.quarters(96).await, |all| len(all.len()))
        .await;
    measure(&redis, "hours, a week", async || queue.hours(168).await, |all| len(all.len())).await;
}
