//! Tests that the commands of operators do the same over Redis and over the API of a worker.

use mission_gateway_sim::{Gateway, Profile};
use mission_jobs::{Envelope, State};
use mission_test_support::RedisServer;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::documents::{self, GATEWAY_TOKEN};
use crate::metrics::{logged, put, reaches};
use crate::processes::{Ended, Started, Worker};
use crate::simulated::start;

/// A worker whose queue contains a done job and a job that is blocked by a wrong token.
struct Scene {
    redis: RedisServer,
    data: TempDir,
    api: String,
    gateway: Gateway,
    blocked: String,
    _worker: Started,
}

/// An admin token that is long enough to be accepted.
const TOKEN: &str = "a-token-of-an-admin-of-this-test";

impl Scene {
    async fn set() -> Self {
        let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
        let gateway = start(Profile::V2026_9_6, |_| {}).await;
        let log = data.path().join("log");
        let worker = Worker::new(data.path())
            .env("MISSION_REDIS_URL", redis.url())
            .env("MISSION_API_TOKEN", TOKEN);
        let worker = worker.env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        let worker = worker.spawn_into(&["run"], std::fs::File::create(&log).unwrap());
        let api = format!("http://{}", logged(&log, "http").await);

        let queue = redis.queue_named("mission");
        let done = put(&queue, &documents::provision(&gateway.url(), "Ada")).await;
        reaches(&queue, done, State::Done).await;
        let mut refused = documents::provision(&gateway.url(), "Bo");
        refused["gateway"]["token"] = "wrong".into();
        let blocked = put(&queue, &refused).await;
        reaches(&queue, blocked, State::Blocked).await;
        Self { redis, data, api, gateway, blocked: blocked.to_string(), _worker: worker }
    }

    /// Runs a command over Redis.
    async fn redis(&self, arguments: &[&str]) -> Ended {
        Worker::new(self.data.path())
            .env("MISSION_REDIS_URL", self.redis.url())
            .run(arguments)
            .await
    }

    /// Runs a command over the API, with an unreachable Redis in the settings.
    async fn api(&self, arguments: &[&str]) -> Ended {
        let worker = Worker::new(self.data.path())
            .env("MISSION_REDIS_URL", "unix:///nowhere")
            .env("MISSION_API_TOKEN", TOKEN);
        worker.run(&[arguments, &["--api", &self.api]].concat()).await
    }

    /// Runs a read-only command over both and compares the answers.
    async fn both(&self, arguments: &[&str]) -> Vec<Value> {
        let (redis, api) = (self.redis(arguments).await, self.api(arguments).await);
        assert_eq!(
            (redis.status, api.status),
            (Some(0), Some(0)),
            "{arguments:?}: {} {}",
            redis.said,
            api.said
        );
        assert_eq!(redis.answers, api.answers, "{arguments:?}");
        redis.answers
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_the_same_over_redis_and_over_the_api() {
    let scene = Scene::set().await;
    let found = scene.both(&["jobs", "list", "state:blocked", "kind:provision"]).await;
    let ids: Vec<_> = found.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&scene.blocked]);
    assert_eq!(scene.both(&["jobs", "list", "--state", "done"]).await.len(), 1);
    assert_eq!(scene.both(&["jobs", "list"]).await.len(), 2);
    let shown = scene.both(&["jobs", "show", &scene.blocked]).await;
    assert_eq!(shown[0]["failure"]["code"], "unauthorized");
    assert_eq!(shown[0]["document"]["gateway"]["token"], "***");
    assert_eq!(scene.both(&["gateways"]).await[0]["jobs"]["blocked"], 1);
    for command in [&["workers"][..], &["audit"], &["jobs", "failures"]] {
        scene.both(command).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_over_the_api_take_effect_and_are_confirmed() {
    let scene = Scene::set().await;
    let queue = scene.redis.queue_named("mission");
    let snoozed =
        scene.api(&["jobs", "snooze", &scene.blocked, "--for", "1h", "--reason", "lunch"]).await;
    assert_eq!(
        (snoozed.status, &snoozed.answer["was"]),
        (Some(0), &json!("blocked")),
        "{}",
        snoozed.said
    );
    reaches(&queue, scene.blocked.parse().unwrap(), State::Snoozed).await;

    let unblocked = scene.api(&["jobs", "unblock", &scene.blocked]).await;
    assert_eq!(unblocked.status, Some(1));
    assert!(unblocked.said.contains("snoozed"), "{}", unblocked.said);
    assert_eq!(scene.redis(&["jobs", "unblock", &scene.blocked]).await.status, Some(1));

    let paused = scene.api(&["pause", "--kind", "provision", "--reason", "looking"]).await;
    assert_eq!(
        (paused.status, &paused.answer["changed"]),
        (Some(0), &json!(true)),
        "{}",
        paused.said
    );
    assert_eq!(scene.api(&["jobs", "retry", &scene.blocked]).await.answer["state"], "ready");
    let cancelled = scene.api(&["jobs", "cancel", &scene.blocked, &Uuid::nil().to_string()]).await;
    assert_eq!(
        (cancelled.status, &cancelled.answers[0]["was"]),
        (Some(1), &json!("ready")),
        "{}",
        cancelled.said
    );
    assert!(cancelled.said.contains("there is no job 00000000"), "{}", cancelled.said);
    assert_eq!(scene.api(&["resume", "--kind", "provision"]).await.answer["changed"], true);
    assert_eq!(scene.api(&["resume", "--kind", "provision"]).await.answer["changed"], false);

    // A job whose cause is fixed is unblocked.
    scene.gateway.clear_faults();
    let document = documents::provision(&scene.gateway.url(), "Cy")
        .to_string()
        .replace(GATEWAY_TOKEN, "wrong");
    let id = queue.enqueue(&[Envelope::new(document.as_bytes()).unwrap()]).await.unwrap()[0].id;
    reaches(&queue, id, State::Blocked).await;
    let unblocked = scene.api(&["jobs", "unblock", &id.to_string(), "--reason", "new token"]).await;
    assert_eq!(
        (unblocked.status, &unblocked.answer["was"]),
        (Some(0), &json!("blocked")),
        "{}",
        unblocked.said
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_addresses_tokens_and_arguments_have_different_exit_statuses() {
    let scene = Scene::set().await;
    let ask = async |token: &str, arguments: &[&str]| {
        Worker::new(scene.data.path()).env("MISSION_API_TOKEN", token).run(arguments).await
    };
    let refused =
        ask("another-token-of-nobody-at-all", &["jobs", "list", "--api", &scene.api]).await;
    assert_eq!(refused.status, Some(2), "{}", refused.said);
    assert!(refused.said.contains("MISSION_API_TOKEN"), "{}", refused.said);
    let nobody = ask(TOKEN, &["jobs", "list", "--api", "http://127.0.0.1:9"]).await;
    assert_eq!(nobody.status, Some(3), "{}", nobody.said);
    let other = ask(TOKEN, &["workers", "--api", &format!("{}/elsewhere", scene.api)]).await;
    assert_ne!(other.status, Some(0), "{}", other.said);
    for wrong in [
        &["jobs", "list", "--api", "worker"][..],
        &["jobs", "list", "colour:red", "--api", &scene.api],
    ] {
        let wrong = ask(TOKEN, wrong).await;
        assert_eq!(wrong.status, Some(2), "{}", wrong.said);
    }
    let nameless = scene.api(&["drain", "nobody"]).await;
    assert_eq!(nameless.status, Some(1), "{}", nameless.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_stored_shown_and_forgotten() {
    let scene = Scene::set().await;
    let id = Uuid::from_u128(0xab).to_string();
    let file = scene.data.path().join("gateway.json");
    let write = |changes: &Value| {
        let mut gateway = documents::provision(&scene.gateway.url(), "Ada")["gateway"].take();
        gateway["id"] = json!(id);
        gateway.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        std::fs::write(&file, gateway.to_string()).unwrap();
    };
    let name = file.to_str().unwrap();
    write(&json!({ "revision": 2, "id": id.replace('-', "").to_uppercase() }));
    let stored = scene.redis(&["gateways", "put", name, "--reason", "new"]).await;
    let answer = json!({ "id": id, "stored": true, "changed": true, "revision": 2 });
    assert_eq!((stored.status, &stored.answer), (Some(0), &answer), "{}", stored.said);
    write(&json!({ "revision": 1 }));
    let older = scene.api(&["gateways", "put", name]).await;
    let answer = json!({ "id": id, "stored": false, "changed": false, "revision": 2 });
    assert_eq!((older.status, &older.answer), (Some(1), &answer), "{}", older.said);
    write(&json!({ "revision": 3, "url": "http://host" }));
    let wrong = scene.redis(&["gateways", "put", name]).await;
    assert_eq!((wrong.status, wrong.refused_at().as_str()), (Some(2), "gateway.url"));
    std::fs::write(&file, r#"{"id":1,"id":2}"#).unwrap();
    let twice = scene.redis(&["gateways", "put", name]).await;
    assert_eq!((twice.status, twice.refused_at().as_str()), (Some(2), "gateway.id"));

    let shown = scene.both(&["gateways", "show", &id]).await;
    assert_eq!(shown[0]["connection"]["stored_alone"], true);
    let gateway = &scene.both(&["gateways"]).await[1]["id"];
    let agents = scene.both(&["gateways", "show", gateway.as_str().unwrap()]).await;
    assert!(agents.len() > 1 && agents[1]["phase"] == "wanted", "{agents:?}");
    let refused = scene.api(&["gateways", "forget", gateway.as_str().unwrap()]).await;
    assert_eq!(refused.status, Some(1));
    assert!(refused.said.contains("not deleted"), "{}", refused.said);
    assert!(refused.said.contains("`--force`"), "{}", refused.said);
    for forget in [scene.api(&["gateways", "forget", &id]).await, {
        write(&json!({}));
        scene.redis(&["gateways", "put", name]).await;
        scene.redis(&["gateways", "forget", &id, "--force"]).await
    }] {
        assert_eq!((forget.status, &forget.answer["forgotten"]), (Some(0), &json!(true)));
    }
    let unknown = scene.api(&["gateways", "show", &id]).await;
    assert_eq!(unknown.status, Some(1), "{}", unknown.said);
}
