//! The scripts behind the actions and views of people.

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, ToRedisArgs};
use uuid::Uuid;

use super::{Scripts, id_or_empty, lua, millis};
use crate::queue::admin::actor::{Author, reason};
use crate::queue::error::QueueError;
use crate::queue::redis::bundle::Source;
use crate::queue::redis::fields::Fields;

/// Selects how `search.lua` searches documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Documents {
    #[default]
    Not,
    AsTheyAre,
    /// Documents and all other texts are searched in lower case.
    Lower,
}

/// The arguments of `search.lua`.
#[derive(Debug, Default)]
pub(crate) struct SearchRequest<'a> {
    pub(crate) to_find: usize,
    pub(crate) to_look: usize,
    /// A gateway's id, or empty.
    pub(crate) lane: &'a str,
    pub(crate) documents: Documents,
    /// The prefix of ids, or empty.
    pub(crate) prefix: &'a str,
    /// The score and id of the last job seen in the first list.
    pub(crate) after: Option<(u64, Uuid)>,
    pub(crate) lists: &'a [String],
    /// The texts to find, in lower case if the documents are.
    pub(crate) texts: &'a [String],
}

/// The answer of `search.lua`: where it stopped (the number of the list from 1, or 0 at the end;
/// score; id), how many jobs it looked at, the jobs that it found, and the list and score of each.
pub(crate) type SearchAnswer = (usize, f64, String, u64, Vec<Fields>, Vec<(usize, f64)>);

/// The answer of `summary.lua`, whose header explains the values.
pub(crate) type SummaryAnswer =
    (u64, HashMap<String, i64>, i64, i64, i64, u64, u64, HashMap<String, String>);

/// The result of an action on a job, and the state that the job was in.
pub(crate) type ActionAnswer = (String, String);

impl Scripts {
    /// Runs the script of an action. Its arguments are the author, the origin and the reason, and
    /// then those of its own.
    pub(crate) async fn act<T: FromRedisValue>(
        &self,
        script: Source,
        by: &Author,
        why: &str,
        own: impl ToRedisArgs,
    ) -> Result<T, QueueError> {
        let [name, from] = by.to_args();
        self.run(script, (name, from, reason(why), own)).await
    }

    pub(crate) async fn search(
        &self,
        request: &SearchRequest<'_>,
    ) -> Result<SearchAnswer, QueueError> {
        let SearchRequest { to_find, to_look, lane, documents, prefix, after, lists, texts } =
            request;
        let (score, id) =
            after.map(|(score, id)| (score.to_string(), id.to_string())).unwrap_or_default();
        let limits = (to_find, to_look, lane, *documents as u8);
        let args = (limits, prefix, score, id, lists.len(), lists, texts);
        self.run(lua::search, args).await
    }

    /// Returns what follows the last job (`more`, `end`, `lost` or `unknown`), and the jobs.
    pub(crate) async fn chain(
        &self,
        limit: usize,
        agent: Uuid,
        gateway: Option<Uuid>,
        after: Option<Uuid>,
    ) -> Result<(String, Vec<Fields>), QueueError> {
        let args = (limit, agent.to_string(), id_or_empty(gateway), id_or_empty(after));
        self.run(lua::chain, args).await
    }

    /// Returns the keys, counts and fields of groups.
    pub(crate) async fn groups(
        &self,
        limit: usize,
    ) -> Result<Vec<(String, u64, Fields)>, QueueError> {
        self.run(lua::groups, (limit, "", "", "")).await
    }

    /// Returns the keys of the groups with this gateway, code and method, each unless it is empty.
    pub(crate) async fn group_keys(&self, of: [&str; 3]) -> Result<Vec<String>, QueueError> {
        self.run(lua::groups, (0, &of)).await
    }

    pub(crate) async fn summary(&self, gone_after: Duration) -> Result<SummaryAnswer, QueueError> {
        self.run(lua::summary, millis(gone_after)).await
    }

    /// Records a heartbeat. Returns whether the worker must claim no more jobs. `host` is the
    /// machine's name; it is empty if the worker ends.
    pub(crate) async fn heartbeat(
        &self,
        worker: &str,
        host: &str,
        running: usize,
        concurrency: usize,
    ) -> Result<bool, QueueError> {
        let process = (host, env!("CARGO_PKG_VERSION"), std::process::id());
        self.run(lua::heartbeat, (worker, process, running, concurrency)).await
    }

    /// Returns Redis's clock, and the names and fields of workers.
    pub(crate) async fn workers(
        &self,
        limit: usize,
    ) -> Result<(u64, Vec<(String, Fields)>), QueueError> {
        self.run(lua::workers, limit).await
    }
}
