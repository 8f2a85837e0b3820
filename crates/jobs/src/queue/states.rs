//! The states of a job, and the only table of allowed transitions. The scripts refuse any other
//! transition.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum State {
    /// The job waits for the time of its first run. A claim of any worker makes it ready then, as
    /// it does for every other state that waits.
    Scheduled,
    /// The job can run as soon as a worker and its subject are free.
    Ready,
    /// A worker holds the lease of the job. If the worker dies, another makes the job ready again
    /// when the lease has ended.
    Running,
    /// The job waits for its next attempt after a failure.
    Retrying,
    /// The job waits because the gateway or a person asked for it.
    Snoozed,
    /// The job needs action by a person. It is tried again from time to time all the same.
    Blocked,
    /// The job has ended: the gateway is as it should be. It is removed after
    /// [`keep_ended`](crate::Settings::keep_ended), 7 days by default.
    Done,
    /// The job has ended: it was given up for a reason. An operator can retry it until it is
    /// removed after [`keep_dead`](crate::Settings::keep_dead), 30 days by default.
    Dead,
    /// The job has ended: a newer job replaced it. It is kept like a done job.
    Superseded,
    /// The job has ended: an operator cancelled it. It is kept like a done job.
    Cancelled,
}

use State::{
    Blocked, Cancelled, Dead, Done, Ready, Retrying, Running, Scheduled, Snoozed, Superseded,
};

impl State {
    /// All states, live ones first. A job's head in Redis has the place here, from 1, as a code, so a
    /// new state comes last.
    pub const ALL: [Self; 10] =
        [Scheduled, Ready, Running, Retrying, Snoozed, Blocked, Done, Dead, Superseded, Cancelled];

    /// All states in the order in which people want to see them: those that need a person first,
    /// then the other live ones, and those that ended well last.
    pub const BY_URGENCY: [Self; 10] =
        [Blocked, Dead, Retrying, Snoozed, Running, Ready, Scheduled, Done, Superseded, Cancelled];

    /// The states in which a job can be created.
    pub const BIRTH: [Self; 3] = [Scheduled, Ready, Superseded];

    /// Returns the states that may follow this one.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        match self {
            // Waiting jobs are dead when they expire.
            Scheduled => &[Ready, Dead, Superseded, Cancelled],
            // A person can snooze a job, and snooze it again.
            Retrying | Snoozed | Blocked => &[Ready, Snoozed, Dead, Superseded, Cancelled],
            Ready => &[Running, Snoozed, Dead, Superseded, Cancelled],
            // A running job is ready again when its lease was lost, or when it was handed back.
            Running => &[Done, Dead, Retrying, Snoozed, Blocked, Ready, Superseded, Cancelled],
            // A person can retry a dead job, or discard it.
            Dead => &[Ready, Cancelled],
            Done | Superseded | Cancelled => &[],
        }
    }

    /// Returns whether an operator may make a job in this state ready at once.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Dead | Blocked | Retrying | Snoozed | Scheduled)
    }

    /// Returns whether an operator may snooze a job in this state.
    #[must_use]
    pub const fn is_snoozable(self) -> bool {
        matches!(self, Ready | Retrying | Snoozed | Blocked)
    }

    /// Returns whether a job in this state waits for a point in time.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Scheduled | Retrying | Snoozed | Blocked)
    }

    /// Returns whether a failure can bring a job into this state.
    #[must_use]
    pub const fn is_failing(self) -> bool {
        matches!(self, Retrying | Snoozed | Blocked | Dead)
    }

    /// Returns whether a job in this state has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Done | Dead | Superseded | Cancelled)
    }

    /// Returns the name on the wire, such as `ready`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the state with this wire name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// Returns the tables `STATES` (names by the code in a job's head), `STATE_CODES`, `NEXT`, `RETRYABLE`, `SNOOZABLE`, `FAILING`, `WAITING` and `ENDED` for the
/// scripts. In `NEXT`, `new` stands for a job that does not exist yet.
pub(super) fn lua() -> String {
    let set = |states: &[State]| {
        states.iter().fold(String::new(), |set, state| set + state.as_str() + " = true, ")
    };
    let names = State::ALL.map(|state| format!("'{state}', ")).concat();
    let codes: String = (1..)
        .zip(State::ALL)
        .fold(String::new(), |codes, (code, state)| format!("{codes}{state} = {code}, "));
    let mut table = format!(
        "local STATES = {{ {names}}}\nlocal STATE_CODES = {{ {codes}}}\nlocal NEXT = {{\n  \
            new = {{ {}}},\n",
        set(&State::BIRTH)
    );
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

    /// Compares with the table in ARCHITECTURE.md: one row for one or more states, with the states
    /// that may follow in the third column.
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
    fn retryable_states_can_become_ready() {
        for state in State::ALL {
            assert!(!state.is_retryable() || state.next().contains(&Ready), "{state}");
            assert!(!state.is_snoozable() || state.next().contains(&Snoozed), "{state}");
        }
    }
}
