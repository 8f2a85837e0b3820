//! The disturbed jobs, and the gateways that run them.

use mission_gateway_sim::Profile;
use serde_json::{Value, json};
use uuid::Uuid;

/// The gateway versions to imitate.
pub const PROFILES: [Profile; 4] =
    [Profile::V2026_2_9, Profile::V2026_3_13, Profile::V2026_6_11, Profile::V2026_9_6];

/// A flow: the jobs that were done before, and the job that is disturbed.
#[derive(Clone, Copy)]
pub struct Flow {
    /// The name in the table.
    pub name: &'static str,
    /// The jobs that were done before.
    pub before: fn() -> Vec<Value>,
    /// The job that is disturbed.
    pub job: fn() -> Value,
    /// The change that a person makes to the config after the earlier jobs.
    pub by_hand: Option<fn() -> Value>,
    /// `true` if it starts a session afresh, so that repeating it has an effect.
    pub resets: bool,
    /// Returns whether the flow makes sense on that gateway.
    pub is_of: fn(Profile) -> bool,
}

impl Flow {
    const PLAIN: Self = Self {
        name: "",
        before: Vec::new,
        job: Value::default,
        by_hand: None,
        resets: false,
        is_of: |_| true,
    };
}

pub const FLOWS: [Flow; 8] = [
    Flow { name: "provision", before: Vec::new, job: || provision("Ada", "10m"), ..Flow::PLAIN },
    Flow { name: "provision-main", before: Vec::new, job: provision_main, ..Flow::PLAIN },
    Flow { name: "update", before: || vec![provision("Ada", "10m")], job: update, ..Flow::PLAIN },
    Flow {
        name: "reset",
        before: || vec![provision("Ada", "10m")],
        job: reset,
        resets: true,
        ..Flow::PLAIN
    },
    Flow {
        name: "cleanup",
        before: || vec![provision("Ada", "10m"), provision("Bo", "10m")],
        job: || document("cleanup", "Ada", "10m"),
        ..Flow::PLAIN
    },
    Flow {
        name: "heartbeat-sync",
        before: || vec![provision("Ada", "10m"), provision("Bo", "10m"), provision("Cy", "5m")],
        job: sync,
        ..Flow::PLAIN
    },
    Flow {
        name: "come back",
        before: || vec![provision("Ada", "10m"), document("cleanup", "Ada", "10m")],
        job: || provision("Ada", "10m"),
        ..Flow::PLAIN
    },
    Flow {
        name: "put back by hand",
        before: || vec![provision("Ada", "10m"), document("cleanup", "Ada", "10m")],
        by_hand: Some(|| {
            json!({
                "agents": {
                    "entries": {
                        "ada-1": { "name": "Ada", "workspace": "/srv/openclaw/workspace-ada-1" }
                    }
                }
            })
        }),
        job: || provision("Ada", "10m"),
        is_of: |profile| profile == Profile::V2026_9_6,
        ..Flow::PLAIN
    },
];

/// The host of the gateway.
pub const HOST: &str = "gateway";

/// Returns jobs of all kinds, one after another.
pub fn jobs_of_all_kinds() -> Vec<Value> {
    vec![
        provision("Ada", "10m"),
        provision_main(),
        provision("Bo", "10m"),
        provision("Cy", "10m"),
        update(),
        sync(),
        document("cleanup", "Bo", "10m"),
        provision("Bo", "30m"),
    ]
}

fn agent(name: &str, every: &str) -> Value {
    let session = format!("agent:{}-1:main", name.to_lowercase());
    json!({
        "id": id(name), "name": name, "openclaw_session_id": session,
        "heartbeat_config": { "every": every }
    })
}

/// Returns a job document of that kind for an agent of that name.
pub fn document(kind: &str, name: &str, every: &str) -> Value {
    json!({ "version": 1, "kind": kind, "gateway": gateway(), "agent": agent(name, every) })
}

fn gateway() -> Value {
    json!({
        "id": id("gateway"), "name": "Acme", "url": format!("ws://{HOST}:18789"),
        "workspace_root": "/srv/openclaw"
    })
}

fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// Returns a job that creates an agent of a board.
pub fn provision(name: &str, every: &str) -> Value {
    let mut document = document("provision", name, every);
    document["board"] = json!({ "id": id("board"), "name": "Launch" });
    document["auth_token"] = "agent-secret".into();
    document
}

/// Returns a job that creates an agent of a board on that gateway.
pub fn provision_on(host: &str, name: &str) -> Value {
    let mut document = provision(name, "10m");
    document["agent"]["openclaw_session_id"] = Value::Null;
    document["gateway"]["id"] = json!(id(host));
    document["gateway"]["url"] = format!("ws://{host}:18789").into();
    document
}

fn provision_main() -> Value {
    let mut document = document("provision-main", "Greta", "30m");
    document["agent"]["openclaw_session_id"] = Value::Null;
    document["auth_token"] = "agent-secret".into();
    document
}

/// Returns an update with another name, interval and token.
fn update() -> Value {
    let mut document = provision("Ada", "20m");
    document["agent"]["name"] = "Ada Lovelace".into();
    document["auth_token"] = "next-secret".into();
    document["options"] = json!({ "action": "update" });
    document
}

fn reset() -> Value {
    let mut document = provision("Ada", "15m");
    document["options"] = json!({ "reset_session": true });
    document
}

fn sync() -> Value {
    let agents = [agent("Ada", "1h"), agent("Bo", "2h"), agent("Cy", "3h")];
    json!({ "version": 1, "kind": "heartbeat-sync", "gateway": gateway(), "agents": agents })
}
