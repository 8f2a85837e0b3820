//! The methods `config.get` and `config.patch`: one JSON document, its hash, and the rules for
//! changing it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    agents::text,
    agents_config::entries_mut,
    answer::{Outcome, Refusal},
    files::sha256_hex,
    host::Missing,
    merge::{changed_paths, leaf_paths, merge, merge_by_id, parse_patch},
    profile::Profile,
    validate,
    world::{BASE, World, now_ms},
};

/// The text that replaces each secret in answers.
const REDACTED: &str = "__OPENCLAW_REDACTED__";

impl World {
    pub(crate) fn get_config(&self) -> Value {
        let written = redacted(self.file.clone());
        let issues = self.issues();
        let resolved =
            if issues.is_empty() { self.host.resolved(&self.file) } else { self.file.clone() };
        let mut answer = json!({
            "path": config_path(),
            "exists": true,
            // One version returns no text at all.
            "raw": (self.profile != Profile::V2026_5_7).then(|| pretty(&written)),
            "parsed": written,
            "valid": issues.is_empty(),
            "config": redacted(resolved),
            "hash": self.hash(),
            "issues": issues,
            "warnings": self.warnings(),
            "legacyIssues": [],
        });
        let source = redacted(self.host.source(&self.file));
        if self.profile >= Profile::V2026_3_13 {
            answer["resolved"] = source.clone();
        }
        if self.profile >= Profile::V2026_5_7 {
            answer["runtimeConfig"] = answer["config"].clone();
            answer["sourceConfig"] = source;
        }
        if self.profile.is_new() {
            let running = self.with_defaults();
            let hash = answer["hash"].clone();
            let provenance = self.provenance();
            let owned = |section: &str, deepest: usize| {
                let mut places = provenance.iter().map(|(place, _)| place);
                places.any(|place| {
                    place.len() <= deepest && place.first().is_some_and(|first| first == section)
                })
            };
            let is_newest = self.profile >= Profile::V2026_9_6;
            let item = |(place, path): &(Vec<String>, String)| {
                let mut item = json!({
                    "path": place, "kind": "single", "hasSiblingOverrides": false,
                    "targetPath": path,
                });
                if is_newest {
                    item["hasArrayAncestor"] = false.into();
                }
                item
            };
            let more = json!({
                "includedPaths": provenance.iter().map(|(_, path)| path).collect::<Vec<_>>(),
                "includeProvenance": provenance.iter().map(item).collect::<Vec<_>>(),
                "agentRosterIncludeOwned": owned("agents", 3),
                "bindingsIncludeOwned": owned("bindings", 1),
                "runtimeConfig": running, "config": running,
                "configRevisionHash": hash, "appliedConfigHash": hash,
            });
            merge(&mut answer, &more);
            if !is_newest {
                answer["sourceConfigBeforeMigrations"] = answer["sourceConfig"].clone();
            }
            if let Some(included) = answer.pointer_mut("/parsed/agents/entries/$include") {
                *included = REDACTED.into();
            }
        }
        answer
    }

    /// Lists the problems that make the current file invalid.
    fn issues(&self) -> Vec<Value> {
        self.fatal().map(|message| json!({ "path": "", "message": message })).into_iter().collect()
    }

    fn warnings(&self) -> Vec<Value> {
        if self.profile < Profile::V2026_3_13 {
            return Vec::new();
        }
        let warning = |missing: Missing| {
            let message = format!(
                "Missing env var \"{}\" - feature using this value will be unavailable",
                missing.name
            );
            json!({ "path": missing.path, "message": message })
        };
        self.host.missing(&self.file).into_iter().map(warning).collect()
    }

    pub(crate) fn patch_config(&mut self, params: &Value) -> Outcome {
        let patch = parse_patch(text(params, "raw"))?;
        self.check_base_hash(params["baseHash"].as_str(), &patch)?;
        if self.fatal().is_some() {
            return Err(Refusal::invalid("invalid config; fix before patching"));
        }
        self.refuse_dropping(&patch)?;
        let mut merged = self.base();
        self.merge_into(&mut merged, &patch);
        self.drop_keys(&mut merged);
        let issues = validate::issues(self.profile, &merged);
        if !issues.is_empty() {
            return Err(validate::refusal(self.profile, &issues));
        }
        self.refuse_unready(&merged)?;
        self.refuse_agents(&merged)?;
        let changed = self.seen_as_changed(&patch, &merged);
        if self.profile.sees_noops() && changed.is_empty() {
            let mut answer = json!({
                "ok": true, "noop": true, "path": config_path(), "config": self.with_defaults(),
            });
            if self.profile.is_new() {
                answer["changedPaths"] = json!([]);
            }
            return Ok(answer);
        }
        self.write("config.patch", merged)?;
        let delay_ms =
            params["restartDelayMs"].as_u64().unwrap_or(self.options.restart_after_patch_ms);
        Ok(self.patched(&changed, delay_ms))
    }

    fn merge_into(&self, target: &mut Value, patch: &Value) {
        if self.profile.keeps_list() && self.profile != Profile::V2026_2_9 {
            merge_by_id(target, patch);
        } else {
            merge(target, patch);
        }
    }

    /// Refuses a patch that removes an agent from the entries, which only `agents.delete` may do.
    fn refuse_dropping(&self, patch: &Value) -> Result<(), Refusal> {
        let entries = patch["agents"]["entries"].as_object().into_iter().flatten();
        let dropped = entries.filter(|(id, entry)| entry.is_null() && self.agent(id).is_some());
        let dropped: Vec<&str> = dropped.map(|(id, _)| id.as_str()).collect();
        if dropped.is_empty() || self.profile != Profile::V2026_8_2 {
            return Ok(());
        }
        let dropped = dropped.join(", ");
        let message = format!(
            "Error: Config write would drop agent roster entries without an explicit deletion: \
                {dropped}."
        );
        Err(Refusal::unavailable(message))
    }

    /// Lists the paths that the gateway considers changed. The newest compares a patch with the
    /// configuration in which `$${NAME}` has already become `${NAME}`, so an unchanged text counts
    /// as changed.
    fn seen_as_changed(&self, patch: &Value, merged: &Value) -> Vec<String> {
        if self.profile < Profile::V2026_9_6 {
            return changed_paths(&self.base(), merged);
        }
        let source = self.host.source(&self.file);
        let mut with_patch = source.clone();
        self.merge_into(&mut with_patch, patch);
        self.drop_keys(&mut with_patch);
        changed_paths(&source, &with_patch)
    }

    /// Removes the heartbeat keys that this gateway drops.
    fn drop_keys(&self, config: &mut Value) {
        for entry in entries_mut(config) {
            if let Some(heartbeat) = entry.get_mut("heartbeat").and_then(Value::as_object_mut) {
                heartbeat.retain(|key, _| !self.options.dropped_heartbeat_keys.contains(key));
            }
        }
    }

    fn check_base_hash(&self, base: Option<&str>, patch: &Value) -> Result<(), Refusal> {
        match base {
            Some(hash) if hash != self.hash() => return Err(Refusal::stale_hash()),
            None if self.options.require_base_hash => {}
            _ => return Ok(()),
        }
        let paths = leaf_paths(patch).join(", ");
        if !self.profile.is_new() {
            Err(Refusal::invalid("config base hash required; re-run config.get and retry"))
        } else if paths.is_empty() {
            Ok(())
        } else {
            Err(Refusal::invalid(format!(
                "config base hash required for {paths}; re-run config.get and retry with baseHash"
            )))
        }
    }

    /// Returns the answer to a patch that was written.
    fn patched(&self, changed: &[String], delay_ms: u64) -> Value {
        let sentinel = |kind: &str| {
            json!({
                "kind": kind, "status": "ok", "ts": now_ms(), "message": null,
                "stats": { "mode": "config.patch", "root": config_path() },
            })
        };
        let resolves = matches!(self.profile, Profile::V2026_7_35 | Profile::V2026_9_6);
        let shown = if resolves { self.host.source(&self.file) } else { self.file.clone() };
        let mut answer = json!({ "ok": true, "path": config_path(), "config": redacted(shown) });
        if self.profile == Profile::Scenario {
            answer["hash"] = self.hash().into();
        } else if self.profile.is_new() {
            answer["hash"] = self.hash().into();
            answer["changedPaths"] = changed.into();
            answer["sentinel"] = json!({ "persisted": true, "payload": sentinel("config-patch") });
            answer["sentinel"]["payload"]["stats"]["requiresRestart"] = false.into();
        } else if self.profile.sees_noops() {
            answer["sentinel"] = json!({ "persisted": true, "payload": sentinel("config-patch") });
        } else {
            answer["restart"] = json!({
                "ok": true, "pid": std::process::id(), "signal": "SIGUSR1", "delayMs": delay_ms,
                "reason": "config.patch", "mode": "emit",
            });
            let path = format!("{BASE}/state/restart-sentinel.json");
            answer["sentinel"] = json!({ "path": path, "payload": sentinel("config-apply") });
        }
        answer
    }

    /// Returns the hash that a client sends as `baseHash` to prove that it has read this
    /// configuration.
    pub(crate) fn hash(&self) -> String {
        let raw = pretty(&self.file);
        if self.profile >= Profile::V2026_7_35 {
            format!("hmac-sha256:v1:{}", URL_SAFE_NO_PAD.encode(Sha256::digest(raw.as_bytes())))
        } else {
            sha256_hex(raw.as_bytes())
        }
    }

    /// Returns the document with which the new gateway runs: missing parts have their defaults.
    fn with_defaults(&self) -> Value {
        let mut config = json!({
            "agents": { "defaults": {
                "maxConcurrent": 8,
                "subagents": { "maxConcurrent": 8, "archiveAfterMinutes": 60 },
                "compaction": { "mode": "safeguard" },
            } },
            "commands": { "native": "auto", "nativeSkills": "auto", "restart": true },
            "messages": { "ackReactionScope": "group-mentions" },
        });
        merge(&mut config, &redacted(self.host.resolved(&self.file)));
        config
    }
}

/// Returns the document without secrets.
fn redacted(mut config: Value) -> Value {
    for secret in ["/gateway/auth/token", "/gateway/auth/password"] {
        if let Some(value) = config.pointer_mut(secret) {
            *value = REDACTED.into();
        }
    }
    config
}

/// Returns the path of the configuration file in answers.
pub(crate) fn config_path() -> String {
    format!("{BASE}/openclaw.json")
}

fn pretty(config: &Value) -> String {
    format!("{config:#}\n")
}
