//! The answers that the gateway itself must give when a job is done.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::Client;
use super::documents::Agent;
use super::version::{LeftOut, Roster, Trait, Version};

/// The files of which every version keeps some.
const FILES: [&str; 8] = [
    "AGENTS.md",
    "BOOTSTRAP.md",
    "HEARTBEAT.md",
    "IDENTITY.md",
    "MEMORY.md",
    "SOUL.md",
    "TOOLS.md",
    "USER.md",
];

/// The time within which the gateway must list an agent of its config.
const LISTED_WITHIN: Duration = Duration::from_secs(10);
/// The pause between requests.
const PAUSE: Duration = Duration::from_millis(200);

/// Checks one agent on one gateway.
pub struct Proof<'a> {
    pub client: &'a Client,
    pub version: &'a Version,
    /// The folder of all workspaces.
    pub workspaces: &'a Path,
    pub agent: &'a Agent,
    /// `true` if the gateway's owner wants every heartbeat to be shown.
    pub shows_ok: bool,
    /// `true` if the agent may have started to work. Then it may have ended its first day, and
    /// removed the file for it.
    pub is_awake: bool,
    /// The name of the case, with which each message begins.
    pub case: &'a str,
}

impl Proof<'_> {
    /// Checks that the agent is known, and that its entry, files and session are correct.
    pub async fn stands(&self) {
        let (agent, case) = (self.agent, self.case);
        self.is_listed().await;
        let config = self.client.config().await;
        let entry = self.entry(&config).unwrap_or_else(|| panic!("{case}: config.get lacks it"));
        assert_eq!(entry["name"], agent.name, "{case}: {entry}");
        assert_eq!(
            entry["workspace"],
            self.workspaces.join(&agent.folder).to_str().unwrap(),
            "{case}: {entry}"
        );
        self.heartbeat_stands(&entry["heartbeat"], &config["channels"]["defaults"]);
        self.files_stand().await;
        self.session_stands().await;
    }

    /// Waits until the agent is listed. Some versions apply their config with a delay of up to a
    /// second.
    async fn is_listed(&self) {
        let mut listed = None;
        for _ in 0..LISTED_WITHIN.as_millis() / PAUSE.as_millis() {
            listed = self.listed().await;
            if listed.as_ref().is_some_and(|listed| listed["name"] == self.agent.name) {
                return;
            }
            sleep(PAUSE).await;
        }
        panic!("{}: agents.list has {listed:?}", self.case);
    }

    fn heartbeat_stands(&self, heartbeat: &Value, channels: &Value) {
        let case = self.case;
        assert_eq!(
            (&heartbeat["every"], &heartbeat["target"]),
            (&json!(self.agent.every), &json!("none")),
            "{case}"
        );
        let reasoning = match self.version.roster {
            Roster::List => json!(false),
            Roster::Entries => Value::Null,
        };
        assert_eq!(heartbeat["includeReasoning"], reasoning, "{case}");
        match self.version.visibility() {
            Some(key) => {
                let shown =
                    json!({ "showOk": self.shows_ok, "showAlerts": true, "useIndicator": true });
                assert_eq!(channels[key], shown, "{case}: {channels}");
            }
            None => assert_eq!(*channels, Value::Null, "{case}"),
        }
        // Without HEARTBEAT.md, the prompt must contain the agent's duties.
        let has_prompt =
            heartbeat["prompt"].as_str().is_some_and(|prompt| !prompt.trim().is_empty());
        assert_eq!(has_prompt, self.left_out("HEARTBEAT.md"), "{case}: {heartbeat}");
    }

    async fn files_stand(&self) {
        let case = self.case;
        for name in FILES {
            let content = match self.file(name).await {
                Ok(answer) => answer["file"]["content"].as_str().unwrap_or_default().to_owned(),
                Err(words) => {
                    assert!(
                        self.left_out(name) && words.contains("unsupported file"),
                        "{case}: {name}: {words}"
                    );
                    continue;
                }
            };
            assert!(
                !self.left_out(name),
                "{case}: the gateway keeps {name}, but the report says that it does not"
            );
            // The gateway deletes this file at any time after the agent has run.
            if name == "BOOTSTRAP.md" && self.is_awake {
                continue;
            }
            assert!(!content.trim().is_empty(), "{case}: {name} is empty");
            let on_disk = fs::read_to_string(self.workspaces.join(&self.agent.folder).join(name))
                .unwrap_or_default();
            assert_eq!(content, on_disk, "{case}: {name} on the disk");
            if name == self.version.token_file() {
                assert!(
                    content.contains(&self.agent.token),
                    "{case}: {name} lacks the agent's token:\n{content}"
                );
            }
        }
    }

    async fn session_stands(&self) {
        let (agent, case) = (self.agent, self.case);
        let is_of_agent = agent.session.split(':').nth(1) == Some(&agent.id);
        if is_of_agent || self.version.is(Trait::ListsForeignSessions) {
            let session =
                self.session().await.unwrap_or_else(|| panic!("{case}: sessions.list lacks it"));
            assert_eq!(session["label"], agent.name, "{case}: {session}");
        } else {
            let resolved = self.resolved().await.unwrap();
            assert_eq!(resolved["key"], agent.session, "{case}: sessions.resolve");
        }
    }

    /// Checks that nothing of the agent is left, on the gateway or in its workspace folder, except
    /// what the report lists.
    pub async fn is_gone(&self, left_out: &LeftOut) {
        let (agent, case) = (self.agent, self.case);
        assert_eq!(self.listed().await, None, "{case}: agents.list");
        assert_eq!(self.entry(&self.client.config().await), None, "{case}: config.get");
        let words = self
            .file("AGENTS.md")
            .await
            .expect_err("a gateway has no files of an agent that is gone");
        assert!(words.contains("unknown agent") || words.contains("not found"), "{case}: {words}");
        assert!(
            !self.workspaces.join(&agent.folder).exists(),
            "{case}: the workspace is still there"
        );
        let kept = left_out.contains(&format!("session {}", agent.session).into());
        assert_eq!(self.session().await.is_some(), kept, "{case}: sessions.list");
        let resolved = self.resolved().await;
        assert!(resolved.is_err(), "{case}: sessions.resolve: {resolved:?}");
    }

    /// Returns whether the report must say that the gateway does not keep that file.
    fn left_out(&self, file: &str) -> bool {
        self.version.left_out_of_provisioning().contains(&format!("file {file}").into())
    }

    fn entry(&self, config: &Value) -> Option<Value> {
        let (agents, id) = (&config["agents"], &self.agent.id);
        match self.version.roster {
            Roster::List => {
                agents["list"].as_array()?.iter().find(|entry| entry["id"] == *id).cloned()
            }
            Roster::Entries => agents["entries"].get(id).cloned(),
        }
    }

    async fn listed(&self) -> Option<Value> {
        let answer = self.client.ask("agents.list", json!({})).await.unwrap();
        answer["agents"]
            .as_array()
            .unwrap()
            .iter()
            .find(|listed| listed["id"] == self.agent.id)
            .cloned()
    }

    async fn file(&self, name: &str) -> Result<Value, String> {
        self.client.ask("agents.files.get", json!({ "agentId": self.agent.id, "name": name })).await
    }

    async fn session(&self) -> Option<Value> {
        let answer = self.client.ask("sessions.list", json!({ "limit": 1000 })).await.unwrap();
        answer["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|session| session["key"] == self.agent.session)
            .cloned()
    }

    async fn resolved(&self) -> Result<Value, String> {
        self.client.ask("sessions.resolve", json!({ "key": self.agent.session })).await
    }
}
