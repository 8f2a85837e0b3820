//! The config that a gateway works with, as opposed to the one that it shows.
//!
//! Some gateways show the config as its file has it, and work with an older one for a second. Asked to delete an agent,
//! they change that one and write it over the file: a heartbeat that was written meanwhile is lost, and an agent that was
//! deleted a moment before is back. What they list of agents and heartbeats comes from the config that they work with.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{config, settling};
use crate::gateway::roster::{Config, Shape};
use crate::gateway::{Call, GatewayError, Method};
use crate::keys;

/// How long is waited. Gateways were seen to take in a config within a second; some list agents that no config has.
const WITHIN: Duration = Duration::from_secs(5);

/// Reads the config and the agents that the gateway lists, and waits for a while until they agree.
pub(super) async fn read(call: &Call) -> Result<(Config, Vec<Value>), GatewayError> {
    call.open().await?;
    let began = Instant::now();
    let mut reading = 0;
    loop {
        let mut questions = vec![(Method::ConfigGet, json!({})), (Method::AgentsList, json!({}))];
        // Gateways with entries change the file as it is, so nothing is waited for there.
        if !call.has_ownership() {
            questions.push((Method::Status, json!({})));
        }
        let mut answers = call.read_all(questions).await?.into_iter();
        let mut answer = || answers.next().expect("each question has an answer");
        let (config, listed) = (config::take(call, &answer()?)?, agents_in(&answer()?, "/agents"));
        if call.has_ownership() || config.shape == Some(Shape::Entries) {
            return Ok((config, listed));
        }
        // A gateway that does not say is not waited for.
        let heartbeats = answer().map_or_else(|_| Vec::new(), |status| agents_in(&status, "/heartbeat/agents"));
        if is_taken_in(&config, &listed, &heartbeats) {
            return Ok((config, listed));
        }
        if began.elapsed() > WITHIN {
            debug!("the gateway lists other agents than its config has");
            return Ok((config, listed));
        }
        sleep(settling(reading)).await;
        reading += 1;
    }
}

fn agents_in(answer: &Value, pointer: &str) -> Vec<Value> {
    answer.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Whether the gateway lists the agents of that config, with their names and heartbeats. Without agents in the config it
/// lists those that it finds elsewhere.
fn is_taken_in(config: &Config, listed: &[Value], heartbeats: &[Value]) -> bool {
    let (named, waking) = (by_id(listed, "id"), by_id(heartbeats, "agentId"));
    let has_agents = config.agents().next().is_some();
    let none_too_many =
        listed.iter().filter_map(|agent| agent.get("id")?.as_str()).all(|id| config.agent(id).is_some());
    let all_there = config.agents().all(|(id, entry)| {
        let id = keys::normalise_agent_id(id);
        let named = named.get(&id).is_some_and(|listed| {
            entry.get("name").is_none_or(|name| listed.get("name").is_some_and(|listed| listed == name))
        });
        let wakes = waking.get(&id).is_none_or(|heartbeat| {
            entry.get("heartbeat").and_then(|wanted| wanted.get("every")).is_none_or(|every| {
                // One that never wakes is shown in words.
                heartbeat.get("every") == Some(every) || every.as_str().is_some_and(|every| every.starts_with('0'))
            })
        });
        named && wakes
    });
    !has_agents || (none_too_many && all_there)
}

/// What is listed of each agent, by its id as gateways write ids.
fn by_id<'a>(agents: &'a [Value], key: &str) -> HashMap<String, &'a Value> {
    let id = |agent: &Value| agent.get(key).and_then(Value::as_str).map(keys::normalise_agent_id);
    agents.iter().filter_map(|agent| Some((id(agent)?, agent))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::is_taken_in;
    use crate::gateway::roster::Config;

    fn config(agents: &Value) -> Config {
        Config::read(&json!({ "hash": "h", "config": { "agents": { "list": agents } } })).expect("a config")
    }

    fn lists(agents: &[(&str, &str)]) -> Vec<Value> {
        agents.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect()
    }

    #[test]
    fn an_agent_more_or_less_or_of_another_name_has_not_been_taken_in() {
        let config = config(&json!([{ "id": "a", "name": "Ann" }, { "id": "b", "name": "Bob" }]));
        assert!(is_taken_in(&config, &lists(&[("a", "Ann"), ("b", "Bob")]), &[]));
        assert!(!is_taken_in(&config, &lists(&[("a", "Ann")]), &[]));
        assert!(!is_taken_in(&config, &lists(&[("a", "Ann"), ("b", "Bob"), ("c", "Cem")]), &[]));
        assert!(!is_taken_in(&config, &lists(&[("a", "Ann"), ("b", "Rob")]), &[]));
    }

    #[test]
    fn an_older_heartbeat_has_not_been_taken_in() {
        let config = config(&json!([{ "id": "a", "heartbeat": { "every": "20m" } }]));
        let shown = |every| [json!({ "agentId": "a", "enabled": true, "every": every })];
        assert!(is_taken_in(&config, &lists(&[("a", "")]), &shown("20m")));
        assert!(!is_taken_in(&config, &lists(&[("a", "")]), &shown("10m")));
        let never = self::config(&json!([{ "id": "a", "heartbeat": { "every": "0m" } }]));
        assert!(is_taken_in(&never, &lists(&[("a", "")]), &shown("disabled")));
    }

    #[test]
    fn without_agents_in_the_config_others_may_be_listed() {
        assert!(is_taken_in(&config(&json!([])), &lists(&[("main", ""), ("old", "")]), &[]));
    }
}
