//! What happens, told as it happens: one reader of the queue's events for all who listen to this process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mission_jobs::Queue;
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

/// Those who listen.
pub struct Live {
    sender: broadcast::Sender<Arc<Event>>,
    /// The latest events, oldest first. Locked while one is sent, so that who joins misses none and gets none twice.
    latest: Mutex<VecDeque<Arc<Event>>>,
    joined: Notify,
}

/// What somebody hears who has joined.
pub struct Heard {
    /// What happened since the event that they knew last; none if that is not known any more.
    pub missed: Option<Vec<Arc<Event>>>,
    /// What happens from now on.
    pub next: broadcast::Receiver<Arc<Event>>,
}

impl Live {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(KEPT), latest: Mutex::default(), joined: Notify::new() }
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Listens from now on, and hears what happened since that event.
    pub fn join(&self, since: Option<&str>) -> Heard {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = since.and_then(|since| latest.iter().position(|event| event.id == since));
        let heard = Heard {
            missed: known.map(|known| latest.iter().skip(known + 1).cloned().collect()),
            next: self.sender.subscribe(),
        };
        self.joined.notify_one();
        heard
    }

    /// Reads the queue's events while somebody listens, for ever.
    pub async fn read(&self, queue: &Queue) {
        let mut after = None;
        loop {
            if self.listeners() == 0 {
                after = None;
                self.latest.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.joined.notified().await;
                continue;
            }
            if let Err(error) = self.read_more(queue, &mut after).await {
                tracing::debug!(%error, "events cannot be read");
                sleep(AFTER_ERROR).await;
            }
        }
    }

    async fn read_more(&self, queue: &Queue, after: &mut Option<String>) -> Result<(), mission_jobs::QueueError> {
        let last = match after {
            Some(last) => last,
            none => none.insert(queue.latest_event().await?),
        };
        for (id, value) in queue.events(last, WAIT).await? {
            last.clone_from(&id);
            self.tell(Event { id, value });
        }
        Ok(())
    }

    fn tell(&self, event: Event) {
        let event = Arc::new(event);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() >= KEPT {
            latest.pop_front();
        }
        latest.push_back(event.clone());
        // Nobody may be there any more.
        let _ = self.sender.send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(live: &Live, id: usize) {
        live.tell(Event { id: id.to_string(), value: Value::Null });
    }

    #[test]
    fn who_comes_back_hears_what_was_missed_and_then_what_comes() {
        let live = Live::new();
        (0..3).for_each(|id| tell(&live, id));
        let mut heard = live.join(Some("0"));
        tell(&live, 3);
        let missed: Vec<_> = heard.missed.iter().flatten().map(|event| event.id.as_str()).collect();
        assert_eq!(missed, ["1", "2"]);
        assert_eq!(heard.next.try_recv().ok().map(|event| event.id.clone()).as_deref(), Some("3"));
        assert_eq!(live.listeners(), 1);
    }

    #[test]
    fn who_was_away_too_long_learns_of_it() {
        let live = Live::new();
        (0..=KEPT).for_each(|id| tell(&live, id));
        assert!(live.join(Some("0")).missed.is_none());
        assert!(live.join(None).missed.is_none());
        assert!(live.join(Some("1")).missed.is_some());
    }
}
