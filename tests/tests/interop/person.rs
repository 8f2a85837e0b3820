//! A person who edits a gateway's config while the worker writes it.

use serde_json::{Value, json};

use super::client::Client;
use super::gateway::Gateway;
use super::version::Roster;

/// The id of the person's own agent.
const AGENT: &str = "pia";
/// The number of attempts of an edit before the test fails.
const TRIES: u32 = 20;

/// A person with an agent of their own, who changes its heartbeat and a colour.
pub struct Person<'a> {
    gateway: &'a Gateway,
    roster: Roster,
    /// The number of edits that were acknowledged and then missing from the config.
    pub lost: u32,
    /// The number of edits that were refused because the config had changed.
    pub refused: u32,
}

impl<'a> Person<'a> {
    /// Creates the person's agent.
    pub async fn with_agent(gateway: &'a Gateway, roster: Roster) -> Self {
        let workspace = gateway.workspaces.join(AGENT);
        let made = Client::new(gateway)
            .ask("agents.create", json!({ "name": AGENT, "workspace": workspace }))
            .await;
        made.unwrap();
        let mut person = Self { gateway, roster, lost: 0, refused: 0 };
        person.edit(0).await;
        person
    }

    /// Sets heartbeat and colour, and repeats that until the config has both.
    pub async fn edit(&mut self, number: u32) {
        for _ in 0..TRIES {
            // Gateways limit the writes of each device. A new device for each edit keeps the test
            // from waiting.
            let client = Client::new(self.gateway);
            let shown = client.ask("config.get", json!({})).await.unwrap();
            let patch = self.patch(&shown["parsed"], number).to_string();
            match client
                .ask("config.patch", json!({ "raw": patch, "baseHash": shown["hash"] }))
                .await
            {
                Ok(_) if self.is_kept(number).await => return,
                Ok(_) => self.lost += 1,
                // The answer may have been lost after the write succeeded.
                Err(words) if words.contains("config changed") && self.is_kept(number).await => {
                    return;
                }
                Err(words) if words.contains("config changed") => self.refused += 1,
                Err(words) => panic!("the person's edit {number} was refused: {words}"),
            }
        }
        panic!("the person's edit {number} was not kept");
    }

    /// Returns whether the config has that edit.
    pub async fn is_kept(&self, number: u32) -> bool {
        let config = Client::new(self.gateway).config().await;
        self.entry(&config)["heartbeat"]["every"] == every(number)
            && config["ui"]["seamColor"] == colour(number)
    }

    fn patch(&self, config: &Value, number: u32) -> Value {
        let heartbeat = json!({ "every": every(number), "target": "none" });
        let agents = match self.roster {
            // Old versions replace lists, so the patch has the whole list.
            Roster::List => {
                let mut list = config["agents"]["list"]
                    .as_array()
                    .expect("the person's agent is in it")
                    .clone();
                let own = list
                    .iter_mut()
                    .find(|agent| agent["id"] == AGENT)
                    .expect("the person's agent is in it");
                own["heartbeat"] = heartbeat;
                json!({ "list": list })
            }
            Roster::Entries => json!({ "entries": { AGENT: { "heartbeat": heartbeat } } }),
        };
        json!({ "agents": agents, "ui": { "seamColor": colour(number) } })
    }

    fn entry(&self, config: &Value) -> Value {
        let agents = &config["agents"];
        match self.roster {
            Roster::List => {
                let mut list = agents["list"].as_array().into_iter().flatten();
                list.find(|agent| agent["id"] == AGENT).cloned().unwrap_or_default()
            }
            Roster::Entries => agents["entries"][AGENT].clone(),
        }
    }
}

fn every(number: u32) -> String {
    format!("{}m", 40 + number)
}

fn colour(number: u32) -> String {
    format!("#0000{number:02x}")
}
