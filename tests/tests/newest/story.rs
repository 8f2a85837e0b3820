//! A history in plain types: what producers sent, and what the API shows of each job.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Provision,
    Cleanup,
    Sync,
}

/// A fault in a document that no retry repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// A template that cannot be rendered.
    Template,
    /// Gateways refuse its heartbeat.
    Heartbeat,
}

/// A document, as far as it concerns one agent.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "a document has independent options")]
pub struct Sent {
    pub job: Uuid,
    pub kind: Kind,
    /// A number that no two documents share. Name, role, token, heartbeat and the verb of the wake
    /// have it in their text.
    pub mark: u32,
    pub generation: Option<u64>,
    /// `true` if it has a token of the agent.
    pub token: bool,
    pub force_bootstrap: bool,
    pub reset: bool,
    pub wake: bool,
    /// `true` if its heartbeat sets `every`, and `model`.
    pub every: bool,
    pub model: bool,
    pub bad: Option<Bad>,
    /// `true` if its job waits before the first run.
    pub delayed: bool,
    pub expires: bool,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} m{:05}", self.kind, self.mark)?;
        if let Some(generation) = self.generation {
            write!(f, " generation {generation}")?;
        }
        let words = [
            ("token", self.token),
            ("bootstrap", self.force_bootstrap),
            ("reset", self.reset),
            ("wake", self.wake),
            ("every", self.every),
            ("model", self.model),
            ("delayed", self.delayed),
            ("expires", self.expires),
        ];
        for (word, _) in words.iter().filter(|(_, is_set)| *is_set) {
            write!(f, " {word}")?;
        }
        self.bad.map_or(Ok(()), |bad| write!(f, " bad {bad:?}"))
    }
}

/// The agents of a history, by gateway and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Agent {
    pub gateway: usize,
    pub number: usize,
}

impl Agent {
    /// Returns its id on the gateway.
    pub fn id(self) -> String {
        format!("unit-{}", self.number)
    }
}

/// Everything that was sent of an agent, in the order in which enqueueing was answered.
#[derive(Debug, Default)]
pub struct Story {
    pub sent: Vec<Sent>,
    /// The jobs that a person asked to cancel.
    pub cancels: Vec<Uuid>,
}

/// A job as the API shows it when everything is quiet.
#[derive(Debug, Clone)]
pub struct Fate {
    pub state: String,
    pub reason: String,
    pub code: String,
    pub superseded_by: Option<Uuid>,
    pub enqueued_at: u64,
    pub started_at: u64,
    pub runs: u64,
    /// The states with the times at which it reached them.
    pub timeline: Vec<(String, u64)>,
}

impl Fate {
    /// Reads the answer of the API.
    pub fn read(job: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let timeline = job["timeline"].as_array().into_iter().flatten();
        Self {
            state: text(&job["state"]),
            reason: text(&job["reason"]),
            code: text(&job["failure"]["code"]),
            superseded_by: job["superseded_by"].as_str().and_then(|id| id.parse().ok()),
            enqueued_at: job["enqueued_at_ms"].as_u64().unwrap_or_default(),
            started_at: job["started_at_ms"].as_u64().unwrap_or_default(),
            runs: job["runs"].as_u64().unwrap_or_default(),
            timeline: timeline
                .map(|entry| (text(&entry["state"]), entry["at_ms"].as_u64().unwrap_or_default()))
                .collect(),
        }
    }

    /// Returns whether it is in a state.
    pub fn is(&self, state: &str) -> bool {
        self.state == state
    }

    /// Returns when it left a state for another one, for the first time.
    pub fn change(&self, from: &str, to: &str) -> Option<u64> {
        let pair = self.timeline.windows(2).find(|pair| pair[0].0 == from && pair[1].0 == to)?;
        Some(pair[1].1)
    }

    /// Returns when it reached the state that it is in.
    pub fn ended_at(&self) -> u64 {
        self.timeline.last().map_or(0, |(_, at)| *at)
    }
}
