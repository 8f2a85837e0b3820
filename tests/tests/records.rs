//! Records of gateways and agents, with a worker process, a real Redis and simulated gateways: what
//! a backend sends in several jobs ends on the gateway as if it had been sent in one.

use std::time::Duration;

use mission_gateway_sim::{Gateway, Profile};
use mission_jobs::{Envelope, Queue, State};
use mission_test_support::RedisServer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use uuid::Uuid;

use crate::documents::{self, AGENT_TOKEN};
use crate::processes::{Ended, Worker};
use crate::simulated::start;

struct Scene {
    redis: RedisServer,
    queue: Queue,
    data: TempDir,
    gateway: Gateway,
}

impl Scene {
    async fn start(profile: Profile) -> Self {
        let redis = RedisServer::start().await;
        let (queue, data) = (redis.queue_named("mission"), TempDir::new().unwrap());
        Self { redis, queue, data, gateway: start(profile, |_| {}).await }
    }

    fn provision(&self, name: &str, changes: &[(&str, Value)]) -> Value {
        let mut document = documents::provision(&self.gateway.url(), name);
        document["options"] = json!({});
        for (path, value) in changes {
            let (parent, name) = path.rsplit_once('/').expect("a pointer");
            document.pointer_mut(parent).expect("an object")[name] = value.clone();
        }
        document
    }

    async fn put(&self, document: &Value) -> Uuid {
        let envelope = Envelope::new(document.to_string().as_bytes()).unwrap();
        self.queue.enqueue(&[envelope]).await.unwrap()[0].id
    }

    fn worker(&self) -> Worker {
        let worker = Worker::new(self.data.path()).env("MISSION_REDIS_URL", self.redis.url());
        worker.env("MISSION_HTTP_ADDR", "127.0.0.1:0")
    }

    async fn run_until_idle(&self) -> Ended {
        let ended = self.worker().run(&["run", "--until-idle"]).await;
        assert_eq!(ended.status, Some(0), "{}", ended.said);
        ended
    }

    async fn reach(&self, state: State, count: u64) {
        while self.queue.counts().await.unwrap().of(state) != count {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn edit() -> [(&'static str, Value); 2] {
    [("/options/action", json!("update")), ("/auth_token", Value::Null)]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_corrected_token_frees_every_job_of_the_gateway() {
    let scene = Scene::start(Profile::V2026_9_6).await;
    for name in ["Ada", "Bo", "Cy", "Di"] {
        scene.put(&scene.provision(name, &[("/gateway/token", json!("wrong"))])).await;
    }
    let worker = scene.worker().spawn(&["run"]);
    scene.reach(State::Blocked, 4).await;
    scene.put(&scene.provision("Ed", &[])).await;
    scene.reach(State::Done, 5).await;
    assert_eq!(worker.terminate().await.status, Some(0));
    let connections = scene.gateway.connections();
    assert!(connections <= 7, "a wrong token brings a lock-out closer: {connections} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_before_the_first_run_loses_neither_the_token_nor_the_wake() {
    let scene = Scene::start(Profile::V2026_9_6).await;
    let wake = ("/options/wake", json!({ "verb": "born" }));
    scene.put(&scene.provision("Ada", &[wake])).await;
    let renamed = [&edit()[..], &[("/agent/name", json!("Ada Lovelace"))]].concat();
    let last = scene.put(&scene.provision("Ada", &renamed)).await;
    scene.run_until_idle().await;
    let job = scene.queue.get(last).await.unwrap().unwrap();
    assert_eq!((job.state, job.runs), (State::Done, 1), "{:?}", job.failure);
    let state = scene.gateway.state().to_string();
    assert!(state.contains(AGENT_TOKEN) && state.contains("Ada Lovelace"));
    let sent =
        |method: &str| scene.gateway.calls().iter().filter(|call| call.method == method).count();
    assert_eq!(sent("chat.send"), 1);

    scene.put(&scene.provision("Ada", &edit())).await;
    scene.run_until_idle().await;
    assert_eq!(sent("chat.send"), 1, "the wake was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_the_gateway_refuses_is_blocked_alone() {
    let scene = Scene::start(Profile::V2026_9_6).await;
    let sync = |name: &str, every: &str| {
        let mut sync = scene.provision(name, &[]);
        sync["kind"] = json!("heartbeat-sync");
        sync["agents"] = json!([sync["agent"]]);
        sync["agents"][0]["heartbeat_config"] = json!({ "every": every });
        for member in ["board", "auth_token", "agent", "options"] {
            sync.as_object_mut().unwrap().remove(member);
        }
        sync
    };
    let syncs = [sync("Ada", "7m"), sync("Nonsense", "now and then"), sync("Bo", "8m")];
    let mut jobs = Vec::new();
    for sync in &syncs {
        jobs.push(scene.put(sync).await);
    }
    // The second time, the wrong one is tried again together with a newer one.
    for later in ["Cy", "Di"] {
        let ended = scene.worker().run(&["run", "--until-idle"]).await;
        for job in &jobs {
            let record = scene.queue.get(*job).await.unwrap().unwrap();
            let (state, what) = (record.state, record.failure);
            let expected = if *job == jobs[1] { State::Blocked } else { State::Done };
            assert_eq!(state, expected, "{what:?} {}", ended.said);
        }
        jobs.push(scene.put(&sync(later, "9m")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_heartbeat_wins_whatever_its_kind() {
    for sync_is_newer in [true, false] {
        let scene = Scene::start(Profile::V2026_3_13).await;
        let provision = scene.provision("Ada", &[]);
        let mut provision = provision;
        provision["agent"]["heartbeat_config"] = json!({ "every": "7m" });
        let mut sync = provision.clone();
        for member in ["board", "auth_token", "agent", "options"] {
            sync.as_object_mut().unwrap().remove(member);
        }
        (sync["kind"], sync["agents"]) = (json!("heartbeat-sync"), json!([provision["agent"]]));
        sync["agents"][0]["heartbeat_config"] = json!({ "every": "9m" });
        let documents = if sync_is_newer { [&provision, &sync] } else { [&sync, &provision] };
        for document in documents {
            scene.put(document).await;
        }
        scene.run_until_idle().await;
        assert_eq!(scene.queue.counts().await.unwrap().of(State::Done), 2);
        let config = scene.gateway.state()["config"].to_string();
        let (newer, older) = if sync_is_newer { ("9m", "7m") } else { ("7m", "9m") };
        assert!(config.contains(newer) && !config.contains(older), "{config}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_overtaken_changes_nothing() {
    let scene = Scene::start(Profile::V2026_9_6).await;
    let generation = |number: u64, token: &str| {
        [("/agent/generation", json!(number)), ("/auth_token", json!(token))]
    };
    let newer = scene.put(&scene.provision("Ada", &generation(2, "token-two"))).await;
    let older = scene.put(&scene.provision("Ada", &generation(1, "token-one"))).await;
    scene.run_until_idle().await;
    let job = scene.queue.get(older).await.unwrap().unwrap();
    assert_eq!((job.state, job.superseded_by), (State::Superseded, Some(newer)));
    let state = scene.gateway.state().to_string();
    assert!(state.contains("token-two") && !state.contains("token-one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_the_wake_does_not_lose_what_is_owed() {
    let scene = Scene::start(Profile::V2026_9_6).await;
    scene.put(&scene.provision("Ada", &[("/options/wake", json!({}))])).await;
    let mut worker = scene.worker().spawn(&["run"]);
    assert!(
        scene.gateway.wait_for(|calls| calls.iter().any(|call| call.method == "chat.send")).await
    );
    worker.kill().await.unwrap();
    scene.put(&scene.provision("Ada", &edit())).await;
    let _worker = scene.worker().spawn(&["run"]);
    while !scene.queue.is_idle().await.unwrap() {
        sleep(Duration::from_millis(20)).await;
    }
    let counts = scene.queue.counts().await.unwrap();
    assert_eq!((counts.of(State::Done), counts.of(State::Blocked)), (1, 0));
    assert!(scene.gateway.state().to_string().contains(AGENT_TOKEN));
}

/// Returns Ada's heartbeat in the `agents` of a config of either shape.
fn heartbeat_in(agents: &mut Value) -> &mut Value {
    let agents = agents.as_object_mut().unwrap();
    let is_hers = |entry: &&mut Value| entry["name"] == "Ada";
    let entry = if agents.contains_key("list") {
        agents["list"].as_array_mut().unwrap().iter_mut().find(is_hers)
    } else {
        agents["entries"].as_object_mut().unwrap().values_mut().find(is_hers)
    };
    &mut entry.expect("the agent")["heartbeat"]
}

fn heartbeat(gateway: &Gateway) -> Value {
    heartbeat_in(&mut gateway.state()["config"]["agents"]).clone()
}

/// Changes the agent's heartbeat in the config, as a person with an editor does.
fn edit_heartbeat(gateway: &Gateway, members: &[(&str, Value)]) {
    let mut agents = gateway.state()["config"]["agents"].clone();
    for (key, value) in members {
        heartbeat_in(&mut agents)[*key] = value.clone();
    }
    gateway.edit_config(&json!({ "agents": agents }));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_wanted_any_more_go_and_those_of_others_stay() {
    for profile in [Profile::V2026_2_9, Profile::V2026_3_13, Profile::V2026_9_6] {
        let scene = Scene::start(profile).await;
        let first = json!({
            "every": "5m", "model": "small", "to": "+49",
            "activeHours": { "start": "08:00", "end": "20:00" },
        });
        scene.put(&scene.provision("Ada", &[("/agent/heartbeat_config", first)])).await;
        scene.run_until_idle().await;
        assert_eq!(heartbeat(&scene.gateway)["model"], "small", "{profile:?}");
        let theirs = [
            ("session", json!("theirs")),
            ("to", json!("+50")),
            ("activeHours", json!({ "start": "08:00", "end": "20:00", "timezone": "UTC" })),
        ];
        edit_heartbeat(&scene.gateway, &theirs);

        let without =
            [&edit()[..], &[("/agent/heartbeat_config", json!({ "to": "+49" }))]].concat();
        let id = scene.put(&scene.provision("Ada", &without)).await;
        scene.run_until_idle().await;
        let mut expected = json!({
            "every": "10m", "target": "none", "includeReasoning": false, "to": "+49",
            "session": "theirs", "activeHours": { "timezone": "UTC" },
        });
        let mut shown = heartbeat(&scene.gateway);
        if profile == Profile::V2026_9_6 {
            // It does not know the one, and gets the other instead of HEARTBEAT.md.
            expected.as_object_mut().unwrap().shift_remove("includeReasoning");
            assert!(shown.as_object_mut().unwrap().shift_remove("prompt").is_some());
        }
        assert_eq!(shown, expected, "{profile:?}");
        let report = scene.queue.get(id).await.unwrap().unwrap().report.unwrap();
        let change = &report.changes[0].diff;
        assert!(change.contains(r#"heartbeat.model: "small" → removed"#), "{change}");
        assert!(!change.contains("theirs") && !change.contains("timezone"), "{change}");

        let applied: Vec<String> = scene.redis.tell("HVALS {mission}:applied").await;
        assert_eq!(applied.len(), 1, "{applied:?}");
        assert!(applied[0].contains("every") && applied[0].contains("AGENTS.md"), "{applied:?}");
        assert!(!applied[0].contains(AGENT_TOKEN) && !applied[0].contains("+49"), "{applied:?}");

        let writes = scene.gateway.config_writes();
        scene.put(&scene.provision("Ada", &without)).await;
        scene.run_until_idle().await;
        assert_eq!(scene.gateway.config_writes(), writes, "{profile:?} is as it should be");
    }
}
