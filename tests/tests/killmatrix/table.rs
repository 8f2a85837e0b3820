//! The results, flow by trouble.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use super::case::{Case, End, Stage};
use super::trouble::{TROUBLES, Trouble};

/// The maximum number of faults that are printed in full.
const MAX_SHOWN: usize = 40;

/// The cases of one flow with one trouble.
#[derive(Default)]
struct Cell {
    cases: usize,
    /// The number of cases by the outcomes of their runs.
    ends: BTreeMap<String, usize>,
}

/// The results of all cases.
pub struct Table {
    stages: Vec<Arc<Stage>>,
    cells: BTreeMap<(&'static str, usize), Cell>,
    faults: Vec<String>,
}

impl Table {
    /// Returns an empty table for these flows.
    pub fn new(stages: &[Arc<Stage>]) -> Self {
        Self { stages: stages.to_vec(), cells: BTreeMap::new(), faults: Vec::new() }
    }

    /// Adds the result of a case.
    pub fn enter(&mut self, case: &Case, end: &End) {
        let row = TROUBLES
            .iter()
            .position(|trouble| *trouble == case.trouble)
            .expect("the stage is in the table");
        let cell = self.cells.entry((case.stage.flow.name, row)).or_default();
        cell.cases += 1;
        *cell.ends.entry(end.runs.join(" → ")).or_default() += 1;
        if !end.faults.is_empty() {
            let Stage { profile, flow, latency_ms, .. } = &*case.stage;
            let (trouble, at, runs) = (case.trouble, case.at, end.runs.join(" → "));
            let place = format!(
                "{profile:?} {} {latency_ms} ms, {trouble:?} at call {at} ({runs})",
                flow.name
            );
            self.faults.push(format!("{place}: {}", end.faults.join("; ")));
        }
    }

    /// Lists the cases with errors, the first of them in full.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        faults.sort();
        let more = faults.len().saturating_sub(MAX_SHOWN);
        faults.truncate(MAX_SHOWN);
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        faults
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for stage in &self.stages {
            let (profile, name, latency) = (stage.profile, stage.flow.name, stage.latency_ms);
            writeln!(
                f,
                "{profile:?} {name}: {} calls undisturbed at {latency} ms",
                stage.calls.len()
            )?;
        }
        for ((flow, row), cell) in &self.cells {
            let trouble: Trouble = TROUBLES[*row];
            let ends = cell
                .ends
                .iter()
                .map(|(end, count)| format!("{end} {count}"))
                .collect::<Vec<_>>()
                .join(", ");
            writeln!(f, "{flow:15} {:18} {:5} cases: {ends}", format!("{trouble:?}"), cell.cases)?;
        }
        let cases: usize = self.cells.values().map(|cell| cell.cases).sum();
        write!(f, "{cases} cases, {} with faults", self.faults.len())
    }
}
