//! Job documents for tests, with one gateway, one board and agents by name.

use serde_json::{Value, json};
use uuid::Uuid;

/// The gateway's token in these documents.
pub const GATEWAY_TOKEN: &str = "gateway-secret-4f1c";
/// The agent's token in these documents.
pub const AGENT_TOKEN: &str = "agent-secret-9b2e";

/// Returns a document that provisions an agent of that name.
pub fn provision(url: &str, name: &str) -> Value {
    json!({
        "version": 1, "kind": "provision", "gateway": gateway(url), "agent": agent(name),
        "board": { "id": id("board"), "name": "Launch" }, "auth_token": AGENT_TOKEN,
    })
}

/// Returns a document that removes the agent of that name.
pub fn cleanup(url: &str, name: &str) -> Value {
    json!({ "version": 1, "kind": "cleanup", "gateway": gateway(url), "agent": agent(name) })
}

fn gateway(url: &str) -> Value {
    json!({
        "id": id("gateway"), "name": "Acme", "url": url, "token": GATEWAY_TOKEN,
        "workspace_root": "/srv/openclaw"
    })
}

fn agent(name: &str) -> Value {
    json!({ "id": id(name), "name": name })
}

fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}
