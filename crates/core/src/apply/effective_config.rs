//! The config that a gateway currently uses, as opposed to the one that it returns.
//!
//! Some gateways return the config of the file, but use an older one for a second. When asked to
//! delete an agent, they change the old one and write it over the file: a heartbeat written
//! meanwhile is lost, and an agent deleted a moment before is back. Their lists of agents and
//! heartbeats come from the config in use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{config, settling};
use crate::gateway::agents_config::{Config, Shape};
use crate::gateway::{Answer, Call, GatewayError, Method, Reading};
use crate::keys;

/// The time to wait. Gateways were seen to use a new config within a second; some list agents that
/// are in no config.
const WITHIN: Duration = Duration::from_secs(5);

/// A gateway's config, and the agents that it lists.
#[derive(Debug)]
pub(super) struct View {
    reading: Reading,
    /// The agents of the config that the gateway does not list, by their normalised ids: it uses an
    /// older config.
    pub(super) unknown: Vec<String>,
    /// Set if the gateway has answered that the agent to delete does not exist.
    is_denied: bool,
}

impl View {
    /// Creates a view from a reading that was just made or that another cleanup left.
    pub(super) fn new(call: &Call, reading: Reading) -> Self {
        let unknown =
            if uses_file(call, &reading.config) { Vec::new() } else { unknown_in(&reading) };
        Self { reading, unknown, is_denied: false }
    }

    /// Returns the reading for the next cleanup; `None` if the gateway may still use an older
    /// config.
    pub(super) fn current(&self, call: &Call) -> Option<Reading> {
        let Reading { config, listed, .. } = &self.reading;
        let is_current = uses_file(call, config)
            || (lists_agents_of(config, listed) && is_known_effective(call, config));
        is_current.then(|| self.reading.clone())
    }

    /// Returns the config that the gateway returned.
    pub(super) const fn config(&self) -> &Arc<Config> {
        &self.reading.config
    }

    /// Returns whether the agent exists: in the config, or in the list of a gateway that has not
    /// denied it. Some gateways list agents of which only the folder is left.
    pub(super) fn has(&self, agent: &str) -> bool {
        self.config().agent(agent).is_some() || (!self.is_denied && self.lists(agent))
    }

    fn lists(&self, agent: &str) -> bool {
        let mut ids = self.reading.listed.iter().map(|listed| listed.get("id"));
        ids.any(|id| id.and_then(Value::as_str) == Some(agent))
    }
}

/// Reads the config and the list of agents, and waits for a limited time until they agree.
pub(super) async fn read(call: &Call) -> Result<View, GatewayError> {
    call.open().await?;
    let began = Instant::now();
    for reading in 0.. {
        let view = read_once(call).await?;
        let Reading { config, listed, .. } = &view.reading;
        if uses_file(call, config)
            || (lists_agents_of(config, listed) && has_heartbeats(call, config).await?)
        {
            return Ok(view);
        }
        if began.elapsed() > WITHIN {
            debug!("listed agents differ from config");
            return Ok(view);
        }
        sleep(settling(reading)).await;
    }
    unreachable!("the readings end with the time for them")
}

/// Reads both after an agent was deleted, and waits for a limited time until it is in neither.
/// `is_denied` is set if the gateway answered that the agent does not exist.
pub(super) async fn read_after_deletion(
    call: &Call,
    agent: &str,
    is_denied: bool,
) -> Result<View, GatewayError> {
    let began = Instant::now();
    let before = call.client().group_commit.effective_hash();
    for reading in 0.. {
        let view = View { is_denied, ..read_once(call).await? };
        let is_settled = lists_agents_of(view.config(), &view.reading.listed);
        if !view.has(agent) && (is_settled || call.has_ownership()) {
            // The heartbeats of the other agents have not changed.
            if before.is_some() && is_settled {
                call.client().group_commit.note_effective_hash(view.config().hash.clone());
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

async fn read_once(call: &Call) -> Result<View, GatewayError> {
    let began = Instant::now();
    let questions = vec![(Method::ConfigGet, json!({})), (Method::AgentsList, json!({}))];
    let mut answers = call.read_all(questions).await?.into_iter();
    let mut answer = || answers.next().expect("each question has an answer");
    let config = Arc::new(config::take(call, answer()?)?);
    let listed = agents_in(&answer()?, "/agents");
    Ok(View::new(call, Reading { began, config, listed }))
}

/// Returns whether the gateway uses the file as it is, as those with entries do, so that there is
/// nothing to wait for.
fn uses_file(call: &Call, config: &Config) -> bool {
    call.has_ownership() || config.shape == Some(Shape::Entries)
}

/// Returns the agents of the config that the gateway does not list, by their normalised ids.
fn unknown_in(reading: &Reading) -> Vec<String> {
    let named = by_id(&reading.listed, "id");
    let ids = reading.config.agents().map(|(id, _)| keys::normalise_agent_id(id));
    ids.filter(|id| !named.contains_key(id)).collect()
}

/// Returns whether the gateway uses the heartbeats of this config. Its status shows this, but takes
/// seconds on some gateways, so each config is checked only once; a gateway that does not show it
/// is not waited for.
async fn has_heartbeats(call: &Call, config: &Config) -> Result<bool, GatewayError> {
    if is_known_effective(call, config) {
        return Ok(true);
    }
    let heartbeats = match call.read(Method::Status, json!({})).await {
        Ok(status) => agents_in(&status, "/heartbeat/agents"),
        Err(error) if error.rpc().is_some() => Vec::new(),
        Err(error) => return Err(error),
    };
    let is_so = wakes_as_configured(config, &heartbeats);
    if is_so {
        call.client().group_commit.note_effective_hash(config.hash.clone());
    }
    Ok(is_so)
}

/// Returns whether the gateway was last seen to use this config.
fn is_known_effective(call: &Call, config: &Config) -> bool {
    config.hash.is_some() && call.client().group_commit.effective_hash() == config.hash
}

fn agents_in(answer: &Answer, pointer: &str) -> Vec<Value> {
    answer.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Returns whether the gateway lists the agents of that config, with their names. If the config has
/// no agents, it lists those that it finds in other places.
fn lists_agents_of(config: &Config, listed: &[Value]) -> bool {
    if config.agents().next().is_none() {
        return true;
    }
    let named = by_id(listed, "id");
    let mut ids = listed.iter().filter_map(|agent| agent.get("id")?.as_str());
    let no_extra_agents = ids.all(|id| config.agent(id).is_some());
    let is_listed = |(id, entry): (&str, &Map<String, Value>)| {
        let listed = named.get(&keys::normalise_agent_id(id));
        let has_name = |name| listed.is_some_and(|listed| listed.get("name") == Some(name));
        listed.is_some() && entry.get("name").is_none_or(has_name)
    };
    no_extra_agents && config.agents().all(is_listed)
}

fn wakes_as_configured(config: &Config, heartbeats: &[Value]) -> bool {
    let waking = by_id(heartbeats, "agentId");
    let is_as_configured = |(id, entry): (&str, &Map<String, Value>)| {
        let every = entry.get("heartbeat").and_then(|wanted| wanted.get("every"));
        let heartbeat = waking.get(&keys::normalise_agent_id(id));
        let (Some(every), Some(heartbeat)) = (every, heartbeat) else { return true };
        // A heartbeat that never wakes is shown as a word.
        heartbeat.get("every") == Some(every)
            || every.as_str().is_some_and(|every| every.starts_with('0'))
    };
    config.agents().all(is_as_configured)
}

/// Returns the listed items by normalised agent id.
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
    fn another_list_of_agents_shows_an_older_config() {
        let config = config(&json!([{ "id": "a", "name": "Ann" }, { "id": "b", "name": "Bob" }]));
        assert!(lists_agents_of(&config, &lists(&[("a", "Ann"), ("b", "Bob")])));
        assert!(!lists_agents_of(&config, &lists(&[("a", "Ann")])));
        assert!(!lists_agents_of(&config, &lists(&[("a", "Ann"), ("b", "Bob"), ("c", "Cem")])));
        assert!(!lists_agents_of(&config, &lists(&[("a", "Ann"), ("b", "Rob")])));
    }

    #[test]
    fn an_older_heartbeat_shows_an_older_config() {
        let config = config(&json!([{ "id": "a", "heartbeat": { "every": "20m" } }]));
        let shown = |every| [json!({ "agentId": "a", "enabled": true, "every": every })];
        assert!(wakes_as_configured(&config, &shown("20m")));
        assert!(!wakes_as_configured(&config, &shown("10m")));
        let never = self::config(&json!([{ "id": "a", "heartbeat": { "every": "0m" } }]));
        assert!(wakes_as_configured(&never, &shown("disabled")));
    }

    #[test]
    fn without_agents_in_the_config_others_may_be_listed() {
        assert!(lists_agents_of(&config(&json!([])), &lists(&[("main", ""), ("old", "")])));
    }

    #[test]
    fn an_agent_exists_while_the_config_shows_it() {
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
