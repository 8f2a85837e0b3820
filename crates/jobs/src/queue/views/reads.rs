//! The reads for people and programs, other than jobs.

use std::collections::HashMap;
use std::iter::Sum;

use futures_util::future::try_join_all;
use serde::Serialize;
use uuid::Uuid;

use super::slots::Slots;
use crate::queue::admin::pause::Pause;
use crate::queue::error::QueueError;
use crate::queue::redis::fields::Fields;
use crate::queue::redis::scripts::operators::SummaryAnswer;
use crate::queue::states::State;
use crate::queue::worker::workers;
use crate::queue::{
    AuditEntry, Counts, GatewayRecord, Group, MAX_PAGE, Queue, Summary, WorkerRecord,
};

/// The most workers that are shown.
const MAX_WORKERS: usize = 1000;

/// A restart of a gateway that a job met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Restart {
    /// The id of the gateway.
    pub gateway: Uuid,
    /// The time of the restart, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
}

impl Queue {
    /// Returns the failures that jobs have not overcome yet, the latest first, at most `limit` (1
    /// to [`MAX_PAGE`]).
    pub async fn groups(&self, limit: usize) -> Result<Vec<Group>, QueueError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let groups = self.shards.ask(|shard| async move { shard.groups(limit).await }).await?;
        let read = |(key, count, known): &(String, u64, Fields)| Group::read(key, *count, known);
        let groups = groups.iter().flatten().filter_map(read).collect();
        Ok(latest(groups, self.shards.all().len(), limit, |group: &Group| group.last_at_ms))
    }

    /// Returns the actions of people, newest first, at most `limit` (1 to [`MAX_PAGE`]): those
    /// before the entry `before`, or the latest. The latest 10,000 are kept.
    pub async fn audit(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, QueueError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let several = self.shards.all().len() > 1;
        // An entry of a queue with several shards names its own: `1763859600000-0.3`.
        let (place, of) = match before.map(|before| (before, before.split_once('.'))) {
            Some((_, Some((place, of)))) if several => (Some(place), of.parse().ok()),
            Some((place, _)) => (Some(place), Some(0)),
            None => (None, Some(0)),
        };
        let unknown = || QueueError::EntryId { id: before.unwrap_or_default().to_owned() };
        let of: usize = of.ok_or_else(unknown)?;
        place.map_or(Ok(()), check_entry_id)?;
        // Redis reports an error for what comes before the first of all ids.
        if place.is_some_and(|place| place.bytes().all(|byte| matches!(byte, b'0' | b'-'))) {
            return Ok(Vec::new());
        }
        self.shards.check(false).await?;
        let shards = self.shards.all().iter().enumerate();
        let found = shards.map(|(number, shard)| async move {
            // Of entries of the same moment, those of later shards come first.
            let entries = shard.audit(place, number < of, limit).await?;
            Ok::<_, QueueError>(entries.into_iter().map(move |entry| (entry, number)))
        });
        let mut found: Vec<_> = try_join_all(found).await?.into_iter().flatten().collect();
        found.sort_by_key(|((id, _), shard)| std::cmp::Reverse((entry_order(id), *shard)));
        let read = |((id, fields), shard): ((String, Fields), usize)| {
            let id = if several { format!("{id}.{shard}") } else { id };
            Some(AuditEntry { id, record: fields.json("entry")? })
        };
        Ok(found.into_iter().take(limit).filter_map(read).collect())
    }

    /// Returns the workers that sent a heartbeat in the last hour, the latest first.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, QueueError> {
        let (now, found) = self.first().await?.workers(MAX_WORKERS).await?;
        Ok(found.iter().map(|(name, known)| WorkerRecord::read(name, known, now)).collect())
    }

    /// Returns the slots of all workers that take jobs, and who takes them if they are full.
    pub async fn slots(&self) -> Result<Slots, QueueError> {
        let slots = Slots::of(&self.workers().await?);
        Ok(if slots.full { slots.by(&self.gateways(MAX_PAGE).await?) } else { slots })
    }

    /// Returns a summary of the queue.
    pub async fn summary(&self) -> Result<Summary, QueueError> {
        let all = self
            .shards
            .ask(|shard| async move { shard.summary(workers::GONE_AFTER).await })
            .await?;
        let slots = self.slots().await?;
        // A script answers -1 for no time.
        let times = |time: fn(&SummaryAnswer) -> i64| {
            all.iter().filter_map(move |shard| u64::try_from(time(shard)).ok())
        };
        let (oldest_ready_at_ms, next_due_at_ms, last_ended_at_ms) = (
            times(|shard| shard.2).min(),
            times(|shard| shard.3).min(),
            times(|shard| shard.4).max(),
        );
        let counts = all.iter().map(|shard| Counts::read(shard.1.clone())).sum();
        let (at_ms, _, _, _, _, workers, draining, ref paused) = all[0];
        Ok(Summary {
            at_ms,
            counts,
            oldest_ready_at_ms,
            next_due_at_ms,
            last_ended_at_ms,
            workers,
            draining,
            slots,
            paused: Pause::read_all(paused),
        })
    }

    /// Returns the gateways with the latest jobs, at most `limit` (1 to [`MAX_PAGE`]).
    pub async fn gateways(&self, limit: usize) -> Result<Vec<GatewayRecord>, QueueError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let found =
            self.shards.ask(|shard| async move { shard.gateways(limit, None).await }).await?;
        let found = found.into_iter().flatten().collect();
        let last_job = |(_, fields): &(String, Fields)| fields.parse("last_job_at");
        let found = latest(found, self.shards.all().len(), limit, |found| {
            last_job(found).unwrap_or_default()
        });
        Ok(found.iter().filter_map(|(id, fields)| GatewayRecord::read(id, fields)).collect())
    }

    /// Returns one gateway; none if no job has come for it.
    pub async fn gateway(&self, id: Uuid) -> Result<Option<GatewayRecord>, QueueError> {
        let gateways = self.shards.of_lane(id).await?.gateways(1, Some(id)).await?;
        Ok(gateways.first().and_then(|(id, fields)| GatewayRecord::read(id, fields)))
    }

    /// Returns the restarts of gateways that jobs met in the last days, the latest first, at most
    /// `limit` (1 to [`MAX_PAGE`]). Restarts of one gateway count once a minute.
    pub async fn restarts(&self, limit: usize) -> Result<Vec<Restart>, QueueError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let restarts = self.shards.ask(|shard| async move { shard.restarts(limit).await }).await?;
        let read = |text: &String| {
            let (gateway, at_ms) = text.split_once(' ')?;
            Some(Restart { gateway: gateway.parse().ok()?, at_ms: at_ms.parse().ok()? })
        };
        let restarts = restarts.iter().flatten().filter_map(read).collect();
        Ok(latest(restarts, self.shards.all().len(), limit, |restart: &Restart| restart.at_ms))
    }
}

/// Checks that a text is the id of a stream entry, which is two numbers.
fn check_entry_id(id: &str) -> Result<(), QueueError> {
    let is_number =
        |text: &str| text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u64>().is_ok();
    let (time, number) = id.split_once('-').unwrap_or((id, "0"));
    let is_valid = is_number(time) && is_number(number);
    is_valid.then_some(()).ok_or_else(|| QueueError::EntryId { id: id.to_owned() })
}

impl Counts {
    pub(crate) fn read(counts: HashMap<String, i64>) -> Self {
        let known = |(name, count): (String, i64)| {
            Some((State::from_name(&name)?, u64::try_from(count).ok()?))
        };
        Self(counts.into_iter().filter_map(known).collect())
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.reduce(|mut sum, counts| {
            for (state, count) in counts.0 {
                *sum.0.entry(state).or_default() += count;
            }
            sum
        })
        .unwrap_or_default()
    }
}

/// Returns the latest of what several shards have, each the latest first; what one shard has stays
/// as it is.
fn latest<T>(mut found: Vec<T>, shards: usize, limit: usize, at_ms: impl Fn(&T) -> u64) -> Vec<T> {
    if shards > 1 {
        found.sort_by_key(|found| std::cmp::Reverse(at_ms(found)));
        found.truncate(limit);
    }
    found
}

/// Returns the time and the number of a stream entry, by which it stands in its stream.
fn entry_order(id: &str) -> (u64, u64) {
    let (time, number) = id.split_once('-').unwrap_or((id, "0"));
    (time.parse().unwrap_or_default(), number.parse().unwrap_or_default())
}
