//! Job documents built from the inputs of cases, so that cases take the same path as jobs.

use mission_core::context::Context;
use mission_core::model::{Agent, DocumentError, Job, Provision, ProvisionMain};
use serde_json::{Map, Value, json};

use super::Case;

/// Reads the agent of a case as the agent of a job.
pub(crate) fn agent(value: &Value) -> Agent {
    serde_json::from_value(value.clone()).expect("agents of cases have the fields of a job's agent")
}

/// Returns an agent without special properties.
pub(crate) fn plain_agent() -> Value {
    json!({"id": "0a1b2c3d-0000-4000-8000-000000000001", "name": "Ada Lovelace"})
}

/// Returns a gateway without special properties.
pub(crate) fn plain_gateway() -> Value {
    let id = "6a7e3a10-0000-4000-8000-000000000003";
    let url = "ws://gateway.example/ws";
    json!({"id": id, "name": "Acme", "url": url, "workspace_root": "/srv/openclaw"})
}

/// Returns a board without special properties.
pub(crate) fn plain_board() -> Value {
    json!({"id": "b0a2d000-0000-4000-8000-000000000002", "name": "Launch Board"})
}

/// Builds a provisioning job from these parts, which replace those of a plain job.
pub(crate) fn provision(parts: Value) -> Result<Provision, DocumentError> {
    let Value::Object(mut parts) = parts else { panic!("the parts of a job are an object") };
    parts.entry("board").or_insert_with(plain_board);
    if let Some(Value::Object(board)) = parts.get_mut("board") {
        let date = board.get("target_date").map(iso_format).unwrap_or_default();
        board.insert("target_date".to_owned(), date);
    }
    match parse("provision", parts)? {
        Job::Provision(job) => Ok(*job),
        other => panic!("asked for a provisioning job, got {other:?}"),
    }
}

/// Builds a job for a main agent, like [`provision`].
pub(crate) fn provision_main(parts: Value) -> Result<ProvisionMain, DocumentError> {
    let Value::Object(parts) = parts else { panic!("the parts of a job are an object") };
    match parse("provision-main", parts)? {
        Job::ProvisionMain(job) => Ok(*job),
        other => panic!("asked for a job of a main agent, got {other:?}"),
    }
}

/// Returns the parts of a job that a case gives.
pub(crate) fn parts(case: &Case) -> Value {
    let keys = ["agent", "board", "gateway", "auth_token", "user"];
    let given = keys
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), case.0["input"].get(key)?.clone())));
    Value::Object(given.collect())
}

/// Returns the variables of a context as a JSON object.
pub(crate) fn variables(context: &Context) -> Value {
    Value::Object(
        context
            .variables()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
    )
}

fn parse(kind: &str, parts: Map<String, Value>) -> Result<Job, DocumentError> {
    let mut document = Map::new();
    document.insert("version".to_owned(), 1.into());
    document.insert("kind".to_owned(), kind.into());
    document.insert("agent".to_owned(), plain_agent());
    document.insert("gateway".to_owned(), plain_gateway());
    document.insert("auth_token".to_owned(), "tok-123".into());
    document.extend(parts);
    Job::parse(Value::Object(document).to_string().as_bytes())
}

/// Converts a date of a case, given by its parts, to the output of Python's `isoformat`.
fn iso_format(date: &Value) -> Value {
    if date.is_null() {
        return Value::Null;
    }
    let part = |index: usize| date["parts"][index].as_i64().unwrap_or_default();
    let day = format!("{:04}-{:02}-{:02}", part(0), part(1), part(2));
    if date["kind"] == "date" {
        return Value::String(day);
    }
    let time = format!("T{:02}:{:02}:{:02}", part(3), part(4), part(5));
    let fraction = if part(6) == 0 { String::new() } else { format!(".{:06}", part(6)) };
    let offset = date["utc_offset_s"].as_i64().map_or_else(String::new, |offset| {
        let (sign, size) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        let seconds = if size % 60 == 0 { String::new() } else { format!(":{:02}", size % 60) };
        format!("{sign}{:02}:{:02}{seconds}", size / 3600, size / 60 % 60)
    });
    Value::String([day, time, fraction, offset].concat())
}
