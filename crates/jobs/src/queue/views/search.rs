//! What people look for among jobs, as text and as a query:
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

/// Most letters of a search.
pub const MAX_SEARCH: usize = 500;

/// Which jobs are looked for. All that is given must hold.
///
/// As text, qualifiers and free words in any order:
/// `kind:provision state:blocked,dead gateway:<uuid> agent:<uuid> board:<uuid> error:<code> id:<uuid, or its first 8 letters> words`.
/// What holds a space or a colon stands in quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The states that they may be in; none for all.
    pub states: Vec<State>,
    /// Their kind.
    pub kind: Option<Kind>,
    /// Their gateway.
    pub gateway: Option<Uuid>,
    /// The agent that they are about. Heartbeat-syncs are about many, and not found by it.
    pub agent: Option<Uuid>,
    /// The board of their document.
    pub board: Option<Uuid>,
    /// Code of the failure that they have not got past, alone or as `code/method`. Not of jobs that
    /// are done by now.
    pub error: Option<String>,
    /// Their id, or at least its first 8 letters; lower-case.
    pub id: Option<String>,
    /// Each must stand in the failure, an id, the kind, the worker, the reason, the idempotency key
    /// or a name, in capitals or not.
    pub words: Vec<String>,
}

/// Some of the jobs that were looked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Found {
    /// The jobs, with names, without history and document. May be empty although there are more.
    pub jobs: Vec<JobRecord>,
    /// Where the next page begins; none after the last.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub next: Option<Cursor>,
    /// How many jobs were looked at for it.
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
