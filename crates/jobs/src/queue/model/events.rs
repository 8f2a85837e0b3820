//! Events as text, into which both sides can be turned.

use std::fmt::Write;

use serde_json::Value;

use crate::queue::State;

/// A transition of a job, as the stream of events reports it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) gateway: String,
    pub(super) subject: String,
    pub(super) from: Option<String>,
    pub(super) to: String,
    pub(super) at_ms: u64,
    pub(super) run: u32,
    pub(super) attempts: u32,
    pub(super) worker: Option<String>,
    pub(super) next_at_ms: Option<u64>,
    pub(super) reason: Option<String>,
    /// The code of the failure.
    pub(super) failure: Option<String>,
    pub(super) superseded_by: Option<String>,
    pub(super) by: Option<String>,
}

impl Event {
    pub(super) fn text(&self) -> String {
        let Self { kind, gateway, subject, to, at_ms, run, attempts, .. } = self;
        let from = self.from.as_deref().unwrap_or("new");
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

/// Reads an event of the stream: the job's id (or nothing), and the rest as text.
pub(super) fn read(json: &str) -> Result<(String, String), String> {
    let event: Value = serde_json::from_str(json).map_err(|error| format!("{error}: {json}"))?;
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| event.get(name).and_then(Value::as_f64);
    let must = |name: &str| text(name).ok_or_else(|| format!("no {name}: {json}"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times and counts")]
    let must_count =
        |name: &str| number(name).map(|n| n as u64).ok_or_else(|| format!("no {name}: {json}"));
    if number("v") != Some(1.0) {
        return Err(format!("not version 1: {json}"));
    }
    let at_ms = must_count("at_ms")?;
    let what = must("event")?;
    if what != "job" {
        return Ok((
            String::new(),
            pause_text(&what, at_ms, &must("scope")?, &must("by")?, &must("reason")?),
        ));
    }
    let (from, to) = (text("from"), must("to")?);
    let known =
        |name: &str| State::from_name(name).ok_or_else(|| format!("no state {name}: {json}"));
    let allowed = from.as_deref().map(known).transpose()?.map_or(&State::BIRTH[..], State::next);
    if !allowed.contains(&known(&to)?) {
        return Err(format!("not a transition of the table: {json}"));
    }
    let small = |name: &str| {
        must_count(name).and_then(|n| u32::try_from(n).map_err(|error| error.to_string()))
    };
    let event = Event {
        kind: must("kind")?,
        gateway: must("gateway")?,
        subject: must("subject")?,
        from,
        to,
        at_ms,
        run: small("run")?,
        attempts: small("attempts")?,
        worker: text("worker"),
        next_at_ms: must_count("next_at_ms").ok(),
        reason: text("reason"),
        failure: event.pointer("/failure/code").and_then(Value::as_str).map(str::to_owned),
        superseded_by: text("superseded_by"),
        by: text("by"),
    };
    Ok((must("id")?, event.text()))
}
