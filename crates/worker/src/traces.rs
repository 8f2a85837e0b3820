//! Sends traces to OpenTelemetry: each job from its enqueueing through its runs to each request to
//! its gateway.
//!
//! Traces are sent as OTLP over HTTP, in JSON, if one of the standard variables contains an
//! endpoint. Nothing has to be stored with a job: **the id of its trace is the id of the job**, and
//! the id of its first span, from enqueueing to the first run, is derived from it. Therefore all
//! runs of a job form one trace, whichever workers run it and whoever enqueued it.

mod exporter;

use std::ops::Range;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::events::RunEnded;
pub use exporter::{Exporter, Target};

/// Limit of spans that wait to be sent; further spans are dropped.
const AHEAD: usize = 4096;
/// The kinds of spans in OTLP.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;
const CONSUMER: u8 = 5;

static SENDER: OnceLock<mpsc::Sender<Value>> = OnceLock::new();

/// Starts to send traces to `target`. It must be called at most once per process.
pub fn start(target: Target) -> Exporter {
    let (sender, spans) = mpsc::channel(AHEAD);
    // Fails only if a sender exists already, which serves as well.
    let _ = SENDER.set(sender);
    Exporter::start(target, spans)
}

/// Sends the spans of a run that has just ended, if traces are enabled.
pub fn run_ended(run: &RunEnded<'_>) {
    let Some(sender) = SENDER.get() else { return };
    for span in spans(run, nanos(SystemTime::now())) {
        // An unreachable collector must not delay jobs.
        let _ = sender.try_send(span);
    }
}

/// Returns the spans of a run: for a first run that of the job, then its own and one per request.
fn spans(run: &RunEnded<'_>, end: u128) -> Vec<Value> {
    let (job, kind) = (run.job, run.job.job.kind().as_str());
    let start = end.saturating_sub(run.took.as_nanos());
    let (root, own) = (span_id(job.id, 0, 0), span_id(job.id, job.run, 0));
    let common = [
        ("mission.job.id", json!(job.id)),
        ("mission.job.kind", json!(kind)),
        ("mission.gateway.id", json!(job.lane)),
    ];
    let mut spans = Vec::new();
    if job.run == 1 {
        // The clock of Redis may be ahead of the clock of this machine.
        let enqueued = start.min(u128::from(job.enqueued_at_ms) * 1_000_000);
        let (name, time) = (&format!("enqueue {kind}"), enqueued..start);
        let span = Span { id: root, parent: None, name, kind: INTERNAL, time, error: None };
        spans.push(span.json(job.id, &common));
    }
    let failure = run.outcome.failure();
    let mut attributes = common.to_vec();
    attributes.push(("mission.run.number", json!(job.run)));
    attributes.push(("mission.run.attempt", json!(job.attempt)));
    attributes.push(("mission.run.outcome", json!(run.outcome.name())));
    attributes.extend(failure.map(|failure| ("error.type", json!(failure.code))));
    let (name, error) = (&format!("run {kind}"), failure.map(|failure| failure.message.as_str()));
    let (parent, time) = (Some(root), start..end);
    let span = Span { id: own, parent, name, kind: CONSUMER, time, error };
    spans.push(span.json(job.id, &attributes));
    for (number, step) in (1..).zip(run.steps) {
        let start = start + u128::from(step.at_ms) * 1_000_000;
        let time = start..start + u128::from(step.duration_ms) * 1_000_000;
        let (id, name, error) =
            (span_id(job.id, job.run, number), &step.name, step.note.as_deref());
        let span = Span { id, parent: Some(own), name, kind: CLIENT, time, error };
        let attributes =
            [("rpc.method", json!(step.name)), ("mission.gateway.id", json!(job.lane))];
        spans.push(span.json(job.id, &attributes));
    }
    spans
}

/// A span. Its times are in nanoseconds since 1970.
struct Span<'a> {
    id: u64,
    parent: Option<u64>,
    name: &'a str,
    kind: u8,
    time: Range<u128>,
    error: Option<&'a str>,
}

impl Span<'_> {
    /// Returns the span in the JSON form of OTLP.
    fn json(&self, trace: Uuid, more: &[(&str, Value)]) -> Value {
        let status = |error| json!({ "code": 2, "message": error });
        let mut span = json!({
            "traceId": trace.simple().to_string(),
            "spanId": format!("{:016x}", self.id),
            "name": self.name,
            "kind": self.kind,
            "startTimeUnixNano": self.time.start.to_string(),
            "endTimeUnixNano": self.time.end.to_string(),
            "attributes": attributes(more),
            "status": self.error.map_or_else(|| json!({}), status),
        });
        if let Some(parent) = self.parent {
            span["parentSpanId"] = format!("{parent:016x}").into();
        }
        span
    }
}

/// Returns attributes in the JSON form of OTLP.
fn attributes(attributes: &[(&str, Value)]) -> Vec<Value> {
    let value = |value: &Value| match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    };
    attributes.iter().map(|(key, is)| json!({ "key": key, "value": value(is) })).collect()
}

/// Derives the id of a span. Run 0 stands for the job itself, and request 0 for the run itself.
fn span_id(job: Uuid, run: u32, request: u32) -> u64 {
    let digest = Sha256::new()
        .chain_update(job.as_bytes())
        .chain_update(run.to_be_bytes())
        .chain_update(request.to_be_bytes())
        .finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
