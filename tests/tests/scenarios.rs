//! Recorded flows of the system that this worker replaces, replayed with the real binary: one
//! `worker apply` per job, on a simulated gateway that begins in the recorded state. Every step
//! must succeed or fail as recorded, and the gateway and the local files must end as recorded.
//! Intended differences are listed in [`quirks`], with what must happen instead.
//!
//! | File | Contents |
//! |---|---|
//! | `record` | a recorded scenario: reading it, its placeholders, its steps as job documents |
//! | `play` | runs one scenario with the binary, and once more, which must write nothing |
//! | `quirks` | the table of intended differences |
//! | `states` | parts of expected gateway states for that table |
//! | `differences` | the differences between two JSON documents |
//! | `cost` | the cost of a provisioning on the imitated versions |
//! | `refusals` | job documents that are refused |

mod cost;
pub mod differences;
mod play;
mod quirks;
mod record;
mod refusals;
mod states;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use record::Scenario;

/// The number of scenarios that run at once.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn every_scenario_ends_as_recorded_or_as_listed() {
    let began = Instant::now();
    let mut scenarios = record::all();
    let names: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.name.clone()).collect();
    assert!(!names.is_empty(), "there are no scenarios");
    quirks::check_names(&names);

    // The longest scenarios start first, so that none of them runs alone at the end.
    scenarios.sort_by_key(Scenario::job_count);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for scenario in scenarios.into_iter().rev() {
        let turns = Arc::clone(&turns);
        playing.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("the semaphore is never closed");
            let (began, name, jobs) = (Instant::now(), scenario.name.clone(), scenario.job_count());
            let faults = play::play(scenario).await;
            (name, jobs, began.elapsed(), faults)
        });
    }
    let (mut played, mut jobs, mut slowest, mut failures) =
        (0, 0, (Duration::ZERO, String::new()), Vec::new());
    while let Some(result) = playing.join_next().await {
        let (name, count, took, faults) = result.unwrap();
        played += 1;
        jobs += count;
        failures.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
        slowest = slowest.max((took, name));
    }
    println!(
        "{played} scenarios with {jobs} jobs played in {} s, {} of them listed; the slowest, {}, \
            took {} s",
        began.elapsed().as_secs(),
        quirks::TABLE.len(),
        slowest.1,
        slowest.0.as_secs(),
    );
    failures.sort();
    assert!(failures.is_empty(), "{} faults:\n{}", failures.len(), failures.join("\n"));
}
