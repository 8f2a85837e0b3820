//! The agents of the interop tests, and their job documents.

use serde_json::{Value, json};

use super::gateway::Gateway;

/// The main backend's id of the gateway, from which the names of the main agent are derived.
const GATEWAY_ID: &str = "5f0c2c1e-7a55-4a0b-9a4e-0d6f3b9f1c11";

/// An agent, and its names on the gateway.
#[derive(Clone)]
pub struct Agent {
    uuid: String,
    /// The display name, which is also the label of its session.
    pub name: String,
    pub every: &'static str,
    /// The agent's token for the main backend.
    pub token: String,
    /// The id in the gateway's config.
    pub id: String,
    /// The name of its workspace folder.
    pub folder: String,
    /// The key of its session.
    pub session: String,
    is_lead: bool,
    /// `true` if the main backend gives the session key, `false` if it is derived from the name.
    gives_session: bool,
}

/// Returns a lead whose id is derived from its name.
pub fn lead() -> Agent {
    Agent {
        // A heartbeat that came due during the test would run the agent, which changes its files.
        every: "10h",
        is_lead: true,
        gives_session: false,
        ..of_board(1, "Iris Lead", "iris-lead")
    }
}

/// Returns a worker whose id is derived from its session key, so it can be renamed.
pub fn worker() -> Agent {
    of_board(2, "Otto", "otto-7")
}

/// Returns the main agent of the gateway.
pub fn main() -> Agent {
    Agent {
        every: "30h",
        id: format!("mc-gateway-{GATEWAY_ID}"),
        folder: format!("workspace-gateway-{GATEWAY_ID}"),
        session: format!("agent:gateway-{GATEWAY_ID}:main"),
        ..of_board(3, "Greta Main", "")
    }
}

/// Returns `count` workers, numbered from `first`.
pub fn fleet(first: usize, count: usize) -> Vec<Agent> {
    (first..first + count)
        .map(|number| {
            of_board(100 + number, &format!("Fleet {number}"), &format!("fleet-{number}"))
        })
        .collect()
}

/// Returns `count` workers that do not start a turn by themselves during a measurement.
pub fn quiet_fleet(count: usize) -> Vec<Agent> {
    fleet(0, count).into_iter().map(|agent| Agent { every: "12h", ..agent }).collect()
}

fn of_board(number: usize, name: &str, id: &str) -> Agent {
    Agent {
        uuid: format!("0b0e9e2e-6a0c-4b5a-9f3e-1a2b3c4d{number:04x}"),
        name: name.to_owned(),
        every: "15h",
        token: format!("token-of-agent-{number}"),
        id: id.to_owned(),
        folder: format!("workspace-{id}"),
        session: format!("agent:{id}:main"),
        is_lead: false,
        gives_session: true,
    }
}

impl Agent {
    fn document(&self) -> Value {
        json!({
            "id": self.uuid, "name": self.name, "is_board_lead": self.is_lead,
            "openclaw_session_id": self.gives_session.then_some(&self.session),
            "heartbeat_config": { "every": self.every }, "identity_profile": { "role": "Tester" },
        })
    }
}

/// The job documents for one gateway.
pub struct Documents {
    gateway: Value,
}

impl Documents {
    /// Returns documents for that gateway.
    pub fn new(gateway: &Gateway) -> Self {
        Self::by(gateway, &gateway.url, &gateway.token)
    }

    /// Returns documents for that gateway with another url and another token.
    pub fn by(gateway: &Gateway, url: &str, token: &str) -> Self {
        let root = gateway.workspaces.to_str().expect("a temporary folder's name is text");
        Self {
            gateway: json!({
                "id": GATEWAY_ID, "name": "Real", "url": url, "token": token,
                "workspace_root": root
            }),
        }
    }

    /// Returns a job that creates an agent of a board.
    pub fn provision(&self, agent: &Agent) -> Value {
        let mut document = self.job("provision", agent);
        document["auth_token"] = json!(agent.token);
        document["board"] = json!({
            "id": "0b0e9e2e-6a0c-4b5a-9f3e-1a2b3c4d5eb0", "name": "Launch",
            "objective": "Show that it works",
            "goal_confirmed": true,
        });
        document["user"] = json!({ "name": "Ada Lovelace", "timezone": "Europe/London" });
        document
    }

    /// Returns a job that updates an agent of a board.
    pub fn update(&self, agent: &Agent) -> Value {
        let mut document = self.provision(agent);
        document["options"] = json!({ "action": "update", "reset_session": false });
        document
    }

    /// Returns an update that changes nothing, omits the token, and wakes the agent.
    pub fn wake(&self, agent: &Agent, verb: &str) -> Value {
        let mut document = self.update(agent);
        document.as_object_mut().expect("a document is an object").remove("auth_token");
        document["options"]["wake"] = json!({ "deliver": false, "verb": verb });
        document
    }

    /// Returns a job that creates the gateway's main agent.
    pub fn provision_main(&self, agent: &Agent) -> Value {
        let mut document = self.job("provision-main", agent);
        document["auth_token"] = json!(agent.token);
        document
    }

    /// Returns a job that sets the heartbeats of these agents.
    pub fn sync(&self, agents: &[&Agent]) -> Value {
        let agents: Vec<_> = agents.iter().map(|agent| agent.document()).collect();
        json!({ "version": 1, "kind": "heartbeat-sync", "gateway": self.gateway, "agents": agents })
    }

    /// Returns a job that removes an agent.
    pub fn cleanup(&self, agent: &Agent) -> Value {
        self.job("cleanup", agent)
    }

    fn job(&self, kind: &str, agent: &Agent) -> Value {
        json!({ "version": 1, "kind": kind, "gateway": self.gateway, "agent": agent.document() })
    }
}
