//! What is on the screen, and what is chosen on it.

use std::collections::VecDeque;

use mission_jobs::queue::{GatewayRecord, Summary};
use mission_jobs::{JobRecord, Scope};
use serde_json::Value;
use uuid::Uuid;

use crate::http::api::series::KindStatus;
use crate::humanize::utc;

/// Events kept.
const EVENTS: usize = 50;

/// What the queue showed.
pub struct Seen {
    /// ApiTarget a glance.
    pub summary: Summary,
    /// Live and dead jobs, those first that need somebody.
    pub jobs: Vec<JobRecord>,
    /// Gateways that jobs came for latest.
    pub gateways: Vec<GatewayRecord>,
    /// How each kind of job fares.
    pub kinds: Vec<KindStatus>,
}

/// The screen's content.
#[derive(Default)]
pub struct View {
    /// What was seen last; none at first.
    pub seen: Option<Seen>,
    /// Why it could not be looked at anew.
    pub trouble: Option<String>,
    /// What came of the last action.
    pub said: Option<String>,
    /// The job that is shown as a whole.
    pub details: Option<Box<JobRecord>>,
    /// What happened, newest first.
    pub events: VecDeque<String>,
    /// The chosen job.
    chosen: Option<Uuid>,
    /// Its place, which stays chosen when that job leaves the list.
    place: usize,
}

impl View {
    /// Takes in what was seen, or why nothing was. The chosen job stays so wherever it is now.
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

    /// Takes in an event.
    pub fn note(&mut self, event: &Value) {
        let id = event.get("id").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
        let job = id.and_then(|id| self.jobs().iter().find(|job| job.id == id));
        if let Some(line) = in_words(event, job) {
            self.events.push_front(line);
            self.events.truncate(EVENTS);
        }
    }

    /// The jobs that are listed.
    pub fn jobs(&self) -> &[JobRecord] {
        self.seen.as_ref().map_or(&[], |seen| &seen.jobs)
    }

    /// The chosen job's place in the list.
    pub const fn place(&self) -> usize {
        self.place
    }

    /// The chosen job.
    pub fn chosen(&self) -> Option<&JobRecord> {
        self.jobs().get(self.place)
    }

    /// The job that is shown as a whole, or is chosen.
    pub fn target(&self) -> Option<Uuid> {
        self.details.as_ref().map(|job| job.id).or(self.chosen)
    }

    /// Chooses another job, that many places further.
    pub fn move_by(&mut self, places: isize) {
        let last = self.jobs().len().saturating_sub(1);
        self.place = self.place.saturating_add_signed(places).min(last);
        self.chosen = self.chosen().map(|job| job.id);
    }

    /// Whether everything is paused.
    pub fn all_paused(&self) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| seen.summary.paused.iter().any(|pause| pause.scope == Scope::All))
    }
}

/// An event on a line; none if it says nothing that can be read. A job that is listed goes by its
/// agent, another by the end of its id: those of a day begin alike.
fn in_words(event: &Value, job: Option<&JobRecord>) -> Option<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let at = utc(event.get("at_ms")?.as_u64()?, "%H:%M:%S");
    let by = text("by").map_or_else(String::new, |by| format!(" by {by}"));
    if text("event")? != "job" {
        let scope = text("scope").unwrap_or_default();
        return Some(format!("{at}  {} {scope}{by}", text("event")?));
    }
    let why = event.get("failure").and_then(|failure| failure.get("message")?.as_str());
    let why = why.or_else(|| text("reason")).map_or_else(String::new, |why| format!(": {why}"));
    let agent = job.and_then(|job| job.names.agent.as_deref());
    let who = agent.or_else(|| text("id")?.get(24..))?;
    let from = text("from").unwrap_or("new");
    Some(format!("{at}  {who} {}  {from} → {}{by}{why}", text("kind")?, text("to")?))
}
