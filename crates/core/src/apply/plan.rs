//! What a job would change on a gateway: the same reading and comparing as when it is carried out, and no write.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};
use similar::TextDiff;

use super::{Applier, FlowError, Wanted, agent_files, cleanup, config, heartbeats, provision, session, wake};
use crate::gateway::roster::{DesiredAgent, Part};
use crate::gateway::{Call, Endpoint};
use crate::model::{Cleanup, Job};
use crate::outcome::{Outcome, Report, Skipped};

/// How a line of a document begins that holds an agent's token.
const TOKEN_LINE: &str = "AUTH_TOKEN=";
/// What stands for a secret.
const MASK: &str = "***";

/// What a job would change. Holds no secret.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// One sentence for people.
    pub summary: String,
    /// What would be written, in order; empty if the gateway is as it should be.
    pub changes: Vec<Change>,
    /// What would be left out, as far as the gateway has said so before.
    pub skipped: Vec<Skipped>,
}

/// One thing that would be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What, in the words of a [`Report`]'s `written`.
    pub what: String,
    /// How it differs: a unified diff of a file, `path: before → after` of a config; empty where there is nothing to show.
    pub diff: String,
}

impl Change {
    fn new(what: impl Into<String>, diff: impl Into<String>) -> Self {
        Self { what: what.into(), diff: diff.into() }
    }
}

impl Applier {
    /// What [`Applier::apply`] would write now. The error is an outcome that is not `Done`: what it would end with.
    ///
    /// What a gateway refuses only when it is written (a key that it does not know, a label that is taken) is not
    /// foreseen, nor files that already stand where a new agent's workspace will be.
    pub async fn plan(&self, job: &Job) -> Result<Plan, Outcome> {
        let Some(gateway) = job.gateway() else {
            return Ok(Plan { summary: "nothing to do: the gateway has no url".to_owned(), ..Plan::default() });
        };
        let call = Call::new(self.clients.get(&Endpoint::of(gateway)));
        let mut report = Report::default();
        let changes = match job {
            Job::Provision(_) | Job::ProvisionMain(_) => {
                let wanted =
                    Wanted::of(job, self.base_url.as_deref()).expect("both kinds of provisioning want an agent");
                self.plan_provision(&call, &wanted, &mut report).await?
            }
            Job::Cleanup(job) => plan_cleanup(&call, job, &mut report).await?,
            Job::HeartbeatSync(job) => {
                let desired = heartbeats::desired(job);
                if desired.is_empty() { Vec::new() } else { plan_config(&call, &desired, &mut report).await?.0 }
            }
            Job::Nothing(_) => unreachable!("a job without a gateway was answered above"),
        };
        let summary = match changes.len() {
            0 => "nothing to do: the gateway is as it should be".to_owned(),
            1 => "one thing to write".to_owned(),
            count => format!("{count} things to write"),
        };
        Ok(Plan { summary, changes, skipped: report.skipped })
    }

    async fn plan_provision(
        &self,
        call: &Call,
        wanted: &Wanted,
        report: &mut Report,
    ) -> Result<Vec<Change>, FlowError> {
        let (wanted, entry) = provision::prepare(self, call, wanted).await?;
        let (mut changes, is_known) = plan_config(call, std::slice::from_ref(&entry), report).await?;
        for (document, present, text) in agent_files::plan(self, call, &wanted, is_known, report).await? {
            let name = document.file_name();
            changes.push(Change::new(format!("file {name}"), file_diff(name, present.as_deref(), &text)));
        }
        let key = &wanted.keys.session_key;
        if let Some((present, label)) = session::plan(call, &wanted).await? {
            let diff =
                label.map(|label| difference("label", present.map(Value::String).as_ref(), &Value::String(label)));
            changes.push(Change::new(format!("session {key}"), diff.unwrap_or_default()));
        }
        if wanted.options.reset_session {
            changes.push(Change::new(format!("session {key} reset"), ""));
        }
        changes.extend(wake::plan(&wanted).map(|what| Change::new(what, "")));
        let token = wanted.context.auth_token.as_str();
        for change in &mut changes {
            change.diff = masked(&change.diff, token);
        }
        Ok(changes)
    }
}

/// What would change in the config, and whether it has all these agents.
async fn plan_config(
    call: &Call,
    desired: &[DesiredAgent],
    report: &mut Report,
) -> Result<(Vec<Change>, bool), FlowError> {
    let (config, change) = config::plan(call, desired, report).await?;
    let are_known = desired.iter().all(|agent| config.agent(&agent.id).is_some());
    let changes = change.into_iter().flat_map(|change| change.parts).map(|part| {
        let diff = part_diff(&part);
        Change::new(part.what, diff)
    });
    Ok((changes.collect(), are_known))
}

async fn plan_cleanup(call: &Call, job: &Cleanup, report: &mut Report) -> Result<Vec<Change>, FlowError> {
    let found = cleanup::look(call, job).await?;
    let keys = &found.keys;
    let mut changes = Vec::new();
    if found.is_there {
        let files = match &found.workspace {
            Some(_) if found.shares_workspace => {
                report.skip(format!("files of {}", keys.agent_id), "another agent uses the same workspace");
                String::new()
            }
            Some(folder) => format!("-{folder}/*"),
            None => String::new(),
        };
        changes.push(Change::new(format!("agent {} deleted", keys.agent_id), files));
    }
    // Gateways that keep agents as entries delete an agent's sessions with it.
    let goes_along = found.is_there && call.has_ownership() && session::is_of(&keys.session_key, &keys.agent_id);
    if !goes_along && session::exists(call, &keys.session_key).await? {
        changes.push(Change::new(format!("session {} deleted", keys.session_key), ""));
    }
    Ok(changes)
}

fn file_diff(name: &str, present: Option<&str>, text: &str) -> String {
    let before = if present.is_some() { format!("a/{name}") } else { "/dev/null".to_owned() };
    let diff = TextDiff::from_lines(present.unwrap_or_default(), text);
    diff.unified_diff().context_radius(3).header(&before, &format!("b/{name}")).to_string()
}

/// A line for each value that changes.
fn part_diff(part: &Part) -> String {
    let mut lines = Vec::new();
    compare("", Some(&part.before), &part.after, &mut lines);
    lines.join("\n")
}

fn compare(path: &str, before: Option<&Map<String, Value>>, after: &Map<String, Value>, lines: &mut Vec<String>) {
    for (key, after) in after {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let before = before.and_then(|before| before.get(key));
        match after {
            Value::Object(after) => compare(&path, before.and_then(Value::as_object), after, lines),
            after if before == Some(after) => {}
            after => lines.push(difference(&path, before, after)),
        }
    }
}

fn difference(path: &str, before: Option<&Value>, after: &Value) -> String {
    match before {
        Some(before) => format!("{path}: {before} → {after}"),
        None => format!("{path}: {after}"),
    }
}

/// The text without the agent's token, the one to be and any that a line for it holds now.
fn masked(text: &str, token: &str) -> String {
    let in_lines = text.split(TOKEN_LINE).skip(1).filter_map(|rest| rest.split(['\n', '\\', '"']).next());
    let mut secrets: BTreeSet<&str> = in_lines.map(str::trim).chain([token]).collect();
    secrets.remove("");
    // The longest first: one may begin with another.
    let mut secrets: Vec<_> = secrets.into_iter().collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_today_and_of_yesterday_are_masked() {
        let diff =
            file_diff("TOOLS.md", Some("x\nAUTH_TOKEN=old-one\nsend old-one\n"), "x\nAUTH_TOKEN=new\nsend new\n");
        let shown = masked(&diff, "new");
        assert!(shown.contains("-AUTH_TOKEN=***\n") && shown.contains("+send ***"), "{shown}");
        assert!(!shown.contains("old-one") && !shown.contains("new\n"), "{shown}");
    }

    #[test]
    fn an_entry_is_compared_value_by_value() {
        let map = |value: Value| value.as_object().cloned().unwrap_or_default();
        let part = Part {
            agent: Some("ada".into()),
            what: String::new(),
            before: map(serde_json::json!({ "heartbeat": { "every": "10m", "target": "none" } })),
            after: map(serde_json::json!({ "name": "Ada", "heartbeat": { "every": "2h", "target": "none" } })),
        };
        assert_eq!(part_diff(&part), "name: \"Ada\"\nheartbeat.every: \"10m\" → \"2h\"");
    }
}
