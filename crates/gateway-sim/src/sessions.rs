//! The methods `sessions.list`, `sessions.patch`, `sessions.reset`, `sessions.delete` and
//! `chat.send`.

use std::cmp::Reverse;

use serde_json::{Value, json};

use crate::{
    agents::{session_agent, text},
    answer::{Outcome, Refusal},
    profile::Profile,
    world::{BASE, Session, World, normalised_id, now_ms, random_id},
};

impl World {
    pub(crate) fn list_sessions(&self, params: &Value) -> Value {
        // The old gateway lists only the sessions of configured agents.
        let everywhere = !self.profile.keeps_list();
        let wanted = params["agentId"].as_str().map(normalised_id);
        let of_wanted =
            |key: &str| wanted.is_none() || session_agent(key).map(normalised_id) == wanted;
        let shown = self.sessions.iter().filter(|(key, _)| of_wanted(key)).filter(|(key, _)| {
            everywhere
                || session_agent(key).is_some_and(|id| self.agent(&normalised_id(id)).is_some())
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort_by_key(|(_, session)| Reverse(session.updated_at_ms));
        shown.truncate(
            params["limit"]
                .as_u64()
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(usize::MAX),
        );
        let sessions: Vec<Value> =
            shown.into_iter().map(|(key, session)| self.listed_session(key, session)).collect();
        let mut defaults = self.model();
        defaults["contextTokens"] = 200_000.into();
        let mut answer = json!({
            "ts": now_ms(), "path": "(multiple)", "count": sessions.len(), "defaults": defaults,
        });
        if self.profile.is_new() {
            answer["totalCount"] = sessions.len().into();
            answer["limitApplied"] = 100.into();
            answer["nextOffset"] = Value::Null;
            answer["hasMore"] = false.into();
            answer["owners"] = json!([]);
        }
        answer["sessions"] = sessions.into();
        answer
    }

    /// Finds a session, including those that the old gateway does not list.
    pub(crate) fn resolve_session(&self, params: &Value) -> Outcome {
        let key = full_key(text(params, "key"));
        if !self.sessions.contains_key(&key) {
            return Err(Refusal::invalid(format!("No session found: {key}")));
        }
        Ok(json!({ "ok": true, "key": key }))
    }

    fn listed_session(&self, key: &str, session: &Session) -> Value {
        let mut listed = self.model();
        listed["key"] = key.into();
        listed["kind"] = "direct".into();
        if let Some(label) = &session.label {
            listed["label"] = label.clone().into();
            listed["displayName"] = label.clone().into();
        }
        if self.options.shows_session_ids {
            listed["updatedAt"] = session.updated_at_ms.into();
            listed["sessionId"] = session.id.clone().into();
        }
        if self.profile.is_new() {
            listed["agentId"] = session_agent(key).into();
            listed["isMain"] = key.ends_with(":main").into();
            if self.options.shows_session_ids {
                listed["createdAt"] = session.created_at_ms.into();
            }
        } else {
            listed["totalTokens"] = 0.into();
        }
        listed
    }

    /// Returns the model that every session uses.
    fn model(&self) -> Value {
        if self.profile.is_new() {
            json!({ "modelProvider": "openai", "model": "gpt-6-astra" })
        } else {
            json!({ "modelProvider": "anthropic", "model": "claude-opus-4-6" })
        }
    }

    /// Returns the file that holds an agent's sessions.
    pub(crate) fn session_store(&self, agent: &str) -> String {
        let file = if self.profile.is_new() {
            "agent/openclaw-agent.sqlite"
        } else {
            "sessions/sessions.json"
        };
        format!("{BASE}/state/agents/{agent}/{file}")
    }

    pub(crate) fn patch_session(&mut self, params: &Value) -> Outcome {
        let key = full_key(text(params, "key"));
        if let Some(label) = params["label"].as_str()
            && self.label_is_taken(&key, label)
        {
            return Err(Refusal::invalid(format!("label already in use: {label}")));
        }
        self.deleted.refuse_patch(&owner(&key))?;
        let now = self.update_ms();
        self.known.extend(session_agent(&key).map(str::to_owned));
        let session = self.sessions.entry(key.clone()).or_insert_with(|| Session::new(None));
        session.updated_at_ms = now;
        if let Some(label) = params.get("label").filter(|_| self.options.keeps_labels) {
            session.label = label.as_str().map(str::to_owned);
        }
        let mut entry = json!({});
        if self.options.shows_session_ids {
            entry = json!({ "sessionId": session.id, "updatedAt": session.updated_at_ms });
        }
        if let Some(label) = &session.label {
            entry["label"] = label.clone().into();
        }
        let mut resolved = self.model();
        if self.profile.is_new() {
            let session = &self.sessions[&key];
            entry["lifecycleRevision"] = session.revision.clone().into();
            entry["createdVia"] = "operator".into();
            if self.options.shows_session_ids {
                entry["createdAt"] = session.created_at_ms.into();
            }
            resolved["agentRuntime"] = json!({ "id": "codex", "source": "implicit" });
            resolved["runtimeSelectionLocked"] = false.into();
        }
        let path = self.session_store(session_agent(&key).unwrap_or("main"));
        Ok(json!({ "ok": true, "path": path, "key": key, "entry": entry, "resolved": resolved }))
    }

    fn label_is_taken(&self, key: &str, label: &str) -> bool {
        let scope = |other: &str| match (self.options.unique_labels, self.profile) {
            (true, _) => true,
            (false, Profile::Scenario) => false,
            (false, _) => session_agent(other) == session_agent(key),
        };
        self.sessions.iter().any(|(other, session)| {
            other != key && session.label.as_deref() == Some(label) && scope(other)
        })
    }

    pub(crate) fn reset_session(&mut self, params: &Value) -> Outcome {
        let key = full_key(text(params, "key"));
        if self.loses_sessions() {
            self.deleted.refuse_reset(&owner(&key))?;
        }
        let existed = self.sessions.contains_key(&key);
        let keeps_id = self.profile.is_new();
        let now = self.update_ms();
        self.known.extend(session_agent(&key).map(str::to_owned));
        let session = self.sessions.entry(key.clone()).or_insert_with(|| Session::new(None));
        if existed && !keeps_id {
            session.id = random_id();
        }
        session.revision = random_id();
        session.resets += 1;
        session.updated_at_ms = now;
        let mut entry = json!({
            "sessionId": session.id, "updatedAt": session.updated_at_ms, "systemSent": false,
            "abortedLastRun": false,
            "inputTokens": 0, "outputTokens": 0, "totalTokens": 0,
        });
        if let Some(label) = &session.label {
            entry["label"] = label.clone().into();
        }
        let mut answer = json!({ "ok": true, "key": key });
        if self.profile.is_new() {
            let session = &self.sessions[&key];
            entry["lifecycleRevision"] = session.revision.clone().into();
            entry["sessionStartedAt"] = session.updated_at_ms.into();
            entry["createdVia"] = "operator".into();
            entry["createdAt"] = session.created_at_ms.into();
            answer["resolved"] = self.model();
        }
        if !self.options.shows_session_ids {
            let hidden = ["sessionId", "updatedAt", "sessionStartedAt", "createdAt"];
            entry
                .as_object_mut()
                .expect("made an object above")
                .retain(|name, _| !hidden.contains(&name.as_str()));
        }
        self.effects.resets.push(key);
        answer["entry"] = entry;
        Ok(answer)
    }

    pub(crate) fn delete_session(&mut self, params: &Value) -> Outcome {
        let key = full_key(text(params, "key"));
        let default_main = key == format!("agent:{}:main", self.default_id());
        let protected = if self.profile == Profile::Scenario {
            default_main && self.options.protect_main_session
        } else if self.profile.is_new() {
            // This covers every agent's main session, even if the agent itself is gone.
            session_agent(&key).is_some_and(|id| key == format!("agent:{id}:main"))
        } else {
            default_main
        };
        if protected {
            return Err(Refusal::invalid(format!("Cannot delete the main session ({key}).")));
        }
        if self.profile.is_new() {
            // As measured on 2026.9.6: the store of a deleted agent cannot be opened.
            self.deleted.refuse_reset(&owner(&key))?;
        }
        let deleted = self.sessions.remove(&key).is_some();
        Ok(json!({ "ok": true, "key": key, "deleted": deleted, "archived": [] }))
    }

    pub(crate) fn send_chat(&mut self, params: &Value) -> Outcome {
        let run = text(params, "idempotencyKey").to_owned();
        let agent =
            normalised_id(session_agent(&full_key(text(params, "sessionKey"))).unwrap_or("main"));
        if self.profile.is_new() && self.agent(&agent).is_none() {
            return Err(Refusal::invalid(format!(
                "Agent \"{agent}\" no longer exists in configuration"
            )));
        }
        let status = if self.runs.insert(run.clone()) || !self.profile.is_new() {
            "started"
        } else {
            "in_flight"
        };
        Ok(json!({ "runId": run, "status": status }))
    }
}

/// Returns the agent that owns a session.
fn owner(key: &str) -> String {
    normalised_id(session_agent(key).unwrap_or("main"))
}

/// Returns the full key; `main` is short for the main session of the agent `main`.
fn full_key(key: &str) -> String {
    if key == "main" { "agent:main:main".into() } else { key.into() }
}
