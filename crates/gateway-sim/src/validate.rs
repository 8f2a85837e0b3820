//! The checks of a configuration before it is written: unknown keys, and the roster rule. Only the
//! parts that provisioning touches are checked.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{answer::Refusal, profile::Profile};

/// A problem of a configuration.
#[derive(Serialize)]
pub(crate) struct Issue {
    path: String,
    message: String,
}

impl Issue {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

// The known keys of each object, separated by spaces.

const AGENTS_OLD: &str = "defaults list";
const AGENTS_NEW: &str = "defaults entries ownership";
const DEFAULTS: &str = "workspace model imageModel models repoRoot skipBootstrap \
    bootstrapMaxChars userTimezone timeFormat envelopeTimezone envelopeTimestamp \
    envelopeElapsed contextTokens cliBackends memorySearch contextPruning compaction \
    thinkingDefault verboseDefault elevatedDefault blockStreamingDefault blockStreamingBreak \
    blockStreamingChunk blockStreamingCoalesce humanDelay timeoutSeconds mediaMaxMb \
    typingIntervalSeconds typingMode heartbeat maxConcurrent subagents sandbox systemAgent";
const ENTRY: &str = "id default name workspace agentDir model skills memorySearch humanDelay \
    heartbeat identity groupChat subagents sandbox params tools";
const HEARTBEAT: &str = "every activeHours model session target to accountId prompt \
    ackMaxChars agentId";
const VISIBILITY: &str = "showOk showAlerts useIndicator";

/// Returns the problems of a configuration, in the order of its parts.
pub(crate) fn issues(profile: Profile, config: &Value) -> Vec<Issue> {
    let mut found = Vec::new();
    if profile == Profile::Scenario {
        return found;
    }
    let agents = &config["agents"];
    let defaults = &agents["defaults"];
    let known = if profile.is_new() { AGENTS_NEW } else { AGENTS_OLD };
    unknown_keys("agents", agents, known, &mut found);
    unknown_keys("agents.defaults", defaults, DEFAULTS, &mut found);
    heartbeat(profile, "agents.defaults", defaults, &mut found);
    if profile.is_new() {
        let entries = || agents["entries"].as_object().into_iter().flatten();
        for (id, entry) in entries() {
            agent(profile, &format!("agents.entries.{id}"), entry, &mut found);
        }
        if entries().any(|(id, _)| id != "main") && agents["ownership"] != "explicit" {
            let message = "multi-agent rosters require agents.ownership=\"explicit\"";
            found.push(Issue::new("agents", message));
        }
    } else {
        for (at, entry) in agents["list"].as_array().into_iter().flatten().enumerate() {
            if !entry["id"].is_string() {
                let message = "Invalid input: expected string, received undefined";
                found.push(Issue::new(format!("agents.list.{at}.id"), message));
            }
            agent(profile, &format!("agents.list.{at}"), entry, &mut found);
        }
    }
    let visibility = &config["channels"]["defaults"]["heartbeatVisibility"];
    unknown_keys("channels.defaults.heartbeatVisibility", visibility, VISIBILITY, &mut found);
    let unknown = if profile.is_new() { "heartbeat" } else { "heartbeatVisibility" };
    if config["channels"]["defaults"].get(unknown).is_some() {
        let message = format!("Unrecognized key: \"{unknown}\"");
        found.push(Issue::new("channels.defaults", message));
    }
    found
}

fn agent(profile: Profile, path: &str, entry: &Value, found: &mut Vec<Issue>) {
    unknown_keys(path, entry, ENTRY, found);
    heartbeat(profile, path, entry, found);
}

fn heartbeat(profile: Profile, path: &str, owner: &Value, found: &mut Vec<Issue>) {
    let more = if profile.is_new() { "" } else { "includeReasoning" };
    let known = format!("{HEARTBEAT} {more}");
    unknown_keys(&format!("{path}.heartbeat"), &owner["heartbeat"], &known, found);
    let checks = profile != Profile::V2026_8_2;
    if checks && owner["heartbeat"]["every"].as_str().is_some_and(|every| !is_duration(every)) {
        let message = "invalid duration (use ms, s, m, h)";
        found.push(Issue::new(format!("{path}.heartbeat.every"), message));
    }
}

fn is_duration(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    number.parse::<f64>().is_ok() && ["", "ms", "s", "m", "h", "d"].contains(&&text[number.len()..])
}

fn unknown_keys(path: &str, value: &Value, known: &str, found: &mut Vec<Issue>) {
    let names = value.as_object().into_iter().flatten().map(|(name, _)| name);
    let unknown = names.filter(|name| !known.split_whitespace().any(|known| known == *name));
    let unknown: Vec<String> = unknown.map(|name| format!("\"{name}\"")).collect();
    if !unknown.is_empty() {
        let key = if unknown.len() == 1 { "key" } else { "keys" };
        found.push(Issue::new(path, format!("Unrecognized {key}: {}", unknown.join(", "))));
    }
}

/// Returns the answer to a configuration with problems.
pub(crate) fn refusal(profile: Profile, issues: &[Issue]) -> Refusal {
    let in_words = issues.iter().map(|Issue { path, message }| format!("{path}: {message}"));
    let message = if profile == Profile::V2026_2_9 {
        "invalid config".to_owned()
    } else {
        format!("invalid config: {}", in_words.collect::<Vec<_>>().join("; "))
    };
    Refusal::invalid(message).with_details(json!({ "issues": issues }))
}
