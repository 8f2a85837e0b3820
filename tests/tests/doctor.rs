//! `worker doctor` connects to the gateways that the queue knows, and reports their version or the
//! error.

use std::fs;
use std::time::Duration;

use mission_gateway_sim::Profile;

use mission_jobs::{Envelope, Keyring};
use mission_test_support::RedisServer;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents;
use crate::processes::{Ended, Worker};
use crate::simulated;

#[tokio::test]
async fn doctor_reports_on_each_gateway() {
    let open = simulated::start(Profile::V2026_9_6, |_| {}).await;
    let shut =
        simulated::start(Profile::V2026_2_9, |setup| setup.token = Some("another".into())).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let worker = || Worker::new(folder.path()).env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let mut locked_out = documents::provision(&shut.url(), "Ada");
    locked_out["gateway"]["id"] = json!(Uuid::from_u128(2));
    fs::write(&file, format!("{}\n{locked_out}\n", documents::provision(&open.url(), "Ada")))
        .unwrap();
    assert_eq!(worker().run(&["enqueue", file.to_str().unwrap()]).await.status, Some(0));
    assert_eq!(worker().run(&["run", "--until-idle"]).await.status, Some(1), "one is blocked");

    let mut alone = documents::provision(&open.url(), "Ada")["gateway"].take();
    (alone["id"], alone["name"]) = (json!(Uuid::from_u128(3)), json!("Alone"));
    fs::write(&file, alone.to_string()).unwrap();
    let put = worker().run(&["gateways", "put", file.to_str().unwrap()]).await;
    assert_eq!(put.status, Some(0), "{}", put.said);

    let calls = open.mutating_calls().len();
    let doctor = worker().run(&["doctor"]).await;
    let says = |finding: &Value| finding["says"].as_str().unwrap_or_default().to_owned();
    let of_gateways: Vec<_> = doctor
        .answers
        .iter()
        .filter(|finding| finding["about"].to_string().contains("Acme"))
        .collect();
    assert_eq!(of_gateways.len(), 2, "{:?}", doctor.answers);
    let alone =
        doctor.answers.iter().find(|finding| finding["about"].to_string().contains("Alone"));
    assert!(alone.is_some_and(|finding| says(finding).starts_with("answers")), "{alone:?}");
    let secrets = doctor.answers.iter().find(|finding| finding["about"] == "secrets").unwrap();
    assert_eq!(secrets["grade"], "warning");
    assert!(says(secrets).contains("3 gateways and 2 agents"), "{secrets}");
    let answering = of_gateways.iter().find(|finding| finding["grade"] == "ok").unwrap();
    assert!(
        says(answering).starts_with("answers: version 2026.9.6, protocol 4, operator.read"),
        "{answering}"
    );
    assert!(says(answering).contains("2 agents in agents.entries"), "{answering}");
    assert!(
        says(answering).contains("does not store") && says(answering).contains("HEARTBEAT.md"),
        "{answering}"
    );
    let refusing = of_gateways.iter().find(|finding| finding["grade"] == "warning").unwrap();
    assert!(
        says(refusing).contains("token mismatch") && refusing["remedy"].is_string(),
        "{refusing}"
    );
    assert_eq!(open.mutating_calls().len(), calls, "doctor writes nothing");
}

#[tokio::test]
async fn doctor_names_jobs_that_wait_by_a_clock_that_was_ahead() {
    let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let queue = redis.queue_named("mission");
    let document = documents::cleanup("ws://127.0.0.1:9", "Ada").to_string();
    let job = Envelope::new(document.as_bytes()).unwrap().with_delay(Duration::from_secs(60));
    queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    let doctor = async || {
        let worker = Worker::new(folder.path()).env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        let ended = worker.env("MISSION_REDIS_URL", redis.url()).run(&["doctor"]).await;
        ended.answers.into_iter().find(|finding| finding["about"] == "clock")
    };
    assert_eq!(doctor().await, None);
    let ahead = queue.summary().await.unwrap().at_ms + 3_600_000;
    redis.change(&queue, job.id, "enqueued_at", &ahead.to_string()).await;
    redis.change(&queue, job.id, "timeline", &format!("scheduled {ahead}")).await;
    let finding = doctor().await.unwrap();
    assert!(finding["says"].as_str().unwrap().contains("the times of 1 waiting job"), "{finding}");
    assert!(finding["remedy"].as_str().unwrap().contains(&job.id.to_string()), "{finding}");
}

#[tokio::test]
async fn doctor_names_wounds_and_repairs_them() {
    let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let queue = redis.queue_named("mission");
    let document = documents::cleanup("ws://127.0.0.1:9", "Ada").to_string();
    let job = Envelope::new(document.as_bytes()).unwrap().with_delay(Duration::from_secs(60));
    queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    let id = job.id.to_string();
    let key = Keyring::generate();
    let run = async |command: &[&str]| {
        let worker = Worker::new(folder.path()).env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        let worker = worker.env("MISSION_SECRET_KEY", key.as_str());
        worker.env("MISSION_REDIS_URL", redis.url()).run(command).await
    };
    let about = |ended: &Ended, name: &str| {
        let found = ended.answers.iter().find(|finding| finding["about"] == name).cloned();
        found
            .map(|finding| (finding["grade"].clone(), finding["says"].as_str().unwrap().to_owned()))
    };
    let healthy = run(&["doctor"]).await;
    assert_eq!(about(&healthy, "keys"), None, "{:?}", healthy.answers);

    redis.tell::<()>("SET {mission}:gateway x").await;
    redis.tell::<()>("DEL {mission}:state:scheduled").await;
    let wounded = run(&["doctor"]).await;
    assert_eq!(wounded.status, Some(1));
    let (grade, says) = about(&wounded, "keys").unwrap();
    assert_eq!(grade, "failed");
    assert!(says.contains("{mission}:gateway is a string, not a hash"), "{says}");
    let refused = run(&["gateways"]).await;
    assert_eq!(refused.status, Some(1));
    assert!(refused.said.contains("{mission}:gateway is a string"), "{}", refused.said);
    assert!(refused.said.contains("worker doctor --repair"), "{}", refused.said);

    let repaired = run(&["doctor", "--repair"]).await;
    assert_eq!(repaired.status, healthy.status, "{:?}", repaired.answers);
    let (grade, says) = about(&repaired, "repair").unwrap();
    assert_eq!(grade, "ok");
    assert!(says.contains("keys of a wrong type: 1"), "{says}");
    assert!(says.contains("jobs missing in the list of their state: 1"), "{says}");
    assert_eq!(about(&repaired, "keys"), None);
    assert_eq!(run(&["doctor"]).await.status, healthy.status);
    let again = run(&["doctor", "--repair"]).await;
    assert_eq!(about(&again, "repair").unwrap().1, "nothing was to be repaired");

    redis.tell::<()>(&format!("HSET {{mission}}:job {id} x")).await;
    let shown = run(&["jobs", "show", &id]).await;
    assert_eq!(shown.status, Some(1));
    assert!(shown.said.contains(&format!("the head of job {id} cannot be read")), "{}", shown.said);
}

#[tokio::test]
async fn doctor_finds_secrets_that_a_producer_without_the_key_left_in_plain_text() {
    let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let queue = redis.queue_named("mission");
    let document = documents::provision("ws://127.0.0.1:9", "Ada").to_string();
    queue.enqueue(&[Envelope::new(document.as_bytes()).unwrap()]).await.unwrap();
    let key = Keyring::generate();
    let run = async |command: &[&str]| {
        let worker = Worker::new(folder.path()).env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        let worker = worker.env("MISSION_SECRET_KEY", key.as_str());
        worker.env("MISSION_REDIS_URL", redis.url()).run(command).await
    };
    let secrets = async || {
        let doctor = run(&["doctor"]).await;
        doctor.answers.into_iter().find(|finding| finding["about"] == "secrets").unwrap()
    };
    let found = secrets().await;
    assert_eq!(found["grade"], "failed", "{found}");
    assert!(
        found["says"].as_str().unwrap().starts_with("in plain text in 1 of 1 document"),
        "{found}"
    );
    assert!(found["remedy"].as_str().unwrap().contains("`worker key reseal`"), "{found}");
    assert_eq!(run(&["key", "reseal"]).await.status, Some(0));
    let found = secrets().await;
    assert_eq!(found["grade"], "ok", "{found}");
    assert!(found["says"].as_str().unwrap().contains("no plain ones in 1 document"), "{found}");
}

#[tokio::test]
async fn doctor_says_how_jobs_that_no_gateway_refuses_get_on() {
    let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("documents.json");
    let worker = |key: &str| {
        let worker = Worker::new(folder.path()).env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        worker.env("MISSION_REDIS_URL", redis.url()).env("MISSION_SECRET_KEY", key)
    };
    let mut document = documents::provision("ws://127.0.0.1:9", "Ada");
    fs::write(&file, document["gateway"].to_string()).unwrap();
    let put = worker("").run(&["gateways", "put", file.to_str().unwrap()]).await;
    assert_eq!(put.status, Some(0), "{}", put.said);
    document["gateway"] = json!({ "id": document["gateway"]["id"] });
    fs::write(&file, document.to_string()).unwrap();
    let lost = Keyring::generate();
    let enqueued = worker(&lost).run(&["enqueue", file.to_str().unwrap()]).await;
    assert_eq!(enqueued.status, Some(0), "{}", enqueued.said);
    assert_eq!(worker("").run(&["run", "--until-idle"]).await.status, Some(1), "it is blocked");
    let doctor = worker("").run(&["doctor"]).await;
    let of_gateway = |finding: &&Value| finding["about"].as_str().unwrap().starts_with("gateway");
    let found = doctor.answers.iter().find(of_gateway).unwrap();
    assert_eq!(found["says"], "1 job blocked", "{found}");
    assert!(found["remedy"].as_str().unwrap().contains("`worker jobs unblock ID`"), "{found}");
}
