//! Job documents for tests.

use mission_jobs::Envelope;
use serde_json::{Value, json};
use uuid::Uuid;

fn gateway(number: u128) -> Value {
    json!({"id": Uuid::from_u128(number), "url": "ws://127.0.0.1:1", "workspace_root": "/srv",
        "token": "secret-gateway"})
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
    envelope(
        &json!({"version": 1, "kind": "provision-main", "gateway": gateway(on), "agent": agent(of),
        "auth_token": "secret-agent"}),
    )
}

/// An update of that gateway's main agent, without its token.
pub(crate) fn update_main(on: u128, of: u128) -> Envelope {
    envelope(
        &json!({"version": 1, "kind": "provision-main", "gateway": gateway(on), "agent": agent(of),
        "options": {"action": "update"}}),
    )
}

/// A provisioning of that agent on that gateway with these options.
pub(crate) fn provision(on: u128, of: u128, options: &Value) -> Envelope {
    envelope(&json!({"version": 1, "kind": "provision", "gateway": gateway(on), "agent": agent(of),
        "board": {"id": Uuid::from_u128(1), "name": "Board"}, "auth_token": "secret-agent",
        "options": options}))
}

/// A sync of the heartbeats of these agents on that gateway.
pub(crate) fn heartbeat_sync(on: u128, of: &[(u128, &str)]) -> Envelope {
    let agents = of.iter().map(|(number, every)| {
        let mut agent = agent(*number);
        agent["heartbeat_config"] = json!({ "every": every });
        agent
    });
    envelope(&json!({"version": 1, "kind": "heartbeat-sync", "gateway": gateway(on),
        "agents": agents.collect::<Vec<_>>()}))
}

/// An update of that agent on that gateway, with nothing special about it.
pub(crate) fn update(on: u128, of: u128) -> Envelope {
    provision(on, of, &json!({"action": "update"}))
}
