//! The lists of jobs by state, merged from the shards.

use std::collections::VecDeque;

use crate::queue::error::QueueError;
use crate::queue::redis::scripts::ListAnswer;
use crate::queue::states::State;
use crate::queue::views::job_view::JobRecord;
use crate::queue::{Filter, JobPage, MAX_PAGE, Queue};

/// The place in a shard behind all its jobs.
const END: u64 = u64::MAX;

impl Queue {
    /// Returns a page of jobs.
    pub async fn list(&self, filter: &Filter) -> Result<JobPage, QueueError> {
        let only = filter.lane.map(|lane| self.shards.number_of(lane));
        let mut places: Vec<u64> = (0..self.shards.all().len())
            .map(|shard| match only {
                Some(only) if only != shard => END,
                _ => filter.cursor.get(shard).copied().unwrap_or_default(),
            })
            .collect();
        self.shards.check(false).await?;
        let asked = self.shards.all().iter().zip(&places).map(|(shard, place)| async move {
            if *place == END {
                return Ok((-1, Vec::new(), Vec::new(), Vec::new()));
            }
            shard.list(filter, *place).await
        });
        let pages = futures_util::future::try_join_all(asked).await?;
        let mut pages: Vec<Page> = pages.into_iter().map(Page::read).collect();
        let mut jobs = Vec::new();
        while jobs.len() < filter.limit.clamp(1, MAX_PAGE) {
            // What follows the page of a shard is not known, and may come before those of others.
            let cut = pages.iter().any(|page| page.jobs.is_empty() && page.next != END);
            if cut && pages.len() > 1 && !jobs.is_empty() {
                break;
            }
            let heads = pages.iter().enumerate();
            let heads = heads.filter_map(|(shard, page)| Some((shard, page.jobs.front()?)));
            let first = heads.min_by_key(|(_, (_, job))| order(job)).map(|(shard, _)| shard);
            let Some(shard) = first else { break };
            if let Some((place, job)) = pages[shard].jobs.pop_front() {
                places[shard] = place;
                jobs.push(job);
            }
        }
        for (place, page) in places.iter_mut().zip(&pages).filter(|(_, page)| page.jobs.is_empty())
        {
            *place = page.next;
        }
        let next = places.iter().any(|place| *place != END).then_some(places);
        Ok(JobPage { jobs, next })
    }
}

/// The page of one shard, each job with the place behind it.
struct Page {
    jobs: VecDeque<(u64, JobRecord)>,
    next: u64,
}

impl Page {
    fn read((next, ids, rows, places): ListAnswer) -> Self {
        let record = |((id, fields), place): ((String, _), u64)| {
            Some((place, JobRecord::read(id.parse().ok()?, &fields, &[])?))
        };
        Self {
            jobs: ids.into_iter().zip(rows).zip(places).filter_map(record).collect(),
            next: u64::try_from(next).unwrap_or(END),
        }
    }
}

/// Returns a number by which jobs of the same state are in the order of a list.
fn order(job: &JobRecord) -> i64 {
    let entered = job.timeline.last().map(|entry| entry.at_ms);
    let due = job.next_at_ms.filter(|_| job.state != State::Running);
    let at = job.finished_at_ms.or(due).or(entered).unwrap_or_default();
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    if job.state.is_terminal() { -at } else { at }
}
