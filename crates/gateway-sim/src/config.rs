//! `config.get` and `config.patch`: one JSON document, its hash, and the rules for changing it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    agents::text,
    answer::{Outcome, Refusal},
    files::sha256_hex,
    profile::Profile,
    validate,
    world::{BASE, World, now_ms},
};

/// What stands for a secret in everything that is read.
const REDACTED: &str = "__OPENCLAW_REDACTED__";

impl World {
    pub(crate) fn get_config(&self) -> Value {
        let source = self.redacted();
        let mut answer = json!({
            "path": config_path(),
            "exists": true,
            "raw": pretty(&source),
            "parsed": source,
            "valid": true,
            "config": source,
            "hash": self.hash(),
            "issues": [],
            "warnings": [],
            "legacyIssues": [],
        });
        if self.profile.is_new() {
            let running = self.running();
            let hash = answer["hash"].clone();
            let more = json!({
                "includedPaths": [], "includeProvenance": [], "agentRosterIncludeOwned": false,
                "bindingsIncludeOwned": false, "sourceConfig": source, "resolved": source, "runtimeConfig": running,
                "config": running, "configRevisionHash": hash, "appliedConfigHash": hash,
            });
            merge(&mut answer, &more);
        }
        answer
    }

    pub(crate) fn patch_config(&mut self, params: &Value) -> Outcome {
        let patch = parse_patch(text(params, "raw"))?;
        self.check_base_hash(params["baseHash"].as_str(), &patch)?;
        let mut merged = self.config.clone();
        if self.profile.merges_lists() {
            merge_by_id(&mut merged, &patch);
        } else {
            merge(&mut merged, &patch);
        }
        let issues = validate::issues(self.profile, &merged);
        if !issues.is_empty() {
            return Err(validate::refusal(self.profile, &issues));
        }
        let changed = changed_paths(&self.config, &merged);
        if self.profile.sees_noops() && changed.is_empty() {
            let mut answer = json!({ "ok": true, "noop": true, "path": config_path(), "config": self.running() });
            if self.profile.is_new() {
                answer["changedPaths"] = json!([]);
            }
            return Ok(answer);
        }
        self.config = merged;
        self.wrote_config();
        let delay_ms = params["restartDelayMs"].as_u64().unwrap_or(self.options.restart_after_patch_ms);
        Ok(self.patched(&changed, delay_ms))
    }

    fn check_base_hash(&self, base: Option<&str>, patch: &Value) -> Result<(), Refusal> {
        match base {
            Some(hash) if hash != self.hash() => Err(Refusal::stale_hash()),
            Some(_) => Ok(()),
            None if !self.options.require_base_hash => Ok(()),
            None if !self.profile.is_new() => {
                Err(Refusal::invalid("config base hash required; re-run config.get and retry"))
            }
            None => {
                let paths = leaf_paths(patch);
                if paths.is_empty() {
                    return Ok(());
                }
                let paths = paths.join(", ");
                Err(Refusal::invalid(format!(
                    "config base hash required for {paths}; re-run config.get and retry with baseHash"
                )))
            }
        }
    }

    /// The answer to a patch that was written.
    fn patched(&self, changed: &[String], delay_ms: u64) -> Value {
        let sentinel = |kind: &str| {
            json!({
                "kind": kind, "status": "ok", "ts": now_ms(), "message": null,
                "stats": { "mode": "config.patch", "root": config_path() },
            })
        };
        let mut answer = json!({ "ok": true, "path": config_path(), "config": self.redacted() });
        match self.profile {
            Profile::Scenario => answer["hash"] = self.hash().into(),
            Profile::V2026_6_11 => {
                answer["sentinel"] = json!({ "persisted": true, "payload": sentinel("config-patch") });
            }
            Profile::V2026_2_9 | Profile::V2026_3_13 => {
                answer["restart"] = json!({
                    "ok": true, "pid": std::process::id(), "signal": "SIGUSR1", "delayMs": delay_ms,
                    "reason": "config.patch", "mode": "emit",
                });
                let path = format!("{BASE}/state/restart-sentinel.json");
                answer["sentinel"] = json!({ "path": path, "payload": sentinel("config-apply") });
            }
            Profile::V2026_9_6 => {
                answer["hash"] = self.hash().into();
                answer["changedPaths"] = changed.into();
                answer["sentinel"] = json!({ "persisted": true, "payload": sentinel("config-patch") });
                answer["sentinel"]["payload"]["stats"]["requiresRestart"] = false.into();
            }
        }
        answer
    }

    /// A call has changed the configuration, or written it again as it was.
    pub(crate) fn wrote_config(&mut self) {
        self.config_writes += 1;
        match self.profile {
            Profile::Scenario => {}
            Profile::V2026_2_9 | Profile::V2026_3_13 | Profile::V2026_6_11 => {
                let version = if self.profile == Profile::V2026_2_9 { "2026.2.9" } else { self.profile.version() };
                self.config["meta"]["lastTouchedVersion"] = version.into();
                self.config["meta"]["lastTouchedAt"] = jiff::Timestamp::now().to_string().into();
            }
            Profile::V2026_9_6 => self.config["meta"]["lastTouchedVersion"] = self.profile.version().into(),
        }
    }

    /// What a client shows as `baseHash` to prove that it has seen this configuration.
    pub(crate) fn hash(&self) -> String {
        let raw = pretty(&self.config);
        if self.profile.is_new() {
            format!("hmac-sha256:v1:{}", URL_SAFE_NO_PAD.encode(Sha256::digest(raw.as_bytes())))
        } else {
            sha256_hex(raw.as_bytes())
        }
    }

    /// The document as written, without secrets.
    fn redacted(&self) -> Value {
        let mut config = self.config.clone();
        for secret in ["/gateway/auth/token", "/gateway/auth/password"] {
            if let Some(value) = config.pointer_mut(secret) {
                *value = REDACTED.into();
            }
        }
        config
    }

    /// The document as the new gateway runs with it: what is not written has its default.
    fn running(&self) -> Value {
        let mut config = json!({
            "agents": { "defaults": {
                "maxConcurrent": 8,
                "subagents": { "maxConcurrent": 8, "archiveAfterMinutes": 60 },
                "compaction": { "mode": "safeguard" },
            } },
            "commands": { "native": "auto", "nativeSkills": "auto", "restart": true },
            "messages": { "ackReactionScope": "group-mentions" },
        });
        merge(&mut config, &self.redacted());
        config
    }
}

/// The configuration file, as answers name it.
pub(crate) fn config_path() -> String {
    format!("{BASE}/openclaw.json")
}

fn pretty(config: &Value) -> String {
    format!("{config:#}\n")
}

/// Reads a patch. Only the JSON part of JSON5 is understood; the error has the text of the gateways' parser.
fn parse_patch(raw: &str) -> Result<Value, Refusal> {
    let patch: Value = serde_json::from_str(raw).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let character =
            raw.lines().nth(line.saturating_sub(1)).and_then(|line| line.chars().nth(column.saturating_sub(1)));
        Refusal::invalid(match character {
            Some(c) if !error.is_eof() => format!("SyntaxError: JSON5: invalid character '{c}' at {line}:{column}"),
            _ => format!("SyntaxError: JSON5: invalid end of input at {line}:{column}"),
        })
    })?;
    if patch.is_object() { Ok(patch) } else { Err(Refusal::invalid("config.patch raw must be an object")) }
}

/// Applies a merge patch that also merges lists of things with ids: those that the list has already are changed, in
/// their places, and the others come after them.
fn merge_by_id(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                match target.get_mut(name) {
                    _ if value.is_null() => drop(target.shift_remove(name)),
                    Some(present) => merge_by_id(present, value),
                    None => drop(target.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(target), Value::Array(patch))
            if patch.iter().chain(&*target).all(|item| item["id"].is_string()) =>
        {
            for item in patch {
                match target.iter_mut().find(|present| present["id"] == item["id"]) {
                    Some(present) => merge_by_id(present, item),
                    None => target.push(item.clone()),
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// Applies a merge patch: objects merge, `null` removes, everything else replaces, arrays included.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Map::new().into();
    }
    let target = target.as_object_mut().expect("made an object above");
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Where two documents differ: the shortest paths that name every difference.
fn changed_paths(before: &Value, after: &Value) -> Vec<String> {
    fn walk(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
        let (Value::Object(old), Value::Object(new)) = (before, after) else {
            if before != after {
                found.push(path.to_owned());
            }
            return;
        };
        let added = new.keys().filter(|name| !old.contains_key(*name));
        for name in old.keys().chain(added) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (old.get(name), new.get(name)) {
                (Some(before), Some(after)) => walk(&path, before, after, found),
                _ => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    walk("", before, after, &mut found);
    found
}

/// Every value a patch sets, as a path.
fn leaf_paths(patch: &Value) -> Vec<String> {
    let nothing = Map::new();
    let fields = patch.as_object().unwrap_or(&nothing).iter();
    let below = |(name, value): (&String, &Value)| match leaf_paths(value) {
        paths if paths.is_empty() => vec![name.clone()],
        paths => paths.into_iter().map(|path| format!("{name}.{path}")).collect(),
    };
    fields.flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_merges_removes_and_replaces() {
        let mut config = json!({ "a": { "b": 1, "c": [1, 2] }, "d": 1 });
        merge(&mut config, &json!({ "a": { "b": null, "c": [3], "e": { "f": 1 } }, "d": { "g": 2 } }));
        assert_eq!(config, json!({ "a": { "c": [3], "e": { "f": 1 } }, "d": { "g": 2 } }));
    }

    #[test]
    fn changed_paths_are_as_short_as_possible() {
        let before = json!({ "a": { "b": 1, "c": 1 }, "gone": 1 });
        let after = json!({ "a": { "b": 2, "c": 1, "d": { "e": 1 } } });
        assert_eq!(changed_paths(&before, &after), ["a.b", "a.d", "gone"]);
        assert_eq!(leaf_paths(&json!({ "ui": { "seamColor": "red" }, "x": {} })), ["ui.seamColor", "x"]);
    }

    #[test]
    fn a_patch_that_is_no_json_is_refused_with_its_place() {
        assert_eq!(parse_patch("{{{").unwrap_err().message, "SyntaxError: JSON5: invalid character '{' at 1:2");
        assert_eq!(parse_patch("{").unwrap_err().message, "SyntaxError: JSON5: invalid end of input at 1:1");
        assert_eq!(parse_patch("[1]").unwrap_err().message, "config.patch raw must be an object");
    }
}
