//! The methods `health` and `status`, which show that the gateway is alive and which agents it has.

use serde_json::{Map, Value, json};

use crate::world::{World, now_ms};

/// The default heartbeat interval of the default agent, in ms.
const HEARTBEAT_MS: u64 = 1_800_000;

impl World {
    pub(crate) fn health(&self) -> Value {
        let default_id = self.default_id();
        let target = if self.profile.is_new() { "owner" } else { "last" };
        let agents = self.heartbeats().into_iter().map(|(id, every)| {
            let is_default = id == default_id;
            let every_ms =
                if every.as_deref() == Some("30m") { json!(HEARTBEAT_MS) } else { Value::Null };
            json!({
                "agentId": id,
                "isDefault": is_default,
                "heartbeat": {
                    "enabled": every.is_some(), "every": every.as_deref().unwrap_or("disabled"),
                    "everyMs": every_ms,
                    "target": target, "ackMaxChars": 300,
                },
                "sessions": self.session_summary(&id),
            })
        });
        json!({
            "ok": true,
            "ts": now_ms(),
            "durationMs": 0,
            "channels": {},
            "channelOrder": [],
            "channelLabels": {},
            "heartbeatSeconds": HEARTBEAT_MS / 1000,
            "defaultAgentId": default_id,
            "agents": agents.collect::<Vec<_>>(),
            "sessions": self.session_summary(&default_id),
        })
    }

    /// Lists the agents with a heartbeat and its interval: the default agent, or only the agents
    /// with their own heartbeat as soon as there is one.
    fn heartbeats(&self) -> Vec<(String, Option<String>)> {
        let default_id = self.default_id();
        let roster = self.roster();
        let own = |entry: &Map<String, Value>| {
            let every = entry.get("heartbeat")?["every"].as_str().unwrap_or("30m");
            Some(every.to_owned())
        };
        let some_have = roster.iter().any(|(_, entry)| own(entry).is_some());
        let every = |(id, entry): (String, Map<String, Value>)| {
            let every =
                if some_have { own(&entry) } else { (id == default_id).then(|| "30m".to_owned()) };
            (id, every)
        };
        roster.into_iter().map(every).collect()
    }

    pub(crate) fn status(&self) -> Value {
        let id = self.default_id();
        let model = if self.profile.is_new() { "gpt-6-astra" } else { "claude-opus-4-6" };
        let context_tokens = if self.profile.is_new() { 272_000 } else { 200_000 };
        let mut by_agent = self.session_summary(&id);
        by_agent["agentId"] = id.clone().into();
        let mut status = json!({
            "heartbeat": {
                "defaultAgentId": id,
                "agents": [{
                    "agentId": id, "enabled": true, "every": "30m", "everyMs": HEARTBEAT_MS,
                }],
            },
            "channelSummary": [],
            "queuedSystemEvents": [],
            "sessions": {
                "paths": [self.session_store(&id)],
                "count": by_agent["count"],
                "defaults": { "model": model, "contextTokens": context_tokens },
                "recent": [],
                "byAgent": [by_agent],
            },
        });
        if self.profile.is_new() {
            status["runtimeVersion"] = self.profile.version().into();
        }
        status
    }

    fn session_summary(&self, agent: &str) -> Value {
        let prefix = format!("agent:{agent}:");
        let count = self.sessions.keys().filter(|key| key.starts_with(&prefix)).count();
        json!({ "path": self.session_store(agent), "count": count, "recent": [] })
    }
}
