//! Each kind of job alone: it is carried out, checked, and carried out again, which must write
//! nothing.

use serde_json::{Value, json};

use super::Installation;
use super::documents::{self, Agent};
use super::proof::Proof;
use super::table::Row;
use super::version::{LeftOut, Trait};

/// The entry by which a report says that the gateway's own agent no longer has heartbeats.
const NO_MORE_HEARTBEATS: &str = "heartbeats of main";

/// The goal of a case.
enum Goal<'a> {
    /// These agents are as described.
    Stand(&'a [&'a Agent]),
    Gone(&'a Agent),
}

impl Installation {
    /// Carries out all kinds of jobs.
    pub(super) async fn flows(&self) {
        let mut lead = documents::lead();
        let mut worker = documents::worker();
        let main = documents::main();
        let (make, nothing) = (&self.documents, &LeftOut::new());

        let provisioned = &self.version.left_out_of_provisioning();
        self.twice("provision a lead", make.provision(&lead), Goal::Stand(&[&lead]), provisioned)
            .await;
        self.twice(
            "provision a worker",
            make.provision(&worker),
            Goal::Stand(&[&worker]),
            provisioned,
        )
        .await;
        self.twice(
            "provision the main agent",
            make.provision_main(&main),
            Goal::Stand(&[&main]),
            provisioned,
        )
        .await;

        "Otto Renamed".clone_into(&mut worker.name);
        let stand = Goal::Stand(&[&worker, &lead]);
        self.twice("update", make.update(&worker), stand, provisioned).await;

        (lead.every, worker.every) = ("25h", "20h");
        let stand = Goal::Stand(&[&lead, &worker, &main]);
        let synced = &self.version.left_out_of_sync();
        self.twice("heartbeat-sync", make.sync(&[&lead, &worker]), stand, synced).await;

        self.wakes(&worker).await;

        self.twice("cleanup", make.cleanup(&lead), Goal::Gone(&lead), nothing).await;
        self.twice("cleanup right after it", make.cleanup(&worker), Goal::Gone(&worker), nothing)
            .await;
        self.proof("cleanup right after another", &lead).is_gone(nothing).await;
        let cleaned = &self.version.left_out_of_main_cleanup(&main.session);
        self.twice("cleanup of the main agent", make.cleanup(&main), Goal::Gone(&main), cleaned)
            .await;

        self.comes_back(&documents::worker()).await;
    }

    /// Checks that an agent that was removed can be created again.
    async fn comes_back(&self, worker: &Agent) {
        let case = "provision again after cleanup";
        let (document, goal) = (self.documents.provision(worker), Goal::Stand(&[worker]));
        let left_out = &self.version.left_out_of_provisioning();
        if !self.version.is(Trait::ForgetsSessionsOfDeleted) {
            return self.twice(case, document, goal, left_out).await;
        }
        let left_out_now = self.left_out_now(&goal, left_out).await;
        let record = self.blocked(&self.queue, &document).await;
        assert_eq!(
            record["failure"]["code"], "gateway_restart_needed",
            "{case}: {}",
            record["failure"]
        );
        // The gateway must be able to restart, and the same job must succeed after that.
        self.gateway.restart().await;
        let id = record["id"].as_str().unwrap().to_owned();
        self.queue.retry(&id).await;
        self.queue.work().await;
        let row = self.done(case, "after a restart", &self.queue.records(&[id]).await[0]);
        assert_eq!(row.left_out, left_out_now, "{case}: left out");
        self.prove(case, &goal, left_out).await;
        self.findings.lock().unwrap().blocked(case, &record);
    }

    /// Checks that an update without a token keeps the current one, and wakes the agent once.
    async fn wakes(&self, worker: &Agent) {
        let case = "update without token, wake";
        let verb = "greeted";
        let row = self.carry_out(case, "", &self.documents.wake(worker, verb)).await;
        assert_eq!(row.written, [format!("wake sent to {}", worker.session)], "{case}");
        let woken = Proof { is_awake: true, ..self.proof(case, worker) };
        woken.stands().await;
        // The woken agent may change its files from now on.
        let after = self.carry_out(case, "after", &self.documents.update(worker)).await;
        assert!(!after.changed, "{case}, after: wrote {:?}", after.written);
        woken.stands().await;
        // Some versions do not keep a message that no model has answered.
        let question = json!({ "sessionKey": worker.session, "limit": 20 });
        let history = self.client.ask("chat.history", question).await.unwrap();
        let messages = history["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["role"] == "user");
        let arrived =
            messages.filter(|message| message["content"].to_string().contains(verb)).count();
        assert!(arrived <= 1, "{case}: {history:#}");
        self.note(case, format!("{}, {arrived} message in the session", row.seconds()));
    }

    /// Carries out a job, checks its goal, and checks that the same job then writes nothing.
    async fn twice(&self, case: &'static str, document: Value, goal: Goal<'_>, left_out: &LeftOut) {
        let left_out_first = self.left_out_now(&goal, left_out).await;
        let first = self.carry_out(case, "first", &document).await;
        // The report is that of the last run. An earlier run may have written and then been
        // disturbed.
        assert!(first.changed || first.was_disturbed(), "{case}: nothing was written");
        assert_eq!(first.left_out, left_out_first, "{case}: left out");
        self.prove(case, &goal, left_out).await;

        let before = self.client.config_hash().await;
        let again = self.carry_out(case, "again", &document).await;
        assert!(!again.changed, "{case}, again: wrote {:?}", again.written);
        assert_eq!((again.written.len(), again.config_writes), (0, 0), "{case}, again");
        assert_eq!(again.left_out, *left_out, "{case}, again: left out");
        self.prove(case, &goal, left_out).await;
        assert_eq!(
            self.client.config_hash().await,
            before,
            "{case}, again: the config was written"
        );
        self.note(case, format!("{}, again {}", first.seconds(), again.seconds()));
    }

    /// Returns what the next report must list as left out. On all versions, the first agent with
    /// heartbeats of its own turns off the heartbeats of all agents that have none.
    async fn left_out_now(&self, goal: &Goal<'_>, left_out: &LeftOut) -> LeftOut {
        let config = self.client.config().await;
        let agents = &config["agents"];
        let list = agents["list"].as_array().into_iter().flatten();
        let entries =
            agents["entries"].as_object().into_iter().flat_map(|entries| entries.values());
        let is_first = !list.chain(entries).any(|entry| entry.get("heartbeat").is_some());
        let mut left_out = left_out.clone();
        if is_first && matches!(goal, Goal::Stand(_)) {
            left_out.push(NO_MORE_HEARTBEATS.into());
        }
        left_out
    }

    async fn carry_out(&self, case: &'static str, time: &'static str, document: &Value) -> Row {
        let records = self.queue.carry_out(std::slice::from_ref(document)).await;
        self.done(case, time, &records[0])
    }

    async fn prove(&self, case: &str, goal: &Goal<'_>, left_out: &LeftOut) {
        match goal {
            Goal::Stand(agents) => self.stand(case, agents).await,
            Goal::Gone(agent) => self.proof(case, agent).is_gone(left_out).await,
        }
    }
}
