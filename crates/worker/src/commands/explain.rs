//! `worker explain FILE`: shows the keys, files and values derived from a job document.

use std::path::Path;

use mission_core::apply::Desired;
use mission_core::keys::AgentKeys;
use mission_core::model::{Agent, Gateway};
use mission_core::{Job, heartbeat};
use serde_json::{Map, Value, json};

use crate::commands::{long_files, read_job, render_all};
use crate::exit::Exit;
use crate::output::Output;
use crate::settings::Settings;

/// Explains the job document in `file`, without a gateway or Redis.
pub fn run(settings: &Settings, output: Output, file: &Path, reveal: bool) -> Result<(), Exit> {
    let job = read_job(file)?;
    let answer = match &job {
        Job::Provision(_) | Job::ProvisionMain(_) => {
            let wanted =
                Desired::of(&job, settings.base_url.as_deref()).expect("both kinds have an agent");
            provisioning(settings, &wanted, reveal)?
        }
        Job::Cleanup(job) => of_agent(&job.agent, &job.gateway),
        Job::HeartbeatSync(job) => {
            let agents = job.agents.iter().map(|agent| of_agent(agent, &job.gateway));
            json!({ "agents": agents.collect::<Vec<_>>() })
        }
        _ => {
            json!({
                "nothing": "this document has no url: in the queue it runs with the newest \
                    connection that is stored for the gateway, and does nothing if there is none"
            })
        }
    };
    output.print(&answer, || serde_json::to_string_pretty(&answer).expect("plain data"));
    Ok(())
}

fn provisioning(settings: &Settings, wanted: &Desired, reveal: bool) -> Result<Value, Exit> {
    let texts = render_all(settings, wanted)?;
    let show = |name: &str, value: &str| {
        let hidden = name == "auth_token" && !value.is_empty() && !reveal;
        Value::from(if hidden { "***" } else { value })
    };
    let context: Map<String, Value> = wanted
        .context
        .variables()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), show(name, value)))
        .collect();
    let mut answer = of_keys(&wanted.keys, &wanted.agent);
    answer["context"] = Value::Object(context);
    answer["files"] = json!(texts.keys().collect::<Vec<_>>());
    if let Some(warnings) = answer["warnings"].as_array_mut() {
        warnings.extend(long_files(&texts).into_iter().map(Value::from));
    }
    Ok(answer)
}

fn of_agent(agent: &Agent, gateway: &Gateway) -> Value {
    of_keys(&AgentKeys::of_board_agent(agent, gateway), agent)
}

fn of_keys(keys: &AgentKeys, agent: &Agent) -> Value {
    let heartbeat = heartbeat::config(agent);
    let misspelt = heartbeat::misspelt(&heartbeat).into_iter();
    let warning = |(key, meant)| {
        format!("heartbeat.{key}: no known gateway has this key; did you mean `{meant}`?")
    };
    json!({
        "agent_key": mission_core::keys::agent_key(agent),
        "session_key": keys.session_key,
        "openclaw_agent_id": keys.agent_id,
        "workspace_path": keys.workspace_path,
        "heartbeat": heartbeat,
        "warnings": misspelt.map(warning).collect::<Vec<_>>(),
    })
}
