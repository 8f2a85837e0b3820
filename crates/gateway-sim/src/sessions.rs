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
        let wanted = params["agentId"].as_str().map(normalised_id);
        // The old gateway lists only the sessions of configured agents.
        let is_shown = |key: &str| {
            let owner = session_agent(key).map(normalised_id);
            let is_known = || owner.as_ref().is_some_and(|id| self.agent(id).is_some());
            (wanted.is_none() || owner == wanted) && (!self.profile.keeps_list() || is_known())
        };
        let mut shown: Vec<_> = self.sessions.iter().filter(|(key, _)| is_shown(key)).collect();
        shown.sort_by_key(|(_, session)| Reverse(session.updated_at_ms));
        let limit = params["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        shown.truncate(limit.unwrap_or(usize::MAX));
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
        let label = params.get("label").filter(|_| self.options.keeps_labels);
        let session = self.updated(&key);
        if let Some(label) = label {
            session.label = label.as_str().map(str::to_owned);
        }
        let mut resolved = self.model();
        if self.profile.is_new() {
            resolved["agentRuntime"] = json!({ "id": "codex", "source": "implicit" });
            resolved["runtimeSelectionLocked"] = false.into();
        }
        let entry = self.entry(&self.sessions[&key], json!({}));
        let path = self.session_store(session_agent(&key).unwrap_or("main"));
        Ok(json!({ "ok": true, "path": path, "key": key, "entry": entry, "resolved": resolved }))
    }

    /// Returns a session that is updated now; it is new if there is none.
    fn updated(&mut self, key: &str) -> &mut Session {
        let now = self.update_ms();
        self.known.extend(session_agent(key).map(str::to_owned));
        let session = self.sessions.entry(key.to_owned()).or_insert_with(|| Session::new(None));
        session.updated_at_ms = now;
        session
    }

    /// Adds the fields of a session to those that only one method answers with.
    fn entry(&self, session: &Session, mut entry: Value) -> Value {
        if self.options.shows_session_ids {
            entry["sessionId"] = session.id.clone().into();
            entry["updatedAt"] = session.updated_at_ms.into();
        }
        if let Some(label) = &session.label {
            entry["label"] = label.clone().into();
        }
        if self.profile.is_new() {
            entry["lifecycleRevision"] = session.revision.clone().into();
            entry["createdVia"] = "operator".into();
            if self.options.shows_session_ids {
                entry["createdAt"] = session.created_at_ms.into();
            }
        }
        entry
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
        let gets_id = self.sessions.contains_key(&key) && !self.profile.is_new();
        let session = self.updated(&key);
        if gets_id {
            session.id = random_id();
        }
        session.revision = random_id();
        session.resets += 1;
        let session = &self.sessions[&key];
        let mut entry = json!({
            "systemSent": false, "abortedLastRun": false,
            "inputTokens": 0, "outputTokens": 0, "totalTokens": 0,
        });
        let mut answer = json!({ "ok": true, "key": key });
        if self.profile.is_new() {
            answer["resolved"] = self.model();
            if self.options.shows_session_ids {
                entry["sessionStartedAt"] = session.updated_at_ms.into();
            }
        }
        answer["entry"] = self.entry(session, entry);
        self.effects.resets.push(key);
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
        let agent = owner(&full_key(text(params, "sessionKey")));
        if self.profile.is_new() && self.agent(&agent).is_none() {
            let message = format!("Agent \"{agent}\" no longer exists in configuration");
            return Err(Refusal::invalid(message));
        }
        let starts = self.runs.insert(run.clone()) || !self.profile.is_new();
        Ok(json!({ "runId": run, "status": if starts { "started" } else { "in_flight" } }))
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
