//! The agents of this test, and their job documents.

use serde_json::{Value, json};

use super::gateway::Gateway;

/// The main backend's id of the gateway; the main agent's names follow from it.
const GATEWAY_ID: &str = "5f0c2c1e-7a55-4a0b-9a4e-0d6f3b9f1c11";

/// An agent, and what it must be called on the gateway.
#[derive(Clone)]
pub struct Agent {
    /// The main backend's id.
    uuid: &'static str,
    /// Name for people, and the label of its session.
    pub name: &'static str,
    /// Heartbeat interval.
    pub every: &'static str,
    /// Its token for the main backend.
    pub token: &'static str,
    /// Id in the gateway's config.
    pub id: &'static str,
    /// Name of its folder.
    pub folder: &'static str,
    /// Key of its session.
    pub session: &'static str,
    is_lead: bool,
    /// Whether the main backend gives the session key, or leaves it to be derived from the name.
    gives_session: bool,
}

/// A lead that goes by its name.
pub const fn lead() -> Agent {
    Agent {
        uuid: "0b0e9e2e-6a0c-4b5a-9f3e-1a2b3c4d5e01",
        name: "Iris Lead",
        every: "10m",
        token: "token-of-iris",
        id: "iris-lead",
        folder: "workspace-iris-lead",
        session: "agent:iris-lead:main",
        is_lead: true,
        gives_session: false,
    }
}

/// A worker that goes by its session key, so it can be renamed.
pub const fn worker() -> Agent {
    Agent {
        uuid: "0b0e9e2e-6a0c-4b5a-9f3e-1a2b3c4d5e02",
        name: "Otto",
        every: "15m",
        token: "token-of-otto",
        id: "otto-7",
        folder: "workspace-otto-7",
        session: "agent:otto-7:main",
        is_lead: false,
        gives_session: true,
    }
}

/// The gateway's main agent.
pub const fn main() -> Agent {
    Agent {
        uuid: "0b0e9e2e-6a0c-4b5a-9f3e-1a2b3c4d5e03",
        name: "Greta Main",
        every: "30m",
        token: "token-of-greta",
        id: "mc-gateway-5f0c2c1e-7a55-4a0b-9a4e-0d6f3b9f1c11",
        folder: "workspace-gateway-5f0c2c1e-7a55-4a0b-9a4e-0d6f3b9f1c11",
        session: "agent:gateway-5f0c2c1e-7a55-4a0b-9a4e-0d6f3b9f1c11:main",
        is_lead: false,
        gives_session: true,
    }
}

impl Agent {
    fn document(&self) -> Value {
        json!({
            "id": self.uuid, "name": self.name, "is_board_lead": self.is_lead,
            "openclaw_session_id": self.gives_session.then_some(self.session),
            "heartbeat_config": { "every": self.every }, "identity_profile": { "role": "Tester" },
        })
    }
}

/// Makes job documents for one gateway.
pub struct Documents {
    gateway: Value,
}

impl Documents {
    /// Documents for that gateway.
    pub fn new(gateway: &Gateway) -> Self {
        let root = gateway.workspaces.to_str().expect("a temporary folder's name is text");
        let (url, token) = (&gateway.url, &gateway.token);
        Self {
            gateway: json!({ "id": GATEWAY_ID, "name": "Real", "url": url, "token": token, "workspace_root": root }),
        }
    }

    /// Makes an agent of a board.
    pub fn provision(&self, agent: &Agent) -> Value {
        let mut document = self.job("provision", agent);
        document["auth_token"] = json!(agent.token);
        document["board"] = json!({
            "id": "0b0e9e2e-6a0c-4b5a-9f3e-1a2b3c4d5eb0", "name": "Launch", "objective": "Show that it works",
            "goal_confirmed": true,
        });
        document["user"] = json!({ "name": "Ada Lovelace", "timezone": "Europe/London" });
        document
    }

    /// Changes an agent of a board.
    pub fn update(&self, agent: &Agent) -> Value {
        let mut document = self.provision(agent);
        document["options"] = json!({ "action": "update", "reset_session": false });
        document
    }

    /// Makes the gateway's main agent.
    pub fn provision_main(&self, agent: &Agent) -> Value {
        let mut document = self.job("provision-main", agent);
        document["auth_token"] = json!(agent.token);
        document
    }

    /// Sets the heartbeats of many agents.
    pub fn sync(&self, agents: &[&Agent]) -> Value {
        let agents: Vec<_> = agents.iter().map(|agent| agent.document()).collect();
        json!({ "version": 1, "kind": "heartbeat-sync", "gateway": self.gateway, "agents": agents })
    }

    /// Removes an agent.
    pub fn cleanup(&self, agent: &Agent) -> Value {
        self.job("cleanup", agent)
    }

    fn job(&self, kind: &str, agent: &Agent) -> Value {
        json!({ "version": 1, "kind": kind, "gateway": self.gateway, "agent": agent.document() })
    }
}
