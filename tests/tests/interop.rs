//! Real gateways: every kind of job is carried out twice on each version, and the gateway itself is asked for the result.
//!
//! `make interop` runs this; plain `make test` does not, because it installs gateways from npm and takes minutes. Each
//! version gets an installation of its own: a gateway started by `openclaw-gateway.sh`, and a worker with its private
//! Redis. A case enqueues a document, lets `worker run --until-idle` carry it out, and reads the job's record; then
//! once more, when nothing may be written. What was made is proved by a client that shares no code with the product.
//!
//! | File | What is in it |
//! |---|---|
//! | `gateway` | a gateway's process |
//! | `client` | questions to a gateway |
//! | `queue` | the worker's processes |
//! | `documents` | the agents and their job documents |
//! | `version` | what each version cannot take |
//! | `proof` | what the gateway must answer |
//! | `table` | what is printed at the end |

mod client;
mod documents;
mod gateway;
mod proof;
mod queue;
mod table;
mod version;

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use client::Client;
use documents::{Agent, Documents};
use gateway::Gateway;
use proof::Proof;
use queue::Queue;
use table::{Row, Table};
use version::Version;

#[tokio::test]
#[ignore = "starts real gateways; run by make interop"]
async fn interop() {
    let table = Arc::new(Mutex::new(Table::default()));
    let mut failed = Vec::new();
    // One after the other: a gateway needs up to 2 GB.
    for version in version::chosen() {
        let table = Arc::clone(&table);
        // A task of its own, so that a version that fails does not keep the next from being tried.
        if tokio::spawn(async move { Installation::start(version, table).await.play().await }).await.is_err() {
            failed.push(version.name);
        }
    }
    println!("{}", table.lock().unwrap());
    assert!(failed.is_empty(), "failed on {}; see above", failed.join(" and "));
}

/// A gateway, a worker and its Redis. When a case fails, their last words are printed.
struct Installation {
    version: &'static Version,
    gateway: Gateway,
    client: Client,
    queue: Queue,
    documents: Documents,
    table: Arc<Mutex<Table>>,
    /// Deleted after all that use it.
    _folder: TempDir,
}

/// What a case is to bring about.
enum Goal<'a> {
    /// These agents are as described.
    Stand(&'a [&'a Agent]),
    /// This agent is gone.
    Gone(&'a Agent),
}

impl Installation {
    async fn start(version: &'static Version, table: Arc<Mutex<Table>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(version.name, &folder.path().join("gateway")).await;
        Self {
            version,
            client: Client::new(&gateway),
            queue: Queue::new(folder.path()),
            documents: Documents::new(&gateway),
            gateway,
            table,
            _folder: folder,
        }
    }

    async fn play(&self) {
        let mut lead = documents::lead();
        let mut worker = documents::worker();
        let main = documents::main();
        let make = &self.documents;

        let provisioned = self.version.left_out_of_provisioning;
        self.twice("provision lead", make.provision(&lead), Goal::Stand(&[&lead]), provisioned).await;
        self.twice("provision worker", make.provision(&worker), Goal::Stand(&[&worker]), provisioned).await;
        self.twice("provision main", make.provision_main(&main), Goal::Stand(&[&main]), provisioned).await;

        worker.name = "Otto Renamed";
        let stand = Goal::Stand(&[&worker, &lead]);
        self.twice("update worker", make.update(&worker), stand, provisioned).await;

        (lead.every, worker.every) = ("25m", "2h");
        let stand = Goal::Stand(&[&lead, &worker, &main]);
        let synced = self.version.left_out_of_sync;
        self.twice("sync heartbeats", make.sync(&[&lead, &worker]), stand, synced).await;

        self.twice("clean up lead", make.cleanup(&lead), Goal::Gone(&lead), &[]).await;
        self.twice("clean up worker", make.cleanup(&worker), Goal::Gone(&worker), &[]).await;
        let cleaned = self.version.left_out_of_main_cleanup;
        self.twice("clean up main", make.cleanup(&main), Goal::Gone(&main), cleaned).await;

        let worker = documents::worker();
        self.twice("worker returns", make.provision(&worker), Goal::Stand(&[&worker]), provisioned).await;
    }

    /// Carries out a job, proves its goal, and shows that the same job again writes nothing.
    async fn twice(&self, case: &'static str, document: Value, goal: Goal<'_>, left_out: &[&str]) {
        let first = self.carry_out(case, "first", &document).await;
        assert!(first.changed, "{case}: nothing was written");
        assert_eq!(first.left_out, left_out, "{case}: left out");
        self.prove(case, &goal, left_out).await;

        let before = self.client.config_hash().await;
        let again = self.carry_out(case, "again", &document).await;
        assert!(!again.changed, "{case}, again: wrote {:?}", again.written);
        assert_eq!((again.written.len(), again.config_writes), (0, 0), "{case}, again");
        assert_eq!(again.left_out, left_out, "{case}, again: left out");
        self.prove(case, &goal, left_out).await;
        assert_eq!(self.client.config_hash().await, before, "{case}, again: the config was written");
    }

    async fn carry_out(&self, case: &'static str, time: &'static str, document: &Value) -> Row {
        let record = self.queue.carry_out(document).await;
        assert_eq!(record["state"], "done", "{case}, {time}: {record:#}");
        let row = Row::of(&record, self.version.name, case, time);
        println!("{row}");
        self.table.lock().unwrap().add(row.clone());
        row
    }

    async fn prove(&self, case: &str, goal: &Goal<'_>, left_out: &[&str]) {
        let (client, version, workspaces) = (&self.client, self.version, &self.gateway.workspaces);
        match goal {
            Goal::Stand(agents) => {
                for agent in *agents {
                    let case = &format!("{case}, {}", agent.id);
                    Proof { client, version, workspaces, agent, case }.stands().await;
                }
            }
            Goal::Gone(agent) => Proof { client, version, workspaces, agent, case }.is_gone(left_out).await,
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
