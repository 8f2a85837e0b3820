//! Every flow, disturbed at each of its calls in each way there is: the gateway must end as after
//! an undisturbed run, no run may say `done` before it is so, and once it is so nothing more is
//! written.
//!
//! | File | What is in it |
//! |---|---|
//! | `flows` | what is carried out, and on what |
//! | `trouble` | what goes wrong |
//! | `case` | one flow with one trouble at one call |
//! | `table` | what came out, flow by trouble |

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
/// Of so many cases one is played, another one each time: all take minutes.
const SHARE: usize = 20;

/// `MISSION_KILLMATRIX_SHARE=1` plays all.
fn share() -> usize {
    std::env::var("MISSION_KILLMATRIX_SHARE").map_or(SHARE, |share| share.parse().unwrap())
}

#[test]
fn whatever_happens_at_whichever_call_the_end_is_the_same() {
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
            // Call 0 is the connecting.
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
    println!("{} of {all} cases, each {share}th from the {first}th", cases.len());

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
