//! Real gateways: each version carries out every kind of job twice, and the test then asks the
//! gateway itself for the result.
//!
//! `make interop` runs this test. `make test` does not, because the test installs gateways from npm
//! and takes long. Each version gets an installation of its own: a gateway started by
//! `openclaw-gateway.sh`, and a worker with its private Redis. A case enqueues documents, lets
//! `worker run --until-idle` carry them out, and reads the records of the jobs. The result is
//! checked by a client that shares no code with the product.
//!
//! `MISSION_INTEROP` selects versions: their names, separated by commas, or `ci`. Each is
//! installed, tested and removed before the next one; those of `ci` stay installed. The findings
//! for each version are kept in the target directory. When all versions have been tested, the
//! findings must match the table in README.md, or are written there if `MISSION_WRITE_README` is
//! set.
//!
//! | File | Contents |
//! |---|---|
//! | `gateway` | the process of a gateway |
//! | `client` | requests to a gateway |
//! | `person` | a person who edits its config |
//! | `owner` | an owner with an earlier config of their own |
//! | `stranger` | a route to it that looks remote |
//! | `queue` | the processes of the worker |
//! | `documents` | the agents and their job documents |
//! | `version` | the limitations of each version |
//! | `flows` | each kind of job alone, carried out twice |
//! | `trouble` | gateways that refuse, restart, or are edited at the same time |
//! | `measure` | the cost of many agents at once |
//! | `proof` | the answers that the gateway must give |
//! | `table` | the printed result, and the table in README.md |
//! | `marked` | generated tables in documents |

mod client;
mod documents;
mod flows;
mod gateway;
mod marked;
mod measure;
mod owner;
mod person;
mod proof;
mod queue;
mod stranger;
mod table;
mod trouble;
mod version;

use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use client::Client;
use documents::{Agent, Documents};
use gateway::Gateway;
use owner::Owner;
use proof::Proof;
use queue::Queue;
use table::{Findings, Row, Table};
use version::{Trait, Version};

#[tokio::test]
#[ignore = "starts real gateways; run by make interop"]
async fn interop() {
    let mut failed = Vec::new();
    let chosen = version::chosen();
    // Versions run in sequence: a gateway needs up to 2 GB of memory, and its installation 1.3 GB
    // of disk.
    for version in chosen.iter().copied() {
        let began = Instant::now();
        // Each version runs in a task, so that a failure does not prevent the next version from
        // being tested.
        if tokio::spawn(Installation::play(version)).await.is_err() {
            failed.push(version.name);
        }
        println!("{}: {} s", version.name, began.elapsed().as_secs());
        if !version.is_in_ci() {
            gateway::remove(version.name).await;
        }
    }
    assert!(failed.is_empty(), "failed on {}; see above", failed.join(" and "));
    if (chosen.len() == version::ALL.len() || marked::is_writing())
        && let Some(table) = Table::kept(version::ALL.iter().map(|version| version.name))
    {
        table.compare_with_readme();
    }
}

#[tokio::test]
#[ignore = "starts real gateways; run by make interop-bench"]
async fn measure_many_agents_at_once() {
    let mut all = Vec::new();
    for version in version::chosen().into_iter().filter(|version| !version.is(Trait::TooOld)) {
        all.extend(measure::version(version).await);
    }
    measure::tell(&all);
}

/// A gateway, a worker and its Redis. When a case fails, the ends of their logs are printed.
struct Installation {
    version: &'static Version,
    gateway: Gateway,
    client: Client,
    queue: Queue,
    documents: Documents,
    findings: Mutex<Findings>,
    /// The folder is deleted after all that use it have ended.
    folder: TempDir,
}

impl Installation {
    async fn start(version: &'static Version) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), version).await
    }

    /// Starts an installation whose gateway finds a config of its owner.
    async fn start_owned(version: &'static Version) -> (Self, Owner) {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::of(version, &folder.path().join("gateway"));
        (Self::start_in(folder, version).await, owner)
    }

    async fn start_in(folder: TempDir, version: &'static Version) -> Self {
        let gateway = Gateway::start(version.name, &folder.path().join("gateway")).await;
        Self {
            version,
            client: Client::new(&gateway),
            queue: Queue::new(&folder.path().join("queue")),
            documents: Documents::new(&gateway),
            gateway,
            findings: Mutex::new(Findings::of(version.name)),
            folder,
        }
    }

    async fn play(version: &'static Version) {
        let mut installation = Self::start(version).await;
        if version.is(Trait::TooOld) {
            installation.is_refused().await;
            return installation.findings.lock().unwrap().keep();
        }
        installation.all().await;
        let findings = std::mem::take(&mut installation.findings);
        drop(installation);
        let (mut installation, mut owner) = Self::start_owned(version).await;
        installation.findings = findings;
        installation.beside_the_owner(&mut owner).await;
        installation.findings.lock().unwrap().keep();
    }

    async fn all(&self) {
        self.wrong_token().await;
        self.stranger().await;
        self.flows().await;
        self.restarted_midway().await;
        self.beside_a_person().await;
    }

    /// Carries out jobs together and asserts that all of them are done.
    async fn all_done(&self, case: &'static str, documents: &[Value]) -> Vec<Row> {
        let records = self.queue.carry_out(documents).await;
        records.iter().map(|record| self.done(case, "", record)).collect()
    }

    fn done(&self, case: &'static str, time: &'static str, record: &Value) -> Row {
        assert_eq!(record["state"], "done", "{case}, {time}: {record:#}");
        let row = Row::of(record, self.version.name, case, time);
        println!("{row}");
        self.findings.lock().unwrap().add(&row);
        row
    }

    /// Records that a case succeeded, with figures for the table.
    fn note(&self, case: &'static str, figures: String) {
        println!("{}: {case}: {figures}", self.version.name);
        self.findings.lock().unwrap().ok(case, figures);
    }

    async fn stand(&self, case: &str, agents: &[&Agent]) {
        for agent in agents {
            let case = format!("{case}, {}", agent.id);
            self.proof(&case, agent).stands().await;
        }
    }

    fn proof<'a>(&'a self, case: &'a str, agent: &'a Agent) -> Proof<'a> {
        let (client, workspaces) = (&self.client, &self.gateway.workspaces);
        Proof {
            client,
            version: self.version,
            workspaces,
            agent,
            shows_ok: false,
            is_awake: false,
            case,
        }
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- failed on {} ---", self.version.name);
            self.queue.print_log();
            self.gateway.print_log();
        }
    }
}
