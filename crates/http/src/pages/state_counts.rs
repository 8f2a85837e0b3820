//! The numbers of jobs by state, with links to the jobs.

use mission_core::humanize::number;
use mission_jobs::State;
use mission_jobs::queue::Counts;
use uuid::Uuid;

use super::address;

/// The number of jobs in a state.
#[derive(Debug)]
pub(super) struct StateCount {
    pub state: State,
    pub number: String,
    /// The address of the search that finds them.
    pub search: String,
    /// `true` if the page shows exactly this state.
    pub is_here: bool,
}

/// Returns the states that have jobs, most urgent first, perhaps of one gateway. Ended states other
/// than `dead` are left out unless `ended` is set; `here` are the states that the page shows.
pub(super) fn counted(
    counts: &Counts,
    gateway: Option<Uuid>,
    ended: bool,
    here: &[State],
) -> Vec<StateCount> {
    let shown = |state: &State| {
        counts.of(*state) > 0 && (ended || !state.is_terminal() || *state == State::Dead)
    };
    let states = State::BY_URGENCY.into_iter().filter(|state| shown(state) || here == [*state]);
    let of = |state: State| {
        let search = gateway
            .map_or_else(|| format!("state:{state}"), |id| format!("state:{state} gateway:{id}"));
        StateCount {
            state,
            number: number(counts.of(state)),
            search: address::to("/jobs", &[("q", &search)]),
            is_here: here == [state],
        }
    };
    states.map(of).collect()
}
