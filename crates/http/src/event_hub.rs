//! What happens, told as it happens: one reader of the queue's events for all who listen to this
//! process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mission_jobs::{Queue, QueueError};
use serde_json::Value;
use tokio::sync::{Notify, broadcast};
use tokio::time::sleep;

/// How many events are kept for those who come back; also how far somebody may lag behind.
const KEPT: usize = 1024;
/// How long one question to Redis waits.
const WAIT: Duration = Duration::from_secs(10);
/// Pause when Redis is away.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// An event of the queue.
#[derive(Debug)]
pub struct Event {
    /// Its place in the stream.
    pub id: String,
    /// What it says.
    pub value: Value,
}

/// An event, or none where some were not heard: then whoever shows something reads it anew.
pub type News = Option<Arc<Event>>;

/// Those who listen.
pub struct Live {
    sender: broadcast::Sender<News>,
    /// The latest events, oldest first; none while the stream is not being read.
    /// Locked while one is sent, so that who joins misses none and gets none twice.
    latest: Mutex<Option<VecDeque<Arc<Event>>>>,
    joined: Notify,
}

/// What somebody hears who has joined.
pub struct Subscription {
    /// What happened since the event that they knew last.
    pub missed: VecDeque<News>,
    /// What happens from now on.
    pub next: broadcast::Receiver<News>,
}

impl Live {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(KEPT),
            latest: Mutex::default(),
            joined: Notify::new(),
        }
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Listens from now on, and hears what happened since that event.
    pub fn join(&self, since: Option<&str>) -> Subscription {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = match &*latest {
            // Whoever begins to read tells all that they know nothing.
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

    /// Reads the queue's events while somebody listens, for ever.
    pub async fn read(&self, queue: &Queue) {
        loop {
            if self.listeners() == 0 {
                self.joined.notified().await;
                continue;
            }
            if let Err(error) = self.read_while_heard(queue).await {
                tracing::debug!(%error, "events cannot be read");
                sleep(AFTER_ERROR).await;
            }
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    async fn read_while_heard(&self, queue: &Queue) -> Result<(), QueueError> {
        let mut last = queue.latest_event().await?;
        self.begin();
        while self.listeners() > 0 {
            for (id, value) in queue.events(&last, WAIT).await? {
                last.clone_from(&id);
                self.tell(Event { id, value });
            }
        }
        Ok(())
    }

    /// From here on every event is heard; what was before is not known.
    fn begin(&self) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some(VecDeque::new());
        // Nobody may be there any more.
        let _ = self.sender.send(None);
    }

    fn tell(&self, event: Event) {
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

    fn tell(live: &Live, id: usize) {
        live.tell(Event { id: id.to_string(), value: Value::Null });
    }

    /// The ids that were missed, "?" where it is not known.
    fn missed(heard: &Subscription) -> Vec<&str> {
        heard.missed.iter().map(|news| news.as_ref().map_or("?", |event| &event.id)).collect()
    }

    #[test]
    fn who_comes_back_hears_what_was_missed_and_then_what_comes() {
        let live = Live::new();
        live.begin();
        (0..3).for_each(|id| tell(&live, id));
        let mut heard = live.join(Some("0"));
        tell(&live, 3);
        assert_eq!(missed(&heard), ["1", "2"]);
        assert_eq!(
            heard.next.try_recv().ok().flatten().map(|event| event.id.clone()).as_deref(),
            Some("3")
        );
        assert_eq!(live.listeners(), 1);
    }

    #[test]
    fn who_was_away_too_long_learns_of_it() {
        let live = Live::new();
        live.begin();
        (0..=KEPT).for_each(|id| tell(&live, id));
        assert_eq!(missed(&live.join(Some("0"))), ["?"]);
        assert_eq!(missed(&live.join(None)), ["?"]);
        assert_eq!(missed(&live.join(Some("1"))).len(), KEPT - 1);
    }

    #[test]
    fn who_comes_before_the_stream_is_read_learns_when_it_is() {
        let live = Live::new();
        let mut heard = live.join(Some("0"));
        assert_eq!(missed(&heard), [""; 0]);
        live.begin();
        assert!(matches!(heard.next.try_recv(), Ok(None)));
    }
}
