//! The content of the screen, and the selection on it.

use std::collections::VecDeque;

use mission_jobs::queue::{GatewayRecord, QueueEvent, Summary};
use mission_jobs::{JobRecord, PauseScope};
use serde_json::Value;
use uuid::Uuid;

use mission_core::humanize::utc;
use mission_http::api::series::KindStatus;

/// Number of events kept.
const EVENTS: usize = 50;

/// A snapshot of the queue.
pub struct Seen {
    /// The counts by state, the pauses and the workers.
    pub summary: Summary,
    /// Live and dead jobs; those that need action come first.
    pub jobs: Vec<JobRecord>,
    /// The gateways with the most recent jobs.
    pub gateways: Vec<GatewayRecord>,
    /// The figures of each kind of job for the last hour.
    pub kinds: Vec<KindStatus>,
}

/// Holds the content of the screen.
#[derive(Default)]
pub struct View {
    /// The latest snapshot; none before the first one.
    pub seen: Option<Seen>,
    /// The error of the latest refresh, if it failed.
    pub trouble: Option<String>,
    /// The result of the latest action.
    pub said: Option<String>,
    /// The job whose details are shown.
    pub details: Option<Box<JobRecord>>,
    /// The latest events, newest first.
    pub events: VecDeque<String>,
    /// The selected job.
    chosen: Option<Uuid>,
    /// The position of that job, which stays selected when the job leaves the list.
    place: usize,
}

impl View {
    /// Stores a snapshot, or the error of a failed refresh. The selection follows the selected job.
    pub fn take(&mut self, seen: Result<Seen, String>) {
        match seen {
            Ok(seen) => {
                self.trouble = None;
                if let Some(place) =
                    self.chosen.and_then(|id| seen.jobs.iter().position(|job| job.id == id))
                {
                    self.place = place;
                }
                self.place = self.place.min(seen.jobs.len().saturating_sub(1));
                self.chosen = seen.jobs.get(self.place).map(|job| job.id);
                self.seen = Some(seen);
            }
            Err(error) => self.trouble = Some(error),
        }
    }

    /// Adds an event to the list.
    pub fn note(&mut self, event: &Value) {
        let event = QueueEvent::of(event);
        let job = event.job().and_then(|id| self.jobs().iter().find(|job| job.id == id));
        if let Some(line) = in_words(&event, job) {
            self.events.push_front(line);
            self.events.truncate(EVENTS);
        }
    }

    /// Returns the listed jobs.
    pub fn jobs(&self) -> &[JobRecord] {
        self.seen.as_ref().map_or(&[], |seen| &seen.jobs)
    }

    /// Returns the position of the selected job in the list.
    pub const fn place(&self) -> usize {
        self.place
    }

    /// Returns the selected job, if any.
    pub fn chosen(&self) -> Option<&JobRecord> {
        self.jobs().get(self.place)
    }

    /// Returns the job whose details are shown, or else the selected job.
    pub fn target(&self) -> Option<Uuid> {
        self.details.as_ref().map(|job| job.id).or(self.chosen)
    }

    /// Moves the selection down by this many places, or up if negative.
    pub fn move_by(&mut self, places: isize) {
        let last = self.jobs().len().saturating_sub(1);
        self.place = self.place.saturating_add_signed(places).min(last);
        self.chosen = self.chosen().map(|job| job.id);
    }

    /// Returns whether all jobs are paused.
    pub fn all_paused(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| {
            seen.summary.paused.iter().any(|pause| pause.scope == PauseScope::All)
        })
    }
}

/// Describes an event in one line; `None` if a field is missing. A listed job is shown by its
/// agent, any other by the end of its id, because the ids of one day begin alike.
fn in_words(event: &QueueEvent, job: Option<&JobRecord>) -> Option<String> {
    let at = utc(event.at_ms, "%H:%M:%S");
    let by = event.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    if event.event.is_empty() {
        return None;
    }
    if event.event != "job" {
        let scope = event.scope.as_deref().unwrap_or_default();
        return Some(format!("{at}  {} {scope}{by}", event.event));
    }
    let why = event.failure.as_ref().map(|failure| &failure.message).or(event.reason.as_ref());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let agent = job.and_then(|job| job.names.agent.as_deref());
    let who = agent.or_else(|| event.id.as_deref()?.get(24..))?;
    let from = event.from.as_deref().unwrap_or("new");
    let (kind, to) = (event.kind.as_deref()?, event.to.as_deref()?);
    Some(format!("{at}  {who} {kind}  {from} → {to}{by}{why}"))
}
