//! Events as text, into which both sides can be turned.

use std::fmt::Write;

use mission_core::Failure;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Checked;
use crate::queue::State;
use crate::queue::views::event::expand;

/// A transition of a job, as the stream of events reports it.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) gateway: String,
    pub(super) subject: String,
    pub(super) from: Option<State>,
    pub(super) to: State,
    pub(super) at_ms: u64,
    pub(super) run: u32,
    pub(super) attempts: u32,
    pub(super) worker: Option<String>,
    pub(super) next_at_ms: Option<u64>,
    pub(super) reason: Option<String>,
    /// The code of the failure.
    #[serde(default, deserialize_with = "code")]
    pub(super) failure: Option<String>,
    pub(super) superseded_by: Option<String>,
    pub(super) by: Option<String>,
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(Failure::deserialize(deserializer)?.code))
}

/// A pause or its end.
#[derive(Debug, Deserialize)]
struct PauseEvent {
    event: String,
    at_ms: u64,
    scope: String,
    by: String,
    reason: String,
}

impl Event {
    pub(super) fn text(&self) -> String {
        let Self { kind, gateway, subject, to, at_ms, run, attempts, .. } = self;
        let from = self.from.map_or("new", State::as_str);
        let mut text = format!(
            "{from} to {to} at {at_ms}: {kind} {gateway} {subject} run {run} attempts {attempts}"
        );
        let next_at = self.next_at_ms.map(|ms| ms.to_string());
        let optional = [
            ("worker", &self.worker),
            ("next", &next_at),
            ("reason", &self.reason),
            ("failure", &self.failure),
            ("superseded by", &self.superseded_by),
            ("by", &self.by),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                write!(text, " {name} {value:?}").unwrap();
            }
        }
        text
    }
}

/// Describes a pause or its end.
pub(super) fn pause_text(event: &str, at_ms: u64, scope: &str, by: &str, reason: &str) -> String {
    format!("{event} {scope} at {at_ms} by {by}: {reason}")
}

/// Reads an entry of the stream: of each of its events the job's id (or nothing), and the rest as
/// text.
pub(super) fn read(json: &str) -> Checked<Vec<(String, String)>> {
    let entry: Value = serde_json::from_str(json)?;
    if entry["v"] != if entry["event"] == "jobs" { 2 } else { 1 } {
        Err(format!("not of this version: {json}"))?;
    }
    expand("", entry).into_iter().map(|(_, event)| read_one(event)).collect()
}

fn read_one(value: Value) -> Checked<(String, String)> {
    let json = value.to_string();
    if value["event"] != "job" {
        let PauseEvent { event, at_ms, scope, by, reason } = serde_json::from_value(value)?;
        return Ok((String::new(), pause_text(&event, at_ms, &scope, &by, &reason)));
    }
    let event = Event::deserialize(&value).map_err(|error| format!("{error}: {json}"))?;
    if !event.from.map_or(&State::BIRTH[..], State::next).contains(&event.to) {
        Err(format!("not a transition of the table: {json}"))?;
    }
    let id = value["id"].as_str().ok_or_else(|| format!("no id: {json}"))?;
    Ok((id.to_owned(), event.text()))
}
