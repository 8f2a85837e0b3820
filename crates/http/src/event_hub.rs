//! The events of the queue as they happen. One task reads them from Redis for all subscribers of
//! this process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mission_jobs::{Queue, QueueError};
use serde_json::Value;
use tokio::sync::{Notify, broadcast};
use tokio::time::sleep;

/// The number of events that are kept for subscribers who come back, and the most that a subscriber
/// may lag behind.
const KEPT: usize = 1024;
/// The time that one read waits for an event.
const WAIT: Duration = Duration::from_secs(10);
/// The pause after a failed read.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// An event of the queue.
#[derive(Debug)]
pub(crate) struct Event {
    /// The id in the stream.
    pub id: String,
    /// The content as JSON.
    pub value: Value,
}

/// An event, or none in place of lost events: then the subscriber must read the queue again.
pub(crate) type EventOrGap = Option<Arc<Event>>;

/// The subscribers and the latest events.
pub(crate) struct EventHub {
    sender: broadcast::Sender<EventOrGap>,
    /// The latest events, oldest first, or none while nobody reads the stream. The lock is held
    /// while an event is sent, so that a new subscriber neither misses an event nor gets one twice.
    latest: Mutex<Option<VecDeque<Arc<Event>>>>,
    joined: Notify,
}

/// The events for one subscriber.
pub(crate) struct Subscription {
    /// The events since the last one that the subscriber knows.
    pub missed: VecDeque<EventOrGap>,
    /// The events from now on.
    pub next: broadcast::Receiver<EventOrGap>,
}

impl EventHub {
    /// Makes a hub without subscribers.
    pub(crate) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(KEPT),
            latest: Mutex::default(),
            joined: Notify::new(),
        }
    }

    /// Returns the number of subscribers.
    pub(crate) fn subscribers(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Subscribes, beginning after the event `since` if it is still known.
    pub(crate) fn subscribe(&self, since: Option<&str>) -> Subscription {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = match &*latest {
            // The reader sends a gap to all subscribers when it begins.
            None => VecDeque::new(),
            Some(latest) => {
                match since.and_then(|since| latest.iter().position(|event| event.id == since)) {
                    Some(known) => latest.iter().skip(known + 1).cloned().map(Some).collect(),
                    None => VecDeque::from([None]),
                }
            }
        };
        self.joined.notify_one();
        Subscription { missed, next: self.sender.subscribe() }
    }

    /// Reads events from Redis while there are subscribers. Never returns.
    pub(crate) async fn read(&self, queue: &Queue) {
        loop {
            if self.subscribers() == 0 {
                self.joined.notified().await;
                continue;
            }
            if let Err(error) = self.read_while_subscribed(queue).await {
                tracing::debug!(%error, "reading events failed");
                sleep(AFTER_ERROR).await;
            }
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    async fn read_while_subscribed(&self, queue: &Queue) -> Result<(), QueueError> {
        let mut last = queue.latest_event().await?;
        self.begin();
        while self.subscribers() > 0 {
            for (id, value) in queue.events(&last, WAIT).await? {
                last.clone_from(&id);
                self.send(Event { id, value });
            }
        }
        Ok(())
    }

    /// Begins to keep events, and tells all subscribers that earlier ones may be lost.
    fn begin(&self) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some(VecDeque::new());
        // All subscribers may be gone.
        let _ = self.sender.send(None);
    }

    fn send(&self, event: Event) {
        let event = Arc::new(event);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(latest) = &mut *latest else { return };
        if latest.len() >= KEPT {
            latest.pop_front();
        }
        latest.push_back(event.clone());
        let _ = self.sender.send(Some(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(live: &EventHub, id: usize) {
        live.send(Event { id: id.to_string(), value: Value::Null });
    }

    /// Returns the ids that were missed, with "?" for a gap.
    fn missed(heard: &Subscription) -> Vec<&str> {
        heard.missed.iter().map(|news| news.as_ref().map_or("?", |event| &event.id)).collect()
    }

    #[test]
    fn a_subscriber_who_comes_back_gets_the_missed_events_first() {
        let live = EventHub::new();
        live.begin();
        (0..3).for_each(|id| tell(&live, id));
        let mut heard = live.subscribe(Some("0"));
        tell(&live, 3);
        assert_eq!(missed(&heard), ["1", "2"]);
        assert_eq!(
            heard.next.try_recv().ok().flatten().map(|event| event.id.clone()).as_deref(),
            Some("3")
        );
        assert_eq!(live.subscribers(), 1);
    }

    #[test]
    fn a_subscriber_who_was_away_too_long_gets_a_gap() {
        let live = EventHub::new();
        live.begin();
        (0..=KEPT).for_each(|id| tell(&live, id));
        assert_eq!(missed(&live.subscribe(Some("0"))), ["?"]);
        assert_eq!(missed(&live.subscribe(None)), ["?"]);
        assert_eq!(missed(&live.subscribe(Some("1"))).len(), KEPT - 1);
    }

    #[test]
    fn a_subscriber_before_the_first_read_gets_a_gap_when_it_begins() {
        let live = EventHub::new();
        let mut heard = live.subscribe(Some("0"));
        assert_eq!(missed(&heard), [""; 0]);
        live.begin();
        assert!(matches!(heard.next.try_recv(), Ok(None)));
    }
}
