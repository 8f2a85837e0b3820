//! A job of the model, and its form as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use mission_core::Kind;
use uuid::Uuid;

use crate::queue::State;

/// A time in ms by the scripts' clock.
pub(super) type Time = u64;

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: Uuid,
    /// The id as text.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) lane: Uuid,
    pub(super) subject: String,
    pub(super) state: State,
    /// The time when it is due, when its lease ends, or when it reached its state.
    pub(super) at: Time,
    /// The position in the line of its subject.
    pub(super) seq: u64,
    /// The position in its lane.
    pub(super) rank: (u8, u64),
    pub(super) priority: u8,
    pub(super) attempts: u32,
    pub(super) max_attempts: u32,
    pub(super) runs: u32,
    pub(super) lost: u32,
    /// `true` if a run that it shared has failed, so that it shares none any more.
    pub(super) apart: bool,
    pub(super) worker: Option<String>,
    pub(super) token: Option<u64>,
    pub(super) enqueued_at: Time,
    pub(super) started_at: Option<Time>,
    pub(super) finished_at: Option<Time>,
    pub(super) snoozed_since: Option<Time>,
    pub(super) expires_at: Option<Time>,
    pub(super) parts: String,
    pub(super) generation: Option<u64>,
    pub(super) revision: Option<u64>,
    /// The fingerprint of the connection, or empty.
    pub(super) fingerprint: &'static str,
    /// The heartbeats of a heartbeat-sync by agent.
    pub(super) heartbeats: BTreeMap<String, String>,
    pub(super) cancel: Option<String>,
    pub(super) snoozed_by: Option<String>,
    /// The job of its subject that was enqueued before it.
    pub(super) before: Option<Uuid>,
    pub(super) reason: Option<String>,
    pub(super) superseded_by: Option<Uuid>,
    /// The code of the failure.
    pub(super) failure: Option<String>,
    /// The group of failures that it belongs to.
    pub(super) group: Option<String>,
    pub(super) key: Option<String>,
    /// `true` if its gateway blocked it and the gateway's recovery has not freed it yet.
    pub(super) freeable: bool,
    /// `true` if a recovery has freed it since somebody last retried it.
    pub(super) freed: bool,
    /// The failures of the lane when it was claimed.
    pub(super) lane_failures: u32,
    pub(super) timeline: Vec<String>,
    pub(super) history: Vec<String>,
}

impl Job {
    /// Returns whether it stands in the line of its subject: it has been due and has not ended.
    pub(super) fn in_line(&self) -> bool {
        self.state != State::Scheduled && !self.state.is_terminal()
    }

    /// Returns whether it is ready, or waits for a time.
    pub(super) fn waits(&self) -> bool {
        self.state == State::Ready || self.state.is_waiting()
    }

    /// Adds an entry to the timeline, which keeps its last 1200 bytes.
    pub(super) fn enter(&mut self, now: Time) {
        self.timeline.push(format!("{} {now}", self.state));
        if self.timeline.join(";").len() > 1200 {
            self.timeline.remove(0);
        }
    }

    pub(super) fn note(&mut self, now: Time, outcome: &str) {
        let (worker, started) =
            (self.worker.as_deref().unwrap_or_default(), self.started_at.unwrap_or_default());
        self.history.push(format!("{} {worker} {started} {now} {outcome}", self.runs));
        if self.history.len() > 20 {
            self.history.remove(0);
        }
    }

    /// Returns everything visible of it: `name=value`, one per line.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "state={}\nkind={}\nlane={}\nsubject={}\nattempts={}\nmax_attempts={}\nruns={}\n",
            self.state,
            self.kind,
            self.lane,
            self.subject,
            self.attempts,
            self.max_attempts,
            self.runs
        );
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                writeln!(text, "{name}={value}").unwrap();
            }
        };
        let time = |time: Option<Time>| time.map(|time| time.to_string());
        add("lost", (self.lost > 0).then(|| self.lost.to_string()));
        add("enqueued_at", time(Some(self.enqueued_at)));
        add("next_at", time(self.state.is_waiting().then_some(self.at)));
        add("started_at", time(self.started_at));
        add("finished_at", time(self.finished_at));
        add("snoozed_since", time(self.snoozed_since));
        add("worker", self.worker.clone());
        add("reason", self.reason.clone());
        add("superseded_by", self.superseded_by.map(|id| id.to_string()));
        add("priority", Some(self.priority.to_string()));
        add("expires_at", time(self.expires_at));
        add("cancel", self.cancel.clone());
        add("snoozed_by", self.snoozed_by.clone());
        add("before", self.before.map(|id| id.to_string()));
        add("idempotency_key", self.key.clone());
        add("timeline", Some(self.timeline.join(";")));
        add("failure", self.failure.clone());
        add("group", self.group.clone());
        for run in &self.history {
            writeln!(text, "run {run}").unwrap();
        }
        text
    }
}
