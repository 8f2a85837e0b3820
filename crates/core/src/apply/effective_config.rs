//! The config that a gateway works with, as opposed to the one that it shows.
//!
//! Some gateways show the config as its file has it, and work with an older one for a second. Asked
//! to delete an agent, they change that one and write it over the file: a heartbeat that was
//! written meanwhile is lost, and an agent that was deleted a moment before is back. What they list
//! of agents and heartbeats comes from the config that they work with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{config, settling};
use crate::gateway::agents_config::{Config, Shape};
use crate::gateway::{Answer, Call, GatewayError, Method, Reading};
use crate::keys;

/// How long is waited. Gateways were seen to take in a config within a second; some list agents
/// that no config has.
const WITHIN: Duration = Duration::from_secs(5);

/// A gateway's config, and what it works with.
#[derive(Debug)]
pub(super) struct View {
    reading: Reading,
    /// Agents of the config that it does not list, by their ids as gateways write ids: it works
    /// with an older config.
    pub(super) unknown: Vec<String>,
    /// Whether the gateway has said of the agent that is deleted that there is none.
    is_denied: bool,
}

impl View {
    /// Takes a reading that was just made, or that another deletion left.
    pub(super) fn new(call: &Call, reading: Reading) -> Self {
        let unknown =
            if works_with_file(call, &reading.config) { Vec::new() } else { unknown_in(&reading) };
        Self { reading, unknown, is_denied: false }
    }

    /// Returns the reading, to be left to the next deletion; none if the gateway may still work
    /// with an older config.
    pub(super) fn current(&self, call: &Call) -> Option<Reading> {
        let Reading { config, listed, .. } = &self.reading;
        let is_seen =
            || config.hash.is_some() && call.client().group_commit.taken_in() == config.hash;
        let is_current =
            works_with_file(call, config) || (is_taken_in(config, listed) && is_seen());
        is_current.then(|| self.reading.clone())
    }

    /// The config that the gateway shows.
    pub(super) const fn config(&self) -> &Arc<Config> {
        &self.reading.config
    }

    /// Whether the agent is there: in the config, or in the list of a gateway that has not denied
    /// it. Some list agents whose folder is all that is left of them.
    pub(super) fn has(&self, agent: &str) -> bool {
        self.config().agent(agent).is_some() || (!self.is_denied && self.lists(agent))
    }

    fn lists(&self, agent: &str) -> bool {
        self.reading
            .listed
            .iter()
            .any(|listed| listed.get("id").and_then(Value::as_str) == Some(agent))
    }
}

/// Reads the config and the agents that the gateway lists, and waits for a while until they agree.
pub(super) async fn read(call: &Call) -> Result<View, GatewayError> {
    call.open().await?;
    let began = Instant::now();
    for reading in 0.. {
        let view = look(call).await?;
        let Reading { config, listed, .. } = &view.reading;
        if works_with_file(call, config)
            || (is_taken_in(config, listed) && has_heartbeats(call, config).await?)
        {
            return Ok(view);
        }
        if began.elapsed() > WITHIN {
            debug!("the gateway lists other agents than its config has");
            return Ok(view);
        }
        sleep(settling(reading)).await;
    }
    unreachable!("the readings end with the time for them")
}

/// Reads both after an agent was deleted, and waits for a while until it is in neither. `is_denied`
/// is whether the gateway said that there was none.
pub(super) async fn read_after_deletion(
    call: &Call,
    agent: &str,
    is_denied: bool,
) -> Result<View, GatewayError> {
    let began = Instant::now();
    let before = call.client().group_commit.taken_in();
    for reading in 0.. {
        let view = View { is_denied, ..look(call).await? };
        let is_settled = is_taken_in(view.config(), &view.reading.listed);
        if !view.has(agent) && (is_settled || call.has_ownership()) {
            // Of the other agents' heartbeats nothing has changed.
            if before.is_some() && is_settled {
                call.client().group_commit.note_taken_in(view.config().hash.clone());
            }
            return Ok(view);
        }
        if began.elapsed() > WITHIN {
            return Ok(view);
        }
        sleep(settling(reading)).await;
    }
    unreachable!("the readings end with the time for them")
}

async fn look(call: &Call) -> Result<View, GatewayError> {
    let began = Instant::now();
    let questions = vec![(Method::ConfigGet, json!({})), (Method::AgentsList, json!({}))];
    let mut answers = call.read_all(questions).await?.into_iter();
    let mut answer = || answers.next().expect("each question has an answer");
    let config = Arc::new(config::take(call, answer()?)?);
    let listed = agents_in(&answer()?, "/agents");
    Ok(View::new(call, Reading { began, config, listed }))
}

/// Gateways with entries change the file as it is, so nothing is waited for there.
fn works_with_file(call: &Call, config: &Config) -> bool {
    call.has_ownership() || config.shape == Some(Shape::Entries)
}

/// The agents of the config that the gateway does not list, by their ids as gateways write ids.
fn unknown_in(reading: &Reading) -> Vec<String> {
    let named = by_id(&reading.listed, "id");
    let ids = reading.config.agents().map(|(id, _)| keys::normalise_agent_id(id));
    ids.filter(|id| !named.contains_key(id)).collect()
}

/// Whether the gateway works with the heartbeats of this config. Its status tells, which on some
/// takes seconds, so a config for which it was asked is not asked for again; a gateway that does
/// not say is not waited for.
async fn has_heartbeats(call: &Call, config: &Config) -> Result<bool, GatewayError> {
    let group_commit = &call.client().group_commit;
    if config.hash.is_some() && group_commit.taken_in() == config.hash {
        return Ok(true);
    }
    let heartbeats = match call.read(Method::Status, json!({})).await {
        Ok(status) => agents_in(&status, "/heartbeat/agents"),
        Err(error) if error.rpc().is_some() => Vec::new(),
        Err(error) => return Err(error),
    };
    let is_so = wakes_as_configured(config, &heartbeats);
    if is_so {
        group_commit.note_taken_in(config.hash.clone());
    }
    Ok(is_so)
}

fn agents_in(answer: &Answer, pointer: &str) -> Vec<Value> {
    answer.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Whether the gateway lists the agents of that config, with their names. Without agents in the
/// config it lists those that it finds elsewhere.
fn is_taken_in(config: &Config, listed: &[Value]) -> bool {
    let named = by_id(listed, "id");
    let has_agents = config.agents().next().is_some();
    let none_too_many = listed
        .iter()
        .filter_map(|agent| agent.get("id")?.as_str())
        .all(|id| config.agent(id).is_some());
    let all_there = config.agents().all(|(id, entry)| {
        named.get(&keys::normalise_agent_id(id)).is_some_and(|listed| {
            entry
                .get("name")
                .is_none_or(|name| listed.get("name").is_some_and(|listed| listed == name))
        })
    });
    !has_agents || (none_too_many && all_there)
}

fn wakes_as_configured(config: &Config, heartbeats: &[Value]) -> bool {
    let waking = by_id(heartbeats, "agentId");
    config.agents().all(|(id, entry)| {
        waking.get(&keys::normalise_agent_id(id)).is_none_or(|heartbeat| {
            entry.get("heartbeat").and_then(|wanted| wanted.get("every")).is_none_or(|every| {
                // One that never wakes is shown in words.
                heartbeat.get("every") == Some(every)
                    || every.as_str().is_some_and(|every| every.starts_with('0'))
            })
        })
    })
}

/// What is listed of each agent, by its id as gateways write ids.
fn by_id<'a>(agents: &'a [Value], key: &str) -> HashMap<String, &'a Value> {
    let id = |agent: &Value| agent.get(key).and_then(Value::as_str).map(keys::normalise_agent_id);
    agents.iter().filter_map(|agent| Some((id(agent)?, agent))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(agents: &Value) -> Config {
        Config::read(json!({ "hash": "h", "config": { "agents": { "list": agents } } }))
            .expect("a config")
    }

    fn lists(agents: &[(&str, &str)]) -> Vec<Value> {
        agents.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect()
    }

    #[test]
    fn an_agent_more_or_less_or_of_another_name_has_not_been_taken_in() {
        let config = config(&json!([{ "id": "a", "name": "Ann" }, { "id": "b", "name": "Bob" }]));
        assert!(is_taken_in(&config, &lists(&[("a", "Ann"), ("b", "Bob")])));
        assert!(!is_taken_in(&config, &lists(&[("a", "Ann")])));
        assert!(!is_taken_in(&config, &lists(&[("a", "Ann"), ("b", "Bob"), ("c", "Cem")])));
        assert!(!is_taken_in(&config, &lists(&[("a", "Ann"), ("b", "Rob")])));
    }

    #[test]
    fn an_older_heartbeat_has_not_been_taken_in() {
        let config = config(&json!([{ "id": "a", "heartbeat": { "every": "20m" } }]));
        let shown = |every| [json!({ "agentId": "a", "enabled": true, "every": every })];
        assert!(wakes_as_configured(&config, &shown("20m")));
        assert!(!wakes_as_configured(&config, &shown("10m")));
        let never = self::config(&json!([{ "id": "a", "heartbeat": { "every": "0m" } }]));
        assert!(wakes_as_configured(&never, &shown("disabled")));
    }

    #[test]
    fn without_agents_in_the_config_others_may_be_listed() {
        assert!(is_taken_in(&config(&json!([])), &lists(&[("main", ""), ("old", "")])));
    }

    #[test]
    fn an_agent_is_there_as_long_as_the_config_shows_it() {
        let config = config(&json!([{ "id": "a" }, { "id": "b" }]));
        let reading = Reading {
            began: Instant::now(),
            config: Arc::new(config),
            listed: lists(&[("b", ""), ("old", "")]),
        };
        assert_eq!(unknown_in(&reading), ["a"]);
        let view = View { reading, unknown: Vec::new(), is_denied: true };
        assert!(view.has("a") && view.has("b") && !view.has("old") && !view.has("c"));
        assert!(View { is_denied: false, ..view }.has("old"));
    }
}
