//! Parts of gateway states, from which the table of differences builds the expected ones.

use serde_json::{Value, json};

pub fn list(state: &mut Value) -> &mut Vec<Value> {
    state
        .pointer_mut("/config/agents/list")
        .and_then(Value::as_array_mut)
        .expect("the config has a list of agents")
}

pub fn remove(object: &mut Value, name: &str) {
    object
        .as_object_mut()
        .and_then(|object| object.shift_remove(name))
        .expect("the state has the member to remove");
}

pub fn heartbeat() -> Value {
    json!({ "every": "10m", "target": "none", "includeReasoning": false })
}

pub fn agent(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "workspace": format!("/srv/openclaw/workspace-{id}") })
}

/// Returns a config entry with a heartbeat.
pub fn entry(id: &str, name: &str) -> Value {
    let mut entry = agent(id, name);
    entry["heartbeat"] = heartbeat();
    entry
}

/// Hides heartbeats that report nothing, as the first agent with heartbeats of its own does.
pub fn quieten(state: &mut Value) {
    let quiet = json!({ "showOk": false, "showAlerts": true, "useIndicator": true });
    state["config"]["channels"]["defaults"]["heartbeat"] = quiet;
}

/// Inserts the default agent `main` before the provisioned one.
pub fn main_stays_default(state: &mut Value) {
    list(state)[0]["name"] = json!("Ada Lovelace");
    list(state).insert(0, json!({ "id": "main", "default": true }));
}

/// Returns a mark for any text that is not empty.
pub fn present() -> Value {
    json!({ "present": true, "nonempty": true })
}

/// Returns marks for the shipped documents, whatever their text.
pub fn shipped_texts() -> Value {
    let texts =
        texts("", "").as_object().unwrap().keys().map(|name| (name.clone(), present())).collect();
    Value::Object(texts)
}

/// Returns the texts of most scenarios' templates for an agent that does not lead a board.
pub fn texts(id: &str, name: &str) -> Value {
    json!({
        "AGENTS.md": format!("# AGENTS for {name}\nboard=Launch Board"),
        "AUTONOMY.md": "autonomy balanced",
        "BOOT.md": "boot https://mc.example",
        "BOOTSTRAP.md": "bootstrap",
        "HEARTBEAT.md": "AGENT heartbeat lead=false",
        "IDENTITY.md": format!("Name: {name}\nID: 0a1b2c3d-0000-4000-8000-000000000001\nPurpose:"),
        "MEMORY.md": format!("# MEMORY of {name}"),
        "SELF.md": format!("# SELF {name} on b0a2d000-0000-4000-8000-000000000002\nautonomy=n/a"),
        "SOUL.md": "# SOUL\nGeneralist / direct, concise, practical / :gear:",
        "TASK_SOUL.md": "# TASK SOUL",
        "TOOLS.md": format!(
            "BASE_URL=https://mc.example\nAUTH_TOKEN=tok-agent-1\n\
             WORKSPACE_PATH=/srv/openclaw/workspace-{id}\n\
             SESSION=agent:{id}:main\nMAIN=agent:gateway-6a7e3a10-0000-4000-8000-000000000003:main"
        ),
        "USER.md": "user= call= tz=\nobjective=\nmetrics={}\ndate=\nconfirmed=false",
    })
}
