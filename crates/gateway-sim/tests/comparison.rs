//! The comparison of answers with recorded ones: the parts that must be equal, and those that may
//! differ.

use std::mem::discriminant;

use serde_json::Value;

/// The fields whose values differ between two runs of the same gateway; only their types are
/// compared.
const VOLATILE: &[&str] = &[
    "appliedConfigHash",
    "bootId",
    "configRevisionHash",
    "connId",
    "createdAt",
    "deviceToken",
    "durationMs",
    "hash",
    "host",
    "issuedAtMs",
    "lastTouchedAt",
    "lifecycleRevision",
    "pid",
    "raw",
    "sessionId",
    "sessionStartedAt",
    "ts",
    "updatedAt",
    "updatedAtMs",
    "uptimeMs",
];

/// The fields that real gateways send and the simulator does not, and the reason why none is
/// needed.
const NOT_SENT: &[(&str, &[&str])] = &[
    (
        "models, run times and accounting: agents are never run",
        &[
            "agentRuntime",
            "defaultPermissionMode",
            "effectiveFastMode",
            "effectiveFastModeSource",
            "effectiveQueueMode",
            "effectiveResponseUsage",
            "fastAutoOnSeconds",
            "compactionCount",
            "model",
            "modelConfigured",
            "modelOverrideSource",
            "modelRuntime",
            "modelSelectionTarget",
            "permissionModePending",
            "runtimeSelectionLocked",
            "thinkingDefault",
            "thinkingLevels",
            "thinkingOptions",
            "totalTokensFresh",
            "totalTokensVersion",
            "modelProvider",
            "tasks",
            "taskAudit",
            "workerPools",
            "hostDesktop",
        ],
    ),
    (
        "shown only by the gateway's own screens",
        &[
            "activeRunIds",
            "allowedSessionVisibilities",
            "archived",
            "authMode",
            "capabilities",
            "classification",
            "controlUiBuildSource",
            "controlUiLinkReaders",
            "controlUiWidgetKinds",
            "createdVia",
            "creatorAgentId",
            "hasActiveRun",
            "hasMultipleSessionSharingIdentities",
            "isBackground",
            "pinned",
            "sharingRole",
            "snapshotAt",
            "createdAt",
            "unread",
            "visibility",
            "workspaceGit",
            "attachments",
        ],
    ),
    (
        "the state of its host and its plugins",
        &[
            "buildId",
            "configReload",
            "degradedPlugins",
            "degradedSecretOwners",
            "eventLoop",
            "pid",
            "plugins",
            "processMemory",
            "recoveryScope",
            "shutdownBudget",
            "suspension",
            "updateSchedule",
            "waitingForRoute",
        ],
    ),
    ("advice for people", &["doctorHint", "prompt"]),
    ("delivery to chat channels, which the simulator lacks", &["delivery"]),
];

/// Returns an answer without the object fields that were not recorded. Errors are unchanged.
pub(crate) fn recorded_part(recorded: &Value, own: &Value) -> Value {
    match (recorded, own) {
        (Value::Object(real), Value::Object(mine)) if !real.contains_key("code") => {
            let part = mine.iter().filter_map(|(name, own)| {
                Some((name.clone(), recorded_part(real.get(name)?, own)))
            });
            Value::Object(part.collect())
        }
        (Value::Array(real), Value::Array(mine)) if real.len() == mine.len() => {
            real.iter().zip(mine).map(|(real, own)| recorded_part(real, own)).collect()
        }
        _ => own.clone(),
    }
}

/// Compares an answer with the recorded one: the same fields, types and values, except for volatile
/// values.
pub(crate) fn compare(path: &str, recorded: &Value, own: &Value, report: &mut Vec<String>) {
    let name = path.rsplit(['.', ' ']).next().unwrap_or_default();
    match (recorded, own) {
        (Value::Object(real), Value::Object(mine)) => {
            for (name, value) in real {
                let below = format!("{path}.{name}");
                match mine.get(name) {
                    Some(own) => compare(&below, value, own, report),
                    None if NOT_SENT.iter().any(|(_, names)| names.contains(&name.as_str())) => {}
                    None => report.push(format!("{below} is missing; recorded {value}")),
                }
            }
            for (name, value) in mine.iter().filter(|(name, _)| !real.contains_key(*name)) {
                report.push(format!("{path}.{name} is sent, and was not recorded: {value}"));
            }
        }
        (Value::Array(real), Value::Array(mine)) if real.len() == mine.len() => {
            for (at, (real, mine)) in real.iter().zip(mine).enumerate() {
                compare(&format!("{path}[{at}]"), real, mine, report);
            }
        }
        (real, mine) => {
            let volatile = VOLATILE.contains(&name);
            let same =
                if volatile { discriminant(real) == discriminant(mine) } else { real == mine };
            if !same {
                report.push(format!("{path} is {mine}, recorded {real}"));
            }
        }
    }
}
