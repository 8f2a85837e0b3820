//! The sight of an agent that a gateway shows when everything is quiet.

use std::collections::BTreeMap;

use mission_gateway_sim::Call;
use serde_json::Value;

/// The files that are written once, or belong to the agent, so that older texts stay.
const WRITTEN_ONCE: [&str; 5] = ["SELF.md", "USER.md", "MEMORY.md", "TASK_SOUL.md", "BOOTSTRAP.md"];

/// An agent on its gateway.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that can be seen")]
pub struct Sight {
    /// `true` if the config has an entry of it.
    pub exists: bool,
    pub name: String,
    pub heartbeat: BTreeMap<String, String>,
    /// The marks in the texts of its files, by what they belong to: `Unit`, `role` or `token`.
    pub marks: Vec<(String, u32)>,
    pub has_files: bool,
    pub has_bootstrap: bool,
    pub has_session: bool,
    /// The times at which its BOOTSTRAP.md was written, and its session reset.
    pub bootstraps: Vec<u64>,
    pub resets: Vec<u64>,
    /// The wakes that the gateway got, by mark, each with its key.
    pub wakes: Vec<(u32, String)>,
}

impl Sight {
    /// Looks at an agent.
    pub fn of(state: &Value, calls: &[Call], id: &str) -> Self {
        let agents = &state["config"]["agents"];
        let listed = agents["list"].as_array().into_iter().flatten();
        let listed = listed.into_iter().find(|entry| entry["id"] == id);
        let entry = listed.or_else(|| agents["entries"].get(id));
        let heartbeat = entry.and_then(|entry| entry["heartbeat"].as_object());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let files = state["files"][id].as_object();
        let session = format!("agent:{id}:main");
        let mut sight = Self {
            exists: entry.is_some(),
            name: entry.map(|entry| text(&entry["name"])).unwrap_or_default(),
            heartbeat: heartbeat
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), text(value)))
                .collect(),
            has_files: files.is_some_and(|files| !files.is_empty()),
            has_bootstrap: files.is_some_and(|files| files.contains_key("BOOTSTRAP.md")),
            has_session: !state["sessions"][&session].is_null(),
            ..Self::default()
        };
        for (name, content) in files.into_iter().flatten() {
            if !WRITTEN_ONCE.contains(&name.as_str()) {
                sight.marks.extend(marks(content.as_str().unwrap_or_default()));
            }
        }
        sight.marks.sort();
        sight.marks.dedup();
        sight.read_calls(calls, id, &session);
        sight
    }

    fn read_calls(&mut self, calls: &[Call], id: &str, session: &str) {
        for call in calls.iter().filter(|call| call.ok) {
            let (params, at) = (&call.params, call.at_ms);
            match call.method.as_str() {
                "agents.files.set"
                    if params["agentId"] == id && params["name"] == "BOOTSTRAP.md" =>
                {
                    self.bootstraps.push(at);
                }
                "sessions.reset" if params["key"] == session => self.resets.push(at),
                "chat.send" if params["sessionKey"] == session => {
                    let message = params["message"].as_str().unwrap_or_default();
                    let key = params["idempotencyKey"].as_str().unwrap_or_default();
                    let of_wakes = marks(message).into_iter().filter(|(what, _)| what == "woken");
                    self.wakes.extend(of_wakes.map(|(_, mark)| (mark, key.to_owned())));
                }
                _ => {}
            }
        }
    }
}

/// Returns the marks in a text: a word, a dash, and a number of five digits.
pub fn marks(text: &str) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for what in ["Unit", "role", "token", "woken"] {
        for (at, _) in text.match_indices(&format!("{what}-m")) {
            let digits = text.get(at + what.len() + 2..at + what.len() + 7);
            if let Some(mark) = digits.and_then(|digits| digits.parse().ok()) {
                found.push((what.to_owned(), mark));
            }
        }
    }
    found
}
