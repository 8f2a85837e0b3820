//! The scripts behind the actions and views of people.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::{Args, Named, Scripts, millis};
use crate::queue::admin::actor::{Author, reason};
use crate::queue::error::QueueError;

/// The scripts behind the actions and views of people.
pub(crate) struct Operators {
    retry: Named,
    cancel: Named,
    pause: Named,
    snooze: Named,
    drain: Named,
    search: Named,
    chain: Named,
    groups: Named,
    summary: Named,
    heartbeat: Named,
    workers: Named,
}

impl Operators {
    pub(super) fn new(
        named: impl Fn(&'static str, &str) -> Named,
        also_when_full: impl Fn(&'static str, &str) -> Named,
    ) -> Self {
        Self {
            retry: also_when_full("retry", include_str!("../lua/retry.lua")),
            cancel: also_when_full("cancel", include_str!("../lua/cancel.lua")),
            pause: also_when_full("pause", include_str!("../lua/pause.lua")),
            snooze: also_when_full("snooze", include_str!("../lua/snooze.lua")),
            drain: also_when_full("drain", include_str!("../lua/drain.lua")),
            search: named("search", include_str!("../lua/search.lua")),
            chain: named("chain", include_str!("../lua/chain.lua")),
            groups: named("groups", include_str!("../lua/groups.lua")),
            summary: named("summary", include_str!("../lua/summary.lua")),
            heartbeat: also_when_full("heartbeat", include_str!("../lua/heartbeat.lua")),
            workers: named("workers", include_str!("../lua/workers.lua")),
        }
    }

    pub(super) fn all(&self) -> [&Named; 11] {
        let Self {
            retry,
            cancel,
            pause,
            snooze,
            drain,
            search,
            chain,
            groups,
            summary,
            heartbeat,
            workers,
        } = self;
        [retry, cancel, pause, snooze, drain, search, chain, groups, summary, heartbeat, workers]
    }
}

/// The fields and values of a job, a gateway, a group or a worker.
pub(crate) type Fields = HashMap<String, Vec<u8>>;

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
/// score; id), how many jobs it looked at, and the jobs that it found.
pub(crate) type SearchAnswer = (usize, f64, String, u64, Vec<Fields>);

/// The answer of `summary.lua`, whose header explains the values.
pub(crate) type SummaryAnswer =
    (u64, HashMap<String, i64>, i64, i64, i64, u64, u64, HashMap<String, String>);

/// The values of a worker's heartbeat.
pub(crate) struct Heartbeat<'a> {
    pub(crate) worker: &'a str,
    /// The machine's name; empty if the worker ends.
    pub(crate) host: &'a str,
    pub(crate) running: usize,
    pub(crate) concurrency: usize,
}

/// The result of an action, and the state that the job was in.
type ActionAnswer = (String, String);

impl Args {
    /// Adds the author, the origin and the reason of an action.
    fn add_action(&mut self, by: &Author, why: &str) -> &mut Self {
        by.to_args().iter().fold(self, |args, word| args.add(word)).add(reason(why))
    }
}

impl Scripts {
    pub(crate) async fn retry(
        &self,
        id: Uuid,
        force: bool,
        by: &Author,
        why: &str,
    ) -> Result<ActionAnswer, QueueError> {
        let mut args = Args::default();
        self.run(
            &self.operators.retry,
            args.add_action(by, why).add(id.to_string()).add(u8::from(force)),
        )
        .await
    }

    pub(crate) async fn snooze(
        &self,
        id: Uuid,
        wait: Duration,
        by: &Author,
        why: &str,
    ) -> Result<ActionAnswer, QueueError> {
        let mut args = Args::default();
        self.run(
            &self.operators.snooze,
            args.add_action(by, why).add(id.to_string()).add(millis(wait)),
        )
        .await
    }

    /// Cancels a job. If `dead_only` is set, only a dead one is.
    pub(crate) async fn cancel(
        &self,
        id: Uuid,
        dead_only: bool,
        by: &Author,
        why: &str,
    ) -> Result<ActionAnswer, QueueError> {
        let mut args = Args::default();
        self.run(
            &self.operators.cancel,
            args.add_action(by, why).add(id.to_string()).add(u8::from(dead_only)),
        )
        .await
    }

    /// Pauses or resumes a scope. Returns whether anything changed.
    pub(crate) async fn pause(
        &self,
        pause: bool,
        scope: &str,
        by: &Author,
        why: &str,
    ) -> Result<bool, QueueError> {
        let mut args = Args::default();
        self.run(
            &self.operators.pause,
            args.add_action(by, why).add(if pause { "pause" } else { "resume" }).add(scope),
        )
        .await
    }

    /// Drains or undrains a worker. Returns `ok`, `same` or `missing`.
    pub(crate) async fn drain(
        &self,
        worker: &str,
        drain: bool,
        by: &Author,
        why: &str,
    ) -> Result<String, QueueError> {
        let mut args = Args::default();
        self.run(&self.operators.drain, args.add_action(by, why).add(worker).add(u8::from(drain)))
            .await
    }

    pub(crate) async fn search(
        &self,
        request: &SearchRequest<'_>,
    ) -> Result<SearchAnswer, QueueError> {
        let mut args = Args::default();
        args.add(request.to_find)
            .add(request.to_look)
            .add(request.lane)
            .add(request.documents as u8);
        args.add(request.prefix);
        let (score, id) = request
            .after
            .map(|(score, id)| (score.to_string(), id.to_string()))
            .unwrap_or_default();
        args.add(score).add(id).add(request.lists.len());
        for text in request.lists.iter().chain(request.texts) {
            args.add(text);
        }
        self.run(&self.operators.search, &args).await
    }

    /// Returns what follows the last job (`more`, `end`, `lost` or `unknown`), and the jobs.
    pub(crate) async fn chain(
        &self,
        limit: usize,
        agent: Uuid,
        gateway: Option<Uuid>,
        after: Option<Uuid>,
    ) -> Result<(String, Vec<Fields>), QueueError> {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let mut args = Args::default();
        self.run(
            &self.operators.chain,
            args.add(limit).add(agent.to_string()).add(id(gateway)).add(id(after)),
        )
        .await
    }

    /// Returns the keys, counts and fields of groups.
    pub(crate) async fn groups(
        &self,
        limit: usize,
    ) -> Result<Vec<(String, u64, HashMap<String, String>)>, QueueError> {
        self.run(&self.operators.groups, Args::default().add(limit).add("").add("").add("")).await
    }

    /// Returns the keys of the groups with this gateway, code and method, each unless it is empty.
    pub(crate) async fn group_keys(&self, of: [&str; 3]) -> Result<Vec<String>, QueueError> {
        let mut args = Args::default();
        of.iter().fold(args.add(0), |args, text| args.add(text));
        self.run(&self.operators.groups, &args).await
    }

    pub(crate) async fn summary(&self, gone_after: Duration) -> Result<SummaryAnswer, QueueError> {
        self.run(&self.operators.summary, Args::default().add(millis(gone_after))).await
    }

    /// Records a heartbeat. Returns whether the worker must claim no more jobs.
    pub(crate) async fn heartbeat(&self, beat: &Heartbeat<'_>) -> Result<bool, QueueError> {
        let mut args = Args::default();
        args.add(beat.worker).add(beat.host).add(env!("CARGO_PKG_VERSION")).add(std::process::id());
        self.run(&self.operators.heartbeat, args.add(beat.running).add(beat.concurrency)).await
    }

    /// Returns Redis's clock, and the names and fields of workers.
    pub(crate) async fn workers(
        &self,
        limit: usize,
    ) -> Result<(u64, Vec<(String, HashMap<String, String>)>), QueueError> {
        self.run(&self.operators.workers, Args::default().add(limit)).await
    }
}
