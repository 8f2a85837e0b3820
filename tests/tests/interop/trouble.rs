//! Gateways that refuse, restart, or are edited while the worker writes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::Installation;
use super::client::Client;
use super::documents::{self, Agent, Documents};
use super::owner::Owner;
use super::person::Person;
use super::proof::Proof;
use super::queue::Queue;
use super::stranger::Stranger;
use super::version::{LeftOut, Trait};

/// The number of agents that are being created when the gateway is restarted.
const IN_THE_MIDDLE: usize = 5;
/// The number of agents that are created at once.
const FLEET: usize = 20;
/// The number of edits that a person makes meanwhile.
const EDITS: u32 = 3;
/// The maximum time until the first of some agents appears in the config.
const APPEARS_WITHIN: Duration = Duration::from_secs(240);
/// The interval at which the config's file is read.
const LOOK: Duration = Duration::from_millis(2);

impl Installation {
    /// Checks a gateway without the agent methods: the job is blocked, and its error says what is
    /// missing.
    pub(super) async fn is_refused(&self) {
        let lead = documents::lead();
        let record = self.blocked(&self.queue, &self.documents.provision(&lead)).await;
        let failure = &record["failure"];
        assert_eq!(failure["code"], "gateway_too_old", "{failure}");
        let [message, action] = [&failure["message"], &failure["action"]]
            .map(|words| words.as_str().unwrap_or_default());
        assert!(message.contains("older than 2026.2.9"), "{message}");
        assert!(action.contains("upgrade") && action.contains("2026.2.9"), "{action}");
        self.findings.lock().unwrap().refused(&record);
    }

    /// Checks that a wrong token is reported, and that the same job with the right one is carried
    /// out.
    pub(super) async fn wrong_token(&self) {
        let case = "wrong token";
        let wrong = Documents::by(&self.gateway, &self.gateway.url, "not-the-token");
        let lead = documents::lead();
        let record = self.blocked(&self.queue, &wrong.cleanup(&lead)).await;
        let failure = &record["failure"];
        assert_eq!(failure["code"], "unauthorized", "{failure}");
        assert!(
            failure["action"].as_str().is_some_and(|action| action.contains("gateway.auth.token")),
            "{failure}"
        );
        self.all_done(case, &[self.documents.cleanup(&lead)]).await;
        let [wrong] = &self.queue.records(&[record["id"].as_str().unwrap().to_owned()]).await[..]
        else {
            panic!()
        };
        assert_eq!(wrong["state"], "superseded", "{wrong}");
        self.note(case, "blocked, then done".into());
    }

    /// Checks that a remote worker waits until a person approves it, and that its error names the
    /// command for that.
    pub(super) async fn stranger(&self) {
        let case = "device not approved";
        let stranger = Stranger::at(&self.gateway).await;
        // Another worker, with a key that this gateway does not know.
        let queue = Queue::new(&self.folder.path().join("stranger"));
        let document = Documents::by(&self.gateway, &stranger.url, &self.gateway.token)
            .cleanup(&documents::lead());
        if self.version.is(Trait::LetsStrangersIn) {
            let records = queue.carry_out(&[document]).await;
            self.done(case, "", &records[0]);
            let reason = "lets in whoever has the token";
            return self.findings.lock().unwrap().not_applicable(case, reason);
        }
        let record = self.blocked(&queue, &document).await;
        let failure = &record["failure"];
        assert_eq!(failure["code"], "pairing_required", "{failure}");
        let command = failure["remedy"]["command"].as_str().unwrap_or_default();
        let request = command.strip_prefix("openclaw devices approve ");
        let request = request.unwrap_or_else(|| panic!("another command: {failure}"));
        self.client.ask("device.pair.approve", json!({ "requestId": request })).await.unwrap();
        let id = record["id"].as_str().unwrap().to_owned();
        queue.retry(&id).await;
        queue.work().await;
        self.done(case, "", &queue.records(&[id]).await[0]);
        self.note(case, "blocked, then done".into());
    }

    /// Stops and starts the gateway while agents are being created.
    pub(super) async fn restarted_midway(&self) {
        let case = "gateway restarted midway";
        let agents = documents::fleet(0, IN_THE_MIDDLE);
        let ids = self.queue.enqueue(&self.provisions(&agents)).await;
        let restart = async {
            let appears = async {
                while !agents.iter().any(|agent| self.gateway.config_file().contains(&agent.folder))
                {
                    sleep(LOOK).await;
                }
            };
            timeout(APPEARS_WITHIN, appears).await.expect("an agent appears in the config");
            self.gateway.restart().await;
        };
        let ((), ()) = tokio::join!(self.queue.work(), restart);
        let records = self.queue.records(&ids).await;
        for record in &records {
            self.done(case, "", record);
        }
        self.work(case, &agents).await;
        let runs: usize =
            records.iter().map(|record| record["history"].as_array().unwrap().len()).sum();
        self.note(case, format!("{runs} runs of {IN_THE_MIDDLE} jobs"));
    }

    /// Creates many agents at once while a person edits the config.
    pub(super) async fn beside_a_person(&self) {
        let case = "20 agents at once, config edited";
        let agents = documents::fleet(100, FLEET);
        let mut person = Person::with_agent(&self.gateway, self.version.roster).await;
        let ids = self.queue.enqueue(&self.provisions(&agents)).await;
        let watch = Client::watch(&self.gateway);
        let began = Instant::now();
        let edits = async {
            for number in 1..=EDITS {
                person.edit(number).await;
            }
        };
        let ((), ()) = tokio::join!(self.queue.work(), edits);
        let took = began.elapsed();
        let restarts = watch.restarts();
        let mut writes = 0;
        for record in self.queue.records(&ids).await {
            writes += self.done(case, "", &record).config_writes;
        }
        self.work(case, &agents).await;
        assert!(person.is_kept(EDITS).await, "{case}: what the person wrote last is lost");
        let (lost, refused) = (person.lost, person.refused);
        assert!(
            lost == 0 || !self.version.is(Trait::ComparesHashes),
            "{case}: {lost} edits of the person were lost"
        );
        self.note(
            case,
            format!(
                "{:.1} s, {writes} writes, {restarts} restarts; edits of the person: {refused} \
                 refused, {lost} lost",
                took.as_secs_f32()
            ),
        );
    }

    /// Creates and removes agents beside those of the gateway's owner, and checks that the owner's
    /// config stays.
    pub(super) async fn beside_the_owner(&self, owner: &mut Owner) {
        let case = "a gateway with an owner";
        let (lead, mut worker) = (documents::lead(), documents::worker());
        let provisions = [&lead, &worker].map(|agent| self.documents.provision(agent));
        let mut refused = None;
        if self.version.is(Trait::RefusesIncludes) {
            let record = self.blocked(&self.queue, &provisions[0]).await;
            let failure = &record["failure"];
            assert_eq!(failure["code"], "config_included", "{case}: {failure}");
            let names_it =
                failure["message"].as_str().is_some_and(|words| words.contains("messages"));
            assert!(names_it, "{case}: {failure}");
            owner.inline_includes();
            self.gateway.restart().await;
            refused = Some(record);
        }
        self.all_done(case, &provisions).await;
        worker.every = "20h";
        self.all_done(case, &[self.documents.sync(&[&lead, &worker])]).await;
        for agent in [&lead, &worker] {
            Proof { shows_ok: true, is_awake: true, ..self.proof(case, agent) }.stands().await;
        }
        self.all_done(case, &[self.documents.cleanup(&lead)]).await;
        // After a restart the gateway must work with what was written.
        self.gateway.restart().await;
        self.proof(case, &lead).is_gone(&LeftOut::new()).await;
        Proof { shows_ok: true, is_awake: true, ..self.proof(case, &worker) }.stands().await;
        let losses = owner.losses(case);
        let expected: BTreeSet<_> = self.version.losses.iter().copied().collect();
        assert_eq!(losses, expected, "{case}: what this version's writes change");
        let mut findings = self.findings.lock().unwrap();
        findings.lose(losses);
        match refused {
            Some(record) => findings.blocked(case, &record),
            None => findings.ok(case, String::new()),
        }
    }

    /// Checks that the agents are as described, even if they have started to work: some gateways
    /// start one of many before the last one is created.
    pub(super) async fn work(&self, case: &str, agents: &[Agent]) {
        for agent in agents {
            let case = format!("{case}, {}", agent.id);
            Proof { is_awake: true, ..self.proof(&case, agent) }.stands().await;
        }
    }

    fn provisions(&self, agents: &[Agent]) -> Vec<Value> {
        agents.iter().map(|agent| self.documents.provision(agent)).collect()
    }

    /// Carries out a job that requires a person, and returns its record.
    pub(super) async fn blocked(&self, queue: &Queue, document: &Value) -> Value {
        let record = queue.carry_out(std::slice::from_ref(document)).await.remove(0);
        assert_eq!(record["state"], "blocked", "{record:#}");
        let failure = &record["failure"];
        println!("{}: blocked: {}; {}", self.version.name, failure["message"], failure["action"]);
        record
    }
}
