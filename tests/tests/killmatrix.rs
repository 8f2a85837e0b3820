//! Every flow, disturbed at each of its calls in each possible way. The gateway must end in the
//! same state as after an undisturbed run, no run may report `done` too early, and after that
//! nothing more may be written.
//!
//! | File | Contents |
//! |---|---|
//! | `flows` | the jobs, and the gateways that run them |
//! | `trouble` | the ways in which a call is disturbed |
//! | `case` | one flow, disturbed in one way at one call |
//! | `table` | the results, flow by trouble |

pub mod case;
pub mod flows;
mod table;
mod trouble;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use case::{Case, Stage};
use flows::{FLOWS, Flow, PROFILES};
use table::Table;
use trouble::TROUBLES;
/// One of this many cases is played, another one each time, because all of them take minutes.
const SHARE: usize = 20;

/// Returns the share; `MISSION_KILLMATRIX_SHARE=1` plays all cases.
fn share() -> usize {
    std::env::var("MISSION_KILLMATRIX_SHARE").map_or(SHARE, |share| share.parse().unwrap())
}

#[test]
fn a_disturbance_at_any_call_does_not_change_the_final_state() {
    let mut stages = Vec::new();
    let only = std::env::var("MISSION_KILLMATRIX_FLOW");
    for profile in PROFILES {
        let is_chosen = |flow: &Flow| {
            only.as_ref().map_or(true, |only| only == flow.name) && (flow.is_of)(profile)
        };
        for flow in FLOWS.into_iter().filter(is_chosen) {
            for latency_ms in [0, 20] {
                stages.push(Arc::new(Stage::new(profile, flow, latency_ms)));
            }
        }
    }
    let mut cases = Vec::new();
    for stage in &stages {
        for trouble in TROUBLES {
            // Call 0 is the handshake.
            let first = usize::from(!trouble.can_strike_connecting());
            cases.extend((first..=stage.calls.len()).map(|at| Case {
                stage: Arc::clone(stage),
                trouble,
                at,
            }));
        }
    }

    let (all, share) = (cases.len(), share());
    let first = rand::random_range(0..share);
    cases = cases.into_iter().skip(first).step_by(share).collect();
    println!("{} of {all} cases, every {share}th from number {first} on", cases.len());

    let (next, table) = (AtomicUsize::new(0), Mutex::new(Table::new(&stages)));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let end = case.play();
            table.lock().unwrap().enter(case, &end);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let table = table.into_inner().unwrap();
    println!("{table}");
    let faults = table.faults();
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}
