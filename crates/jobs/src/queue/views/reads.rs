//! The reads for people and programs, other than jobs.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::slots::Slots;
use super::{event, stats};
use crate::queue::admin::pause::Pause;
use crate::queue::error::QueueError;
use crate::queue::redis::fields::Fields;
use crate::queue::states::State;
use crate::queue::worker::workers;
use crate::queue::{
    AuditEntry, Counts, GatewayRecord, Group, MAX_PAGE, Queue, StatsBucket, Summary, WorkerRecord,
};

/// The most events of one call.
const MAX_EVENTS: usize = 500;
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
        let groups = self.scripts.groups(limit.clamp(1, MAX_PAGE)).await?;
        let read = |(key, count, known): &(String, u64, Fields)| Group::read(key, *count, known);
        Ok(groups.iter().filter_map(read).collect())
    }

    /// Returns the actions of people, newest first, at most `limit` (1 to [`MAX_PAGE`]): those
    /// before the entry `before`, or the latest. The latest 10,000 are kept.
    pub async fn audit(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, QueueError> {
        before.map_or(Ok(()), check_entry_id)?;
        // Redis reports an error for what comes before the first of all ids.
        if before.is_some_and(|before| before.bytes().all(|byte| matches!(byte, b'0' | b'-'))) {
            return Ok(Vec::new());
        }
        let entries = self.scripts.audit(before, limit.clamp(1, MAX_PAGE)).await?;
        let read =
            |(id, fields): (_, Fields)| Some(AuditEntry { id, record: fields.json("entry")? });
        Ok(entries.into_iter().filter_map(read).collect())
    }

    /// Returns the workers that sent a heartbeat in the last hour, the latest first.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, QueueError> {
        let (now, found) = self.scripts.workers(MAX_WORKERS).await?;
        Ok(found.iter().map(|(name, known)| WorkerRecord::read(name, known, now)).collect())
    }

    /// Returns the slots of all workers that take jobs, and who takes them if they are full.
    pub async fn slots(&self) -> Result<Slots, QueueError> {
        let slots = Slots::of(&self.workers().await?);
        Ok(if slots.full { slots.by(&self.gateways(MAX_PAGE).await?) } else { slots })
    }

    /// Returns a summary of the queue.
    pub async fn summary(&self) -> Result<Summary, QueueError> {
        let (at_ms, counts, ready, due, ended, workers, draining, paused) =
            self.scripts.summary(workers::GONE_AFTER).await?;
        let slots = self.slots().await?;
        let time = |time: i64| u64::try_from(time).ok();
        Ok(Summary {
            at_ms,
            counts: Counts::read(counts),
            oldest_ready_at_ms: time(ready),
            next_due_at_ms: time(due),
            last_ended_at_ms: time(ended),
            workers,
            draining,
            slots,
            paused: Pause::read_all(&paused),
        })
    }

    /// Returns the gateways with the latest jobs, at most `limit` (1 to [`MAX_PAGE`]).
    pub async fn gateways(&self, limit: usize) -> Result<Vec<GatewayRecord>, QueueError> {
        let gateways = self.scripts.gateways(limit.clamp(1, MAX_PAGE), None).await?;
        Ok(gateways.iter().filter_map(|(id, fields)| GatewayRecord::read(id, fields)).collect())
    }

    /// Returns one gateway; none if no job has come for it.
    pub async fn gateway(&self, id: Uuid) -> Result<Option<GatewayRecord>, QueueError> {
        let gateways = self.scripts.gateways(1, Some(id)).await?;
        Ok(gateways.first().and_then(|(id, fields)| GatewayRecord::read(id, fields)))
    }

    /// Returns the restarts of gateways that jobs met in the last days, the latest first, at most
    /// `limit` (1 to [`MAX_PAGE`]). Restarts of one gateway count once a minute.
    pub async fn restarts(&self, limit: usize) -> Result<Vec<Restart>, QueueError> {
        let restarts = self.scripts.restarts(limit.clamp(1, MAX_PAGE)).await?;
        let read = |text: &String| {
            let (gateway, at_ms) = text.split_once(' ')?;
            Some(Restart { gateway: gateway.parse().ok()?, at_ms: at_ms.parse().ok()? })
        };
        Ok(restarts.iter().filter_map(read).collect())
    }

    /// Returns the figures of the last minutes, the present one included, oldest first.
    pub async fn stats(&self, minutes: u64) -> Result<Vec<StatsBucket>, QueueError> {
        let now = self.scripts.minute().await?;
        self.stored(1, now.saturating_sub(minutes.clamp(1, stats::MAX_MINUTES) - 1)..=now).await
    }

    /// Returns the figures of the last hours, the present one included, oldest first; at most
    /// [`stats::MAX_HOURS`].
    pub async fn hours(&self, hours: u64) -> Result<Vec<StatsBucket>, QueueError> {
        self.spans(60, hours.clamp(1, stats::MAX_HOURS)).await
    }

    /// Returns the figures of the last quarters of an hour, the present one included, oldest first;
    /// at most a day.
    pub async fn quarters(&self, quarters: u64) -> Result<Vec<StatsBucket>, QueueError> {
        self.spans(15, quarters.clamp(1, stats::MAX_MINUTES / 15)).await
    }

    /// Returns the figures of `count` spans of `minutes` minutes each.
    async fn spans(&self, minutes: u64, count: u64) -> Result<Vec<StatsBucket>, QueueError> {
        let now = self.scripts.minute().await?;
        let first = (now / minutes).saturating_sub(count - 1);
        let mut found = self.stored(minutes, first..=now / minutes).await?;
        // The minutes that have not been added up yet follow. A worker adds them up every few
        // seconds.
        let rolled = self.scripts.rolled().await?.unwrap_or_default();
        let not_yet = (rolled + 1).max(first * minutes).max(now.saturating_sub(stats::MAX_MINUTES));
        for minute in self.stored(1, not_yet..=now).await? {
            let span =
                usize::try_from(minute.at_ms / 60_000 / minutes - first).unwrap_or(usize::MAX);
            if let Some(span) = found.get_mut(span) {
                span.add(&minute);
            }
        }
        Ok(found)
    }

    /// Returns the stored figures of spans of `minutes` minutes each, by their numbers since 1970.
    async fn stored(
        &self,
        minutes: u64,
        spans: RangeInclusive<u64>,
    ) -> Result<Vec<StatsBucket>, QueueError> {
        let keys = spans.clone().map(|number| self.scripts.keys.span(minutes, number));
        let counters = self.scripts.stats_counters(&keys.collect::<Vec<_>>()).await?;
        let read = |(number, of)| StatsBucket::read(number * minutes * 60_000, of);
        Ok(spans.zip(&counters).map(read).collect())
    }

    /// Returns the id of the latest event, to be passed to [`Self::events`] for those that come
    /// later.
    pub async fn latest_event(&self) -> Result<String, QueueError> {
        Ok(self.scripts.latest_event().await?.unwrap_or_else(|| "0-0".to_owned()))
    }

    /// Returns the cursors and contents of the events after this one, those of at most some hundred
    /// entries of the stream. If there are none, waits up to `wait` for the first. A process should have one reader only: several
    /// that wait do so one after the other.
    pub async fn events(
        &self,
        after: &str,
        wait: Duration,
    ) -> Result<Vec<(String, Value)>, QueueError> {
        let (id, told) =
            event::resume(after).ok_or_else(|| QueueError::EntryId { id: after.to_owned() })?;
        let entries = self.scripts.events(&id, wait, MAX_EVENTS).await?;
        let read = |(id, fields): (String, Fields)| Some((fields.json("event")?, id));
        let mut events: Vec<_> = entries
            .into_iter()
            .filter_map(read)
            .flat_map(|(entry, id)| event::expand(&id, entry))
            .collect();
        // The entry may have been removed meanwhile.
        let entry_of = |cursor: &str| cursor.split('/').next().map(str::to_owned);
        if events.first().is_some_and(|(first, _)| entry_of(first) == entry_of(after)) {
            events.drain(..told.min(events.len()));
        }
        Ok(events)
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
