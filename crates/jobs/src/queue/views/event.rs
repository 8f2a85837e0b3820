//! The content of an event of the queue, as far as this version knows it.

use mission_core::Failure;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// A change of a job's state, or a pause or its end. Events are passed on as they are, because a
/// newer worker may add members; this type is for reading them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct QueueEvent {
    /// The kind of event: `job`, `paused`, `resumed`, or one of a newer worker.
    pub event: String,
    /// The time of the event, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// The job's id.
    pub id: Option<String>,
    /// The job's kind.
    pub kind: Option<String>,
    /// The gateway's id.
    pub gateway: Option<String>,
    /// The state that the job left; `None` when it was enqueued.
    pub from: Option<String>,
    /// The state that the job is in.
    pub to: Option<String>,
    /// The person or program that caused it.
    pub by: Option<String>,
    /// The reason why the job is dead, or of the pause.
    pub reason: Option<String>,
    /// The scope that was paused or resumed.
    pub scope: Option<String>,
    /// The failure that caused it.
    pub failure: Option<Failure>,
}

/// The jobs that went from one state to another in the same call, as an entry of the stream has
/// them.
#[derive(Deserialize)]
struct Together {
    at_ms: u64,
    from: Option<String>,
    to: String,
    worker: Option<String>,
    jobs: Vec<Told>,
}

/// The values that an entry has of a job: id, kind, subject, number of runs, and number of runs that counted.
type Told = (String, String, String, u32, u32);

/// Returns the events of an entry of the stream, each with its cursor. That of the last one is the
/// id of the entry; the others have `/` and their place after it, from 0.
pub(crate) fn expand(id: &str, entry: Value) -> Vec<(String, Value)> {
    if entry["event"] != "jobs" {
        return vec![(id.to_owned(), entry)];
    }
    let Ok(Together { at_ms, from, to, worker, jobs }) = Together::deserialize(&entry) else {
        return Vec::new();
    };
    let last = jobs.len().saturating_sub(1);
    let event = |(place, (job, kind, subject, run, attempts)): (usize, Told)| {
        let cursor = if place == last { id.to_owned() } else { format!("{id}/{place}") };
        let gateway = subject.split('/').next();
        let mut event = json!({
            "v": 1, "event": "job", "at_ms": at_ms, "id": job, "kind": kind,
            "gateway": gateway, "subject": subject, "from": from, "to": to,
            "run": run, "attempts": attempts,
        });
        if let Some(worker) = &worker {
            event["worker"] = json!(worker);
        }
        (cursor, event)
    };
    jobs.into_iter().enumerate().map(event).collect()
}

/// Splits the cursor of an event into the id after which its entry is read again, and the number of
/// events that come before the next one there. Returns none if it is no cursor.
pub(crate) fn resume(cursor: &str) -> Option<(String, usize)> {
    let (id, place) = cursor.split_once('/').map_or((cursor, None), |(id, at)| (id, Some(at)));
    let number = |text: &str| {
        text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    let (time, count) = id.split_once('-').unwrap_or((id, "0"));
    let (time, count) = (number(time)?, number(count)?);
    let Some(place) = place else { return Some((id.to_owned(), 0)) };
    let before = match count.checked_sub(1) {
        Some(count) => format!("{time}-{count}"),
        None => format!("{}-{}", time.checked_sub(1)?, u64::MAX),
    };
    Some((before, usize::try_from(number(place)?).ok()?.checked_add(1)?))
}

impl QueueEvent {
    /// Reads an event; one that cannot be read is empty.
    #[must_use]
    pub fn of(json: &Value) -> Self {
        Self::deserialize(json).unwrap_or_default()
    }

    /// Returns the job's id, if the event is about a job.
    #[must_use]
    pub fn job(&self) -> Option<Uuid> {
        self.id.as_deref()?.parse().ok()
    }

    /// Returns the gateway's id, if the event is about a job of a gateway.
    #[must_use]
    pub fn gateway(&self) -> Option<Uuid> {
        self.gateway.as_deref()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_an_event_for_each_job() {
        let entry = json!({
            "v": 2, "event": "jobs", "at_ms": 5, "from": "ready", "to": "running", "worker": "w",
            "jobs": [["a", "cleanup", "g/x", 1, 1], ["b", "provision", "g/y", 1, 1]],
        });
        let events = expand("7-0", entry);
        let cursors: Vec<&str> = events.iter().map(|(cursor, _)| &**cursor).collect();
        assert_eq!(cursors, ["7-0/0", "7-0"]);
        assert_eq!(
            events[1].1,
            json!({
                "v": 1, "event": "job", "at_ms": 5, "id": "b", "kind": "provision", "gateway": "g",
                "subject": "g/y", "from": "ready", "to": "running", "run": 1, "attempts": 1,
                "worker": "w",
            })
        );
        let other = json!({"v": 1, "event": "paused"});
        assert_eq!(expand("8-0", other.clone()), [("8-0".to_owned(), other)]);
    }

    #[test]
    fn reading_goes_on_after_any_event_of_an_entry() {
        let of = |cursor| resume(cursor).map(|(id, skipped)| format!("{id} {skipped}"));
        assert_eq!(of("0").as_deref(), Some("0 0"));
        assert_eq!(of("7-3").as_deref(), Some("7-3 0"));
        assert_eq!(of("7-3/0").as_deref(), Some("7-2 1"));
        assert_eq!(of("7-0/4").as_deref(), Some("6-18446744073709551615 5"));
        for wrong in ["", "x", "7-", "7-0/", "7-0/x", "-1", "7-0-1", "0-0/0"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
