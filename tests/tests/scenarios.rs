//! Recorded flows of the system that this worker replaces, played again with the real binary: one `worker apply` per
//! job, on a simulated gateway that begins as recorded. Every step must succeed or fail as recorded, and the gateway
//! and the local files must end as recorded. What we do otherwise on purpose stands in [`quirks`], with what must
//! happen instead.
//!
//! | File | What is in it |
//! |---|---|
//! | `record` | a recorded scenario: reading it, its placeholders, its steps as job documents |
//! | `play` | one scenario with the binary, then once more, when nothing may be written |
//! | `quirks` | the table of intended differences |
//! | `differences` | where two JSON documents differ |
//! | `cost` | what a provisioning costs on the imitated versions |
//! | `documents` | job documents that are refused |

mod cost;
mod differences;
mod documents;
mod play;
mod quirks;
mod record;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use record::Scenario;

/// Scenarios at once.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn every_scenario_ends_as_recorded_or_as_listed() {
    let began = Instant::now();
    let mut scenarios = record::all();
    let names: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.name.clone()).collect();
    assert!(!names.is_empty(), "there are no scenarios");
    quirks::check_names(&names);

    // The longest first, so that none of them is left for the end.
    scenarios.sort_by_key(Scenario::job_count);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for scenario in scenarios.into_iter().rev() {
        let turns = Arc::clone(&turns);
        playing.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("the semaphore is never closed");
            let (name, jobs) = (scenario.name.clone(), scenario.job_count());
            (name, jobs, play::play(scenario).await)
        });
    }
    let (mut played, mut jobs, mut failures) = (0, 0, Vec::new());
    while let Some(result) = playing.join_next().await {
        let (name, count, faults) = result.unwrap();
        played += 1;
        jobs += count;
        failures.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    println!(
        "{played} scenarios with {jobs} jobs played in {} s, {} with an intended difference",
        began.elapsed().as_secs(),
        quirks::TABLE.len(),
    );
    failures.sort();
    assert!(failures.is_empty(), "{} faults:\n{}", failures.len(), failures.join("\n"));
}
