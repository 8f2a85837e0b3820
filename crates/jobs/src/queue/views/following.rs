//! The events of a queue, merged from its shards.

use std::time::Duration;

use futures_util::future::{select_all, try_join_all};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::event;
use crate::queue::Queue;
use crate::queue::error::QueueError;
use crate::queue::redis::fields::Fields;
use crate::queue::redis::scripts::plain::Entries;

/// The most events of one call.
const MAX_EVENTS: usize = 500;

/// The reads of events that still wait, by shard. A read that has not ended with its call goes on,
/// because Redis would keep its connection busy anyway, and the next call takes it over.
#[derive(Default)]
pub(crate) struct Following(Mutex<Vec<Option<Read>>>);

struct Read {
    after: String,
    found: JoinHandle<Result<Entries, QueueError>>,
}

impl Queue {
    /// Returns the id of the latest event, to be passed to [`Self::events`] for those that come
    /// later.
    pub async fn latest_event(&self) -> Result<String, QueueError> {
        let latest = self.shards.ask(|shard| async move { shard.latest_event().await }).await?;
        let latest = latest.into_iter().map(|id| id.unwrap_or_else(|| "0-0".to_owned()));
        Ok(latest.collect::<Vec<_>>().join(","))
    }

    /// Returns the cursors and contents of the events after this one, those of at most some hundred
    /// entries of each stream. If there are none, waits up to `wait` for the first. A process should
    /// have one reader only: several that wait do so one after the other.
    ///
    /// In a queue with several shards, a cursor has a place in each of them, and only the events of
    /// one gateway are in order.
    pub async fn events(
        &self,
        after: &str,
        wait: Duration,
    ) -> Result<Vec<(String, Value)>, QueueError> {
        let unknown = || QueueError::EntryId { id: after.to_owned() };
        let shards = self.shards.all();
        let mut places: Vec<String> = after.split(',').map(str::to_owned).collect();
        if places.len() == 1 {
            places = vec![after.to_owned(); shards.len()];
        }
        // The entries to read, and the events of the first ones that come before the place.
        let resumed: Option<Vec<_>> = places.iter().map(|place| event::resume(place)).collect();
        let (ids, told): (Vec<_>, Vec<_>) = resumed.ok_or_else(unknown)?.into_iter().unzip();
        if places.len() != shards.len() {
            return Err(unknown());
        }
        self.shards.check(false).await?;
        let found = if shards.len() == 1 || wait.is_zero() {
            let reads = shards.iter().zip(&ids);
            try_join_all(reads.map(|(shard, id)| shard.events(id, wait, MAX_EVENTS))).await?
        } else {
            self.follow(&ids, wait).await?
        };
        let mut events = Vec::new();
        for (shard, (entries, told)) in found.into_iter().zip(told).enumerate() {
            let read = |(id, fields): (String, Fields)| Some((fields.json("event")?, id));
            let mut of_shard: Vec<_> = entries
                .into_iter()
                .filter_map(read)
                .flat_map(|(entry, id)| event::expand(&id, entry))
                .collect();
            // The entry may have been removed meanwhile.
            let entry_of = |cursor: &str| cursor.split('/').next().map(str::to_owned);
            if of_shard
                .first()
                .is_some_and(|(first, _)| entry_of(first) == entry_of(&places[shard]))
            {
                of_shard.drain(..told.min(of_shard.len()));
            }
            events.extend(of_shard.into_iter().map(|event| (shard, event)));
        }
        let time = |id: &str| id.split('-').next().and_then(|time| time.parse::<u64>().ok());
        events.sort_by_key(|(_, (cursor, _))| time(cursor));
        let place = |(shard, (cursor, event)): (usize, (String, Value))| {
            places[shard] = cursor;
            (places.join(","), event)
        };
        Ok(events.into_iter().map(place).collect())
    }

    /// Waits until a shard has events behind these places. Returns those of each shard.
    async fn follow(&self, places: &[String], wait: Duration) -> Result<Vec<Entries>, QueueError> {
        let until = Instant::now() + wait;
        let mut reads = self.following.0.lock().await;
        reads.resize_with(places.len(), || None);
        let mut found: Vec<Entries> = places.iter().map(|_| Entries::new()).collect();
        while found.iter().all(Vec::is_empty) {
            for ((read, after), shard) in reads.iter_mut().zip(places).zip(self.shards.all()) {
                if read.as_ref().is_none_or(|read| read.after != *after) {
                    let (shard, place) = (shard.clone(), after.clone());
                    let left = until.saturating_duration_since(Instant::now());
                    let left = left.max(Duration::from_millis(1));
                    let found =
                        tokio::spawn(async move { shard.events(&place, left, MAX_EVENTS).await });
                    *read = Some(Read { after: after.clone(), found });
                }
            }
            let waiting = reads.iter_mut().flatten().map(|read| &mut read.found);
            let Ok((first, index, _)) = timeout_at(until, select_all(waiting)).await else { break };
            reads[index] = None;
            found[index] = joined(first)?;
            for (read, found) in reads.iter_mut().zip(&mut found) {
                if read.as_ref().is_some_and(|read| read.found.is_finished())
                    && let Some(read) = read.take()
                {
                    *found = joined(read.found.await)?;
                }
            }
            if Instant::now() >= until {
                break;
            }
        }
        Ok(found)
    }
}

/// Returns what a read has found. It ends without an answer only together with the process.
fn joined(
    found: Result<Result<Entries, QueueError>, tokio::task::JoinError>,
) -> Result<Entries, QueueError> {
    found.unwrap_or_else(|_| Ok(Entries::new()))
}
