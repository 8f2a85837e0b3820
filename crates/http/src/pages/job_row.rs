//! A job as a row of a list, and its title.

use mission_core::humanize::count;
use mission_core::model::Action;
use mission_jobs::{JobRecord, State};
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

/// A link to a gateway.
#[derive(Debug, Clone)]
pub(super) struct GatewayLink {
    pub id: String,
    /// The name, or the beginning of the id.
    pub name: String,
}

/// Returns the time at which the job is due, began to run or ended, as its state has it.
pub(super) fn since_ms(job: &JobRecord) -> u64 {
    let at_ms = match job.state {
        state if state.is_terminal() => job.finished_at_ms,
        State::Running => job.started_at_ms,
        state if state.is_waiting() => job.next_at_ms,
        _ => None,
    };
    at_ms.unwrap_or(job.enqueued_at_ms)
}

/// The parts of a document that say what its job does.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    agents: Option<Vec<IgnoredAny>>,
    options: Option<Options>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    action: Option<Action>,
}

impl Content {
    fn of(job: &JobRecord) -> Self {
        let document = job.document.as_ref();
        document.and_then(|document| Self::deserialize(document).ok()).unwrap_or_default()
    }
}

/// Returns a name that is not empty.
fn named(name: Option<&str>) -> Option<&str> {
    name.filter(|name| !name.is_empty())
}

/// Returns the link to the job's gateway.
pub(super) fn gateway_link(job: &JobRecord) -> Option<GatewayLink> {
    job.lane.parse::<Uuid>().ok()?;
    let name = named(job.names.gateway.as_deref()).map_or_else(|| short(&job.lane), str::to_owned);
    Some(GatewayLink { id: job.lane.clone(), name })
}

/// Returns the agent that the job is about, or the number of agents.
pub(super) fn about(job: &JobRecord) -> String {
    if let Some(name) = named(job.names.agent.as_deref()) {
        return name.to_owned();
    }
    let agents = Content::of(job).agents.map(|agents| agents.len());
    match (agents, job.subject.split_once('/')) {
        (Some(agents), _) => count(agents as u64, "agent"),
        (None, Some((_, "heartbeats"))) => "heartbeats".to_owned(),
        (None, Some((_, agent))) => format!("agent {}", short(agent)),
        (None, None) => short(&job.subject),
    }
}

/// Returns the title of the job.
pub(super) fn title(job: &JobRecord) -> String {
    let about = about(job);
    let on = gateway_link(job).map_or_else(String::new, |link| format!(" on {}", link.name));
    let board = named(job.names.board.as_deref());
    let board = board.map_or_else(String::new, |board| format!(" for the board {board}"));
    let action = Content::of(job).options.and_then(|options| options.action);
    let update = action == Some(Action::Update);
    match (job.kind.as_str(), update) {
        ("provision", false) => format!("Provision {about}{board}{on}"),
        ("provision", true) => format!("Update {about}{board}{on}"),
        ("provision-main", _) => format!("Provision the main agent {about}{on}"),
        ("cleanup", _) => format!("Remove {about}{on}"),
        ("heartbeat-sync", _) => format!("Set heartbeats of {about}{on}"),
        (kind, _) => format!("{kind}: {about}{on}"),
    }
}

/// Returns the first eight characters of an id, by which people tell ids apart.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}
