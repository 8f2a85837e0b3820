//! Job documents for tests.

use mission_jobs::Envelope;
use serde_json::{Value, json};
use uuid::Uuid;

fn gateway(number: u128) -> Value {
    json!({"id": Uuid::from_u128(number), "url": "ws://127.0.0.1:1", "workspace_root": "/srv", "token": "secret-gateway"})
}

fn agent(number: u128) -> Value {
    json!({"id": Uuid::from_u128(number), "name": format!("Agent {number}")})
}

fn envelope(document: &Value) -> Envelope {
    Envelope::new(document.to_string().as_bytes()).unwrap()
}

/// A cleanup of that agent on that gateway.
pub(crate) fn cleanup(on: u128, of: u128) -> Envelope {
    envelope(&json!({"version": 1, "kind": "cleanup", "gateway": gateway(on), "agent": agent(of)}))
}

/// A provisioning of that gateway's main agent.
pub(crate) fn provision_main(on: u128, of: u128) -> Envelope {
    envelope(&json!({"version": 1, "kind": "provision-main", "gateway": gateway(on), "agent": agent(of),
        "auth_token": "secret-agent"}))
}
