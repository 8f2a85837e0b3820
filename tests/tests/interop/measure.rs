//! The cost of many agents at once through the worker, and the minimum cost.
//!
//! The minimum is one config write for all of them, and then their files and sessions without
//! waiting for answers in between, by a program that reads nothing back. Both measurements begin
//! with a freshly started gateway that has one agent, so neither finds the agents of the other.
//! Both have to connect, and both programs are already running.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::Installation;
use super::client::{Client, Watch};
use super::documents::{self, Agent};
use super::marked::Marked;
use super::version::{Roster, Version};

/// The place of the result.
const PERFORMANCE: Marked = Marked { document: "docs/performance.md", name: "interop-bench" };
/// The numbers of agents at once.
const SIZES: [usize; 2] = [20, 50];
/// The pause before each measurement. A gateway that was written to may restart some seconds later.
const REST: Duration = Duration::from_secs(5);

/// One line of the result.
pub struct Measured {
    version: &'static str,
    agents: usize,
    least: Duration,
    worker: Duration,
    /// The times of the cleanups: by the worker, and by one `agents.delete` after the other.
    cleanups: (Duration, Duration),
    restarts: usize,
    runs: usize,
    config_writes: u64,
    rpcs: u64,
}

/// Measures one version of the gateway.
pub async fn version(version: &'static Version) -> Vec<Measured> {
    let mut all = Vec::new();
    for agents in SIZES {
        let (installation, _watch) = warm(version).await;
        let fleet = documents::quiet_fleet(agents);
        let least =
            (installation.at_least(&fleet).await, installation.delete_at_least(&fleet).await);
        drop(installation);
        let (installation, watch) = warm(version).await;
        let measured = installation.by_worker(&fleet, least, &watch).await;
        println!("{}", row(&measured));
        all.push(measured);
    }
    all
}

/// Prints the table of all lines, and writes it into docs/performance.md if the environment asks
/// for it.
pub fn tell(all: &[Measured]) {
    let table = table(all);
    println!("\n{table}");
    PERFORMANCE.write(&table);
}

fn table(all: &[Measured]) -> String {
    let mut text = String::from(
        "| version | agents | the worker | the least | ratio | cleanups | the least | ratio | \
            restarts | config writes | runs | RPCs |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for measured in all {
        writeln!(text, "{}", row(measured)).unwrap();
    }
    text
}

fn row(of: &Measured) -> String {
    let Measured { version, agents, restarts, runs, config_writes, rpcs, .. } = of;
    let (worker, least) = (of.worker.as_secs_f64(), of.least.as_secs_f64());
    let ratio = worker / least;
    let (cleanups, deletions) = (of.cleanups.0.as_secs_f64(), of.cleanups.1.as_secs_f64());
    let ratio_of_cleanups = cleanups / deletions;
    format!(
        "| {version} | {agents} | {worker:.2} s | {least:.2} s | {ratio:.2} | {cleanups:.2} s | \
            {deletions:.2} s | {ratio_of_cleanups:.2} | {restarts} | {config_writes} | {runs} | \
            {rpcs} |"
    )
}

/// Returns the time from the start of the first run to the end of the last. All jobs must be done.
fn span(records: &[Value]) -> Duration {
    let number = |value: &Value| value.as_u64().unwrap();
    for record in records {
        assert_eq!(record["state"], "done", "{record:#}");
    }
    let runs = records.iter().flat_map(|record| record["history"].as_array().unwrap());
    let began = runs.map(|run| number(&run["started_at_ms"])).min().unwrap();
    let ended = records.iter().map(|record| number(&record["finished_at_ms"])).max().unwrap();
    Duration::from_millis(ended - began)
}

/// Formats the steps of a job's last run. Consecutive steps of one name share a line, with their
/// maximum.
fn steps(record: &Value) -> String {
    let last = record["history"]
        .as_array()
        .and_then(|runs| runs.last())
        .expect("a job that is done had a run");
    let steps = last["result"]["steps"].as_array().expect("a run has steps");
    let mut text = String::new();
    for group in steps.chunk_by(|one, two| one["name"] == two["name"]) {
        let longest = group.iter().filter_map(|step| step["duration_ms"].as_u64()).max();
        let name = group[0]["name"].as_str().unwrap_or_default();
        writeln!(text, "    {:2} x {name:20} {:6}", group.len(), longest.unwrap_or_default())
            .unwrap();
    }
    text
}

/// Formats the number of calls of each method, by all runs together.
fn calls(records: &[Value]) -> String {
    let runs = records.iter().flat_map(|record| record["history"].as_array().unwrap());
    let mut calls = BTreeMap::new();
    for step in runs.flat_map(|run| run["result"]["steps"].as_array().unwrap()) {
        *calls.entry(step["name"].as_str().unwrap()).or_insert(0) += 1;
    }
    calls.iter().map(|(method, count)| format!("{count} x {method}")).collect::<Vec<_>>().join(", ")
}

/// Starts a gateway, creates one agent on it, and waits for [`REST`].
async fn warm(version: &'static Version) -> (Installation, Watch) {
    let installation = Installation::start(version).await;
    let first = documents::lead();
    installation.all_done("warm up", &[installation.documents.provision(&first)]).await;
    installation.stand("warm up", &[&first]).await;
    sleep(REST).await;
    let watch = Client::watch(&installation.gateway);
    (installation, watch)
}

impl Installation {
    async fn by_worker(
        &self,
        agents: &[Agent],
        (least, least_of_cleanups): (Duration, Duration),
        watch: &Watch,
    ) -> Measured {
        let documents: Vec<_> =
            agents.iter().map(|agent| self.documents.provision(agent)).collect();
        let records = self.queue.carry_out(&documents).await;
        let restarts = watch.restarts();
        let worker = span(&records);
        let runs = records.iter().flat_map(|record| record["history"].as_array().unwrap());
        println!("steps of one job, in ms:\n{}", steps(&records[0]));
        println!("calls of all jobs: {}", calls(&records));
        // Each agent is checked by its files on the disk, and a few by everything that the gateway
        // answers, which takes long.
        for agent in agents {
            for (name, content) in self.kept_files(agent).await {
                let path = self.gateway.workspaces.join(&agent.folder).join(&name);
                let found = fs::read_to_string(path).unwrap_or_default();
                // A text that a gateway does not keep is added to another file of the agent.
                let is_as_rendered = found == content
                    || found == content.replace("TOOLS.md", "AGENTS.md")
                    || name == "AGENTS.md" && found.contains(&agent.name);
                assert!(is_as_rendered, "{}: {name} is:\n{found}", agent.id);
            }
        }
        self.stand_registered(agents).await;
        for agent in [&agents[0], &agents[agents.len() / 2], &agents[agents.len() - 1]] {
            self.stand("measured", &[agent]).await;
        }
        let documents: Vec<_> = agents.iter().map(|agent| self.documents.cleanup(agent)).collect();
        let cleanups = span(&self.queue.carry_out(&documents).await);
        let sum =
            |what| records.iter().map(|record| record["report"][what].as_u64().unwrap()).sum();
        Measured {
            version: self.version.name,
            agents: agents.len(),
            least,
            worker,
            cleanups: (cleanups, least_of_cleanups),
            restarts,
            runs: runs.count(),
            config_writes: sum("config_writes"),
            rpcs: sum("rpc_count"),
        }
    }

    /// Creates the agents with the fewest requests.
    async fn at_least(&self, agents: &[Agent]) -> Duration {
        let mut files = Vec::new();
        for agent in agents {
            for (name, content) in self.kept_files(agent).await {
                files.push((
                    "agents.files.set",
                    json!({ "agentId": agent.id, "name": name, "content": content }),
                ));
            }
        }
        let label = |agent: &Agent| {
            ("sessions.patch", json!({ "key": agent.session, "label": agent.name }))
        };
        let sessions = agents.iter().map(label).collect();
        let began = Instant::now();
        let shown = self.client.ask("config.get", json!({})).await.unwrap();
        let patch = self.registers(agents, &shown["parsed"]["agents"]).to_string();
        let patch = json!({ "raw": patch, "baseHash": shown["hash"] });
        self.client.ask("config.patch", patch).await.unwrap();
        self.client.ask_all(files).await;
        self.client.ask_all(sessions).await;
        let took = began.elapsed();
        self.stand_registered(agents).await;
        took
    }

    /// Deletes the agents with the fewest requests.
    async fn delete_at_least(&self, agents: &[Agent]) -> Duration {
        let began = Instant::now();
        for agent in agents {
            let question = json!({ "agentId": agent.id, "deleteFiles": true });
            self.client.ask("agents.delete", question).await.unwrap();
        }
        began.elapsed()
    }

    /// Returns the texts of an agent that the gateway keeps, by file name.
    async fn kept_files(&self, agent: &Agent) -> Vec<(String, String)> {
        let left_out = self.version.left_out_of_provisioning();
        let texts = self.queue.render(&self.documents.provision(agent)).await;
        texts
            .into_iter()
            .filter(|(name, _)| !left_out.contains(&format!("file {name}").into()))
            .collect()
    }

    /// Returns the patch that registers these agents beside the present one.
    fn registers(&self, agents: &[Agent], present: &Value) -> Value {
        let workspace = |agent: &Agent| self.gateway.workspaces.join(&agent.folder);
        let agents = match self.version.roster {
            Roster::List => {
                let mut list =
                    present["list"].as_array().expect("the first agent is there").clone();
                let mut heartbeat =
                    list.last().expect("the first agent is there")["heartbeat"].clone();
                list.extend(agents.iter().map(|agent| {
                    heartbeat["every"] = agent.every.into();
                    json!({
                        "id": agent.id, "name": agent.name, "workspace": workspace(agent),
                        "heartbeat": heartbeat
                    })
                }));
                json!({ "list": list })
            }
            Roster::Entries => {
                let mut heartbeat = present["entries"][documents::lead().id]["heartbeat"].clone();
                let entry = |agent: &Agent| {
                    heartbeat["every"] = agent.every.into();
                    let entry = json!({
                        "name": agent.name, "workspace": workspace(agent), "heartbeat": heartbeat
                    });
                    (agent.id.clone(), entry)
                };
                json!({ "entries": agents.iter().map(entry).collect::<serde_json::Map<_, _>>() })
            }
        };
        json!({ "agents": agents })
    }

    async fn stand_registered(&self, agents: &[Agent]) {
        let config = self.client.config().await.to_string();
        for agent in agents {
            assert!(config.contains(&agent.folder), "the gateway has lost {}", agent.id);
        }
    }
}
