//! The search for jobs, as text and as a query:
//! `state:blocked,dead gateway:… words of the failure`.

mod cursor;
mod execute;
mod matching;
mod parse;

use std::fmt;

use mission_core::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use cursor::Cursor;
pub use parse::SearchError;

use crate::queue::states::State;
use crate::queue::views::job_view::JobRecord;

/// The most characters of a search.
pub const MAX_SEARCH: usize = 500;

/// A search for jobs. A job must match everything that is given.
///
/// As text, qualifiers and free words stand in any order:
/// `kind:provision state:blocked,dead gateway:<uuid> agent:<uuid> board:<uuid> error:<code>
/// id:<uuid, or its first 8 letters> words`.
/// A value with a space or a colon stands in quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The states that the jobs may be in; empty for all.
    pub states: Vec<State>,
    /// The kind of the jobs.
    pub kind: Option<Kind>,
    /// The gateway of the jobs.
    pub gateway: Option<Uuid>,
    /// The agent of the jobs. Heartbeat-syncs are about many agents, so this does not find them.
    pub agent: Option<Uuid>,
    /// The board in the jobs' documents.
    pub board: Option<Uuid>,
    /// The code of the failure that the jobs have not overcome yet, alone or as `code/method`. Jobs
    /// that are done by now do not match.
    pub error: Option<String>,
    /// The id of the job, or at least its first 8 letters, in lower case.
    pub id: Option<String>,
    /// Words, each of which must occur in the failure, an id, the kind, the worker, the reason, the
    /// idempotency key or a name, in upper or lower case.
    pub words: Vec<String>,
}

/// A page of the jobs that a search found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Found {
    /// The jobs, with names, without history and document. May be empty although more follow.
    pub jobs: Vec<JobRecord>,
    /// The cursor of the next page; none after the last.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub next: Option<Cursor>,
    /// The number of jobs that were examined for this page.
    pub looked_at: u64,
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<&str> = self.states.iter().map(|state| state.as_str()).collect();
        let qualifiers = [
            ("kind", self.kind.map(|kind| kind.as_str().to_owned())),
            ("state", (!states.is_empty()).then(|| states.join(","))),
            ("gateway", self.gateway.map(|id| id.to_string())),
            ("agent", self.agent.map(|id| id.to_string())),
            ("board", self.board.map(|id| id.to_string())),
            ("error", self.error.clone()),
            ("id", self.id.clone()),
        ];
        let qualifiers = qualifiers
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}:{}", parse::quoted(&value?))));
        let words = self.words.iter().map(|word| parse::quoted(word));
        f.write_str(&qualifiers.chain(words).collect::<Vec<_>>().join(" "))
    }
}

impl Serialize for Search {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
