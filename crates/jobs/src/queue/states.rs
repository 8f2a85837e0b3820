//! The states of a job, and the one table of which may follow which. The scripts refuse any other
//! transition.

use std::fmt;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waiting for its first time.
    Scheduled,
    /// Could run now, as soon as a worker and its subject are free.
    Ready,
    /// LeasedJob by a worker.
    Running,
    /// Waiting to be tried again after a failure.
    Retrying,
    /// Waiting because the gateway or a person asked for it.
    Snoozed,
    /// Waiting for a person; tried again now and then all the same.
    Blocked,
    /// Ended: the gateway is as it should be.
    Done,
    /// Ended: given up, with a reason. An operator can retry it.
    Dead,
    /// Ended: a newer job took its place.
    Superseded,
    /// Ended: an operator did not want it any more.
    Cancelled,
}

use State::{
    Blocked, Cancelled, Dead, Done, Ready, Retrying, Running, Scheduled, Snoozed, Superseded,
};

impl State {
    /// All states, live ones first.
    pub const ALL: [Self; 10] =
        [Scheduled, Ready, Running, Retrying, Snoozed, Blocked, Done, Dead, Superseded, Cancelled];

    /// The states that a job can be born in.
    pub const BIRTH: [Self; 2] = [Scheduled, Ready];

    /// The states that may follow this one.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        match self {
            // Waiting jobs die when they expire.
            Scheduled => &[Ready, Dead, Superseded, Cancelled],
            // Snoozed by hand, once more or for the first time.
            Retrying | Snoozed | Blocked => &[Ready, Snoozed, Dead, Superseded, Cancelled],
            Ready => &[Running, Snoozed, Dead, Superseded, Cancelled],
            // Back to ready: the lease was lost, or the job was handed back.
            Running => &[Done, Dead, Retrying, Snoozed, Blocked, Ready, Superseded, Cancelled],
            // By hand: tried again, or discarded.
            Dead => &[Ready, Cancelled],
            Done | Superseded | Cancelled => &[],
        }
    }

    /// Whether an operator may make a job in this state ready at once.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Dead | Blocked | Retrying | Snoozed)
    }

    /// Whether an operator may let a job in this state wait.
    #[must_use]
    pub const fn is_snoozable(self) -> bool {
        matches!(self, Ready | Retrying | Snoozed | Blocked)
    }

    /// Whether a job in this state waits for a time to come.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Scheduled | Retrying | Snoozed | Blocked)
    }

    /// Whether a job gets into this state by failing, if it has failed.
    #[must_use]
    pub const fn is_failing(self) -> bool {
        matches!(self, Retrying | Snoozed | Blocked | Dead)
    }

    /// Whether a job in this state has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Done | Dead | Superseded | Cancelled)
    }

    /// The name on the wire, such as `ready`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheduled => "scheduled",
            Ready => "ready",
            Running => "running",
            Retrying => "retrying",
            Snoozed => "snoozed",
            Blocked => "blocked",
            Done => "done",
            Dead => "dead",
            Superseded => "superseded",
            Cancelled => "cancelled",
        }
    }

    /// The state of that wire name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tables `NEXT`, `RETRYABLE`, `SNOOZABLE`, `FAILING`, `WAITING` and `ENDED` of the scripts;
/// `new` is a job that is not there yet.
pub(super) fn lua() -> String {
    let set = |states: &[State]| {
        states.iter().fold(String::new(), |set, state| set + state.as_str() + " = true, ")
    };
    let mut table = format!("local NEXT = {{\n  new = {{ {}}},\n", set(&State::BIRTH));
    for state in State::ALL {
        writeln!(table, "  {state} = {{ {}}},", set(state.next()))
            .expect("a String takes any text");
    }
    table += "}\n";
    let mut those = |name: &str, test: fn(State) -> bool| {
        let states: Vec<State> = State::ALL.into_iter().filter(|state| test(*state)).collect();
        writeln!(table, "local {name} = {{ {}}}", set(&states)).expect("a String takes any text");
    };
    those("RETRYABLE", State::is_retryable);
    those("SNOOZABLE", State::is_snoozable);
    those("FAILING", State::is_failing);
    those("WAITING", State::is_waiting);
    those("ENDED", State::is_terminal);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_state() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
    }

    #[test]
    fn only_death_can_be_undone() {
        for state in State::ALL {
            assert_eq!(state.is_terminal() && !state.next().is_empty(), state == Dead, "{state}");
        }
    }

    /// The table in ARCHITECTURE.md: a row per state or states, the third column says what they may
    /// become.
    #[test]
    fn the_documented_table_is_this_one() {
        let text = include_str!("../../../../ARCHITECTURE.md");
        let mut documented = 0;
        for row in text.lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, names, _, next, _] = cells[..] else { continue };
            for name in names.split(", ") {
                let Some(state) = State::from_name(name.trim_matches('`')) else { continue };
                let next: Vec<&str> = next.split(", ").filter(|name| !name.is_empty()).collect();
                assert_eq!(
                    next,
                    state.next().iter().map(|state| state.as_str()).collect::<Vec<_>>(),
                    "{state}"
                );
                documented += 1;
            }
        }
        assert_eq!(documented, State::ALL.len());
    }

    #[test]
    fn what_an_operator_may_retry_can_become_ready() {
        assert!(
            State::ALL
                .into_iter()
                .filter(|state| state.is_retryable())
                .all(|state| state.next().contains(&Ready))
        );
        assert!(
            State::ALL
                .into_iter()
                .filter(|state| state.is_snoozable())
                .all(|state| state.next().contains(&Snoozed))
        );
    }
}
