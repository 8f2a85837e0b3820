//! A job as a line of a list, and what it is called.

use mission_jobs::{JobRecord, State};
use serde_json::Value;
use uuid::Uuid;

use super::html::{Prose, When};
use mission_jobs::queue::views::explain;

/// A gateway that is linked to.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// What it is called, or the beginning of its id.
    pub name: String,
}

/// A job in a list.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its id.
    pub id: Uuid,
    /// Where it is.
    pub state: State,
    /// Its kind.
    pub kind: String,
    /// Whom it is about.
    pub about: String,
    /// Its gateway, unless what is stored is not one.
    pub gateway: Option<Place>,
    /// Where it stands.
    pub sentence: Prose,
    /// Attempts used, of how many.
    pub attempts: String,
    /// When it is due, ended, or began to run.
    pub since: When,
}

impl Line {
    /// The line of a job.
    #[must_use]
    pub fn of(job: &JobRecord, now_ms: u64) -> Self {
        let at_ms = match job.state {
            state if state.is_terminal() => job.finished_at_ms,
            State::Running => job.started_at_ms,
            state if state.is_waiting() => job.next_at_ms,
            _ => None,
        };
        Self {
            id: job.id,
            state: job.state,
            kind: job.kind.clone(),
            about: about(job),
            gateway: place(job),
            sentence: Prose(explain::brief(job)),
            attempts: format!("{}/{}", job.attempts, job.max_attempts),
            since: When { at_ms: at_ms.unwrap_or(job.enqueued_at_ms), now_ms },
        }
    }
}

/// A name of the job's document; none if it has none, or where the document is not at hand.
fn named<'a>(job: &'a JobRecord, pointer: &str) -> Option<&'a str> {
    let name = job.document.as_ref()?.pointer(pointer)?.as_str()?;
    (!name.is_empty()).then_some(name)
}

/// The job's gateway.
#[must_use]
pub fn place(job: &JobRecord) -> Option<Place> {
    job.lane.parse::<Uuid>().ok()?;
    let name = job.names.gateway.as_deref().or_else(|| named(job, "/gateway/name"));
    Some(Place { id: job.lane.clone(), name: name.map_or_else(|| short(&job.lane), str::to_owned) })
}

/// Whom the job is about: its agent, or how many agents.
#[must_use]
pub fn about(job: &JobRecord) -> String {
    if let Some(name) = job.names.agent.as_deref().or_else(|| named(job, "/agent/name")) {
        return name.to_owned();
    }
    let agents =
        job.document.as_ref().and_then(|document| document.get("agents")).and_then(Value::as_array);
    match (agents.map(Vec::len), job.subject.split_once('/')) {
        (Some(1), _) => "1 agent".to_owned(),
        (Some(count), _) => format!("{count} agents"),
        (None, Some((_, "heartbeats"))) => "heartbeats".to_owned(),
        (None, Some((_, agent))) => format!("agent {}", short(agent)),
        (None, None) => short(&job.subject),
    }
}

/// What the job is called in a heading.
#[must_use]
pub fn title(job: &JobRecord) -> String {
    let about = about(job);
    let on = place(job).map_or_else(String::new, |place| format!(" on {}", place.name));
    let board = job.names.board.as_deref().or_else(|| named(job, "/board/name"));
    let board = board.map_or_else(String::new, |board| format!(" for the board {board}"));
    let update =
        job.document.as_ref().and_then(|document| document.pointer("/options/action")?.as_str())
            == Some("update");
    match (job.kind.as_str(), update) {
        ("provision", false) => format!("Provision {about}{board}{on}"),
        ("provision", true) => format!("Update {about}{board}{on}"),
        ("provision-main", _) => format!("Provision the main agent {about}{on}"),
        ("cleanup", _) => format!("Remove {about}{on}"),
        ("heartbeat-sync", _) => format!("Set heartbeats of {about}{on}"),
        (kind, _) => format!("{kind}: {about}{on}"),
    }
}

/// The beginning of an id, by which people tell ids apart.
#[must_use]
pub fn short(id: &str) -> String {
    id.chars().take(8).collect()
}
