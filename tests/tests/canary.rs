//! Promise I14: known secrets go through everything that can happen to a job, and are then looked
//! for wherever the worker tells anything. They may be on the gateway, and nowhere else.

mod echo;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mission_core::Job;
use mission_core::apply::Desired;
use mission_core::gateway::Endpoint;
use mission_gateway_sim::{Gateway, Profile};
use mission_jobs::{Envelope, Keyring, State};
use redis::{AsyncCommands, Value as Reply};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::api::server::Server;
use crate::documents;
use crate::processes::Worker;
use crate::simulated::start;

const GATEWAY: &str = "canary-gateway-1d7e";
const WRONG: &str = "canary-wrong-token-93ab";
const AGENT: &str = "canary-agent-5c02";
const PASSWORD: &str = "canary-password-7788";
const QUERY: &str = "canary-query-e0f1";
const API: &str = "canary-api-token-that-is-long-enough-4b4b4b4b";

/// What was told, by where.
#[derive(Default)]
struct Told(BTreeMap<String, String>);

impl Told {
    fn note(&mut self, place: impl Into<String>, text: &str) {
        self.0.entry(place.into()).or_default().push_str(text);
    }

    /// Places that tell a secret, with the words around it.
    fn leaks(&self, key: &str) -> Vec<String> {
        // As text, and as a list of bytes.
        let plain = [GATEWAY, WRONG, AGENT, PASSWORD, QUERY, API, key].map(str::to_owned);
        let bytes = plain
            .each_ref()
            .map(|secret| format!("{:?}", secret.as_bytes()).replace(['[', ']'], ""));
        let secrets: Vec<String> = plain.into_iter().chain(bytes).collect();
        let around = |text: &str, at: usize| {
            let clip: String =
                text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
            format!("{clip}{}", text[at..].chars().take(60).collect::<String>())
        };
        let in_place = |(place, text): (&String, &String)| {
            let found =
                secrets.iter().find_map(|secret| Some((secret, text.find(secret.as_str())?)))?;
            Some(format!("{place} tells {}: {}", found.0, around(text, found.1)))
        };
        self.0.iter().filter_map(in_place).collect()
    }
}

/// A job for an agent of that name, on a gateway of its own.
fn provision(url: &str, name: &str, token: &str) -> Value {
    let mut document = documents::provision(url, name);
    document["gateway"]["id"] = json!(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()));
    document["gateway"]["token"] = json!(token);
    document["auth_token"] = json!(AGENT);
    document
}

/// Jobs that end in every way, with the state that each comes to.
fn jobs(gateway: &Gateway, echo: &str, closing: &str) -> Vec<(Value, State)> {
    let url =
        gateway.url().replace("ws://", &format!("ws://me:{PASSWORD}@")) + &format!("/?t={QUERY}");
    let mut broken = provision(&gateway.url(), "Eve", GATEWAY);
    broken["agent"]["soul_template"] =
        json!("{{ auth_token.nothing.more }} {{ auth_token | int }}");
    let mut update = provision(&url, "Ada", GATEWAY);
    update["options"] = json!({ "action": "update" });
    update.as_object_mut().unwrap().remove("auth_token");
    vec![
        (provision(&url, "Ada", GATEWAY), State::Done),
        (provision(&gateway.url(), "Bo", WRONG), State::Blocked),
        (provision("ws://127.0.0.1:9", "Cy", GATEWAY), State::Retrying),
        (provision(echo, "Di", GATEWAY), State::Blocked),
        (provision(closing, "Fay", GATEWAY), State::Retrying),
        (broken, State::Dead),
        (update, State::Done),
    ]
}

const BY_TOKEN: &str = "authorization: Bearer canary-api-token-that-is-long-enough-4b4b4b4b";

/// Enqueues over HTTP, and waits until the job is where it should be.
async fn carried_out(server: &Server, document: &Value, state: State, told: &mut Told) -> Uuid {
    let answer = server.post("/api/v1/jobs", &[BY_TOKEN], document).await;
    told.note("POST /api/v1/jobs", &answer.body);
    assert_eq!(answer.status, 202, "{}", answer.body);
    let enqueued = answer.json();
    let id: Uuid = enqueued
        .pointer("/0/id")
        .or(enqueued.get("id"))
        .and_then(Value::as_str)
        .unwrap()
        .parse()
        .unwrap();
    reaches(server, id, state).await;
    id
}

async fn reaches(server: &Server, id: Uuid, state: State) {
    let reached = async {
        loop {
            let job = server.queue.get(id).await.unwrap().unwrap();
            if job.state == state {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), reached)
        .await
        .unwrap_or_else(|_| panic!("{id} does not get {state}"));
}

/// Documents that are refused, with a secret in what is wrong.
async fn refused(server: &Server, told: &mut Told) {
    let good = provision("ws://127.0.0.1:9", "Gil", GATEWAY);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        document
    };
    for document in [
        changed(&|document| document["auth_token"] = json!([AGENT])),
        changed(&|document| document["gateway"]["token"] = json!({ "secret": GATEWAY })),
        changed(&|document| {
            document["gateway"]["url"] = json!(format!("http://me:{PASSWORD}@host/?t={QUERY}"))
        }),
        changed(&|document| {
            document["gateway"]["url"] = json!(format!("ws://me:{PASSWORD}@ bad host"))
        }),
        changed(&|document| document["kind"] = json!("nonsense")),
        changed(&|document| document["tokken"] = json!(AGENT)),
        json!([good, AGENT]),
        json!(AGENT),
    ] {
        let answer = server.post("/api/v1/jobs", &[BY_TOKEN], &document).await;
        assert!((400..500).contains(&answer.status), "{document} {}", answer.body);
        told.note("POST /api/v1/jobs, refused", &answer.body);
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("bad.json");
        fs::write(&file, document.to_string()).unwrap();
        let ended = Worker::new(folder.path()).run(&["enqueue", file.to_str().unwrap()]).await;
        told.note("worker enqueue, refused", &format!("{} {}", ended.said, ended.answer));
    }
}

/// Everything that can be read over HTTP.
async fn read(server: &Server, ids: &[Uuid], told: &mut Told) {
    let mut paths: Vec<String> = [
        "/",
        "/jobs",
        "/failures",
        "/gateways",
        "/workers",
        "/audit",
        "/login",
        "/api/docs",
        "/metrics",
        "/readyz",
        "/api/v1/jobs",
        "/api/v1/jobs?format=csv",
        "/api/v1/jobs?q=canary",
        "/api/v1/summary",
        "/api/v1/kinds",
        "/api/v1/series?range=1h",
        "/api/v1/failures",
        "/api/v1/gateways",
        "/api/v1/workers",
        "/api/v1/pauses",
        "/api/v1/audit",
        "/api/v1/openapi.json",
        "/nowhere",
    ]
    .map(str::to_owned)
    .into();
    for id in ids {
        paths.extend([
            format!("/jobs/{id}"),
            format!("/api/v1/jobs/{id}"),
            format!("/api/v1/jobs/{id}/attempts"),
        ]);
        let gateway = server.queue.get(*id).await.unwrap().unwrap().lane;
        paths.extend([format!("/gateways/{gateway}"), format!("/api/v1/gateways/{gateway}")]);
    }
    for path in paths {
        for accept in ["accept: text/html", "accept: application/json"] {
            let answer = server.get(&path, &[BY_TOKEN, accept]).await;
            assert!(answer.status < 500, "{path}: {}", answer.body);
            told.note(format!("GET {path}"), &format!("{}{}", answer.head, answer.body));
        }
    }
}

/// What Redis holds, every key of it.
async fn stored(server: &Server, told: &mut Told) {
    let mut redis = server.redis.connect().await;
    let keys: Vec<String> = redis.keys("*").await.unwrap();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut redis).await.unwrap();
        let content: Reply = match kind.as_str() {
            "string" => redis.get(&key).await,
            "hash" => redis.hgetall(&key).await,
            "zset" => redis.zrange_withscores(&key, 0, -1).await,
            "list" => redis.lrange(&key, 0, -1).await,
            "set" => redis.smembers(&key).await,
            "stream" => {
                redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query_async(&mut redis).await
            }
            other => panic!("a key of type {other}"),
        }
        .unwrap();
        let mut text = String::new();
        flatten(&content, &mut text);
        told.note(format!("Redis {}", key.split(':').take(2).collect::<Vec<_>>().join(":")), &text);
    }
}

fn flatten(reply: &Reply, text: &mut String) {
    match reply {
        Reply::BulkString(bytes) => {
            text.push_str(&String::from_utf8_lossy(bytes));
            text.push(' ');
        }
        Reply::SimpleString(line) => *text += line,
        Reply::Array(all) | Reply::Set(all) => all.iter().for_each(|one| flatten(one, text)),
        Reply::Map(pairs) => {
            pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|one| flatten(one, text))
        }
        _ => {}
    }
}

/// What the command line says of the jobs.
async fn commands(
    server: &Server,
    config: &Path,
    key: &str,
    ids: &[Uuid],
    documents: &[Value],
    told: &mut Told,
) {
    let folder = TempDir::new().unwrap();
    let worker = || {
        let worker = Worker::new(folder.path())
            .env("MISSION_REDIS_URL", server.redis.url())
            .env("MISSION_QUEUE", "test");
        worker
            .env("MISSION_SECRET_KEY", key)
            .env("MISSION_API_TOKEN", API)
            .env("MISSION_CONFIG", config)
    };
    let mut all: Vec<Vec<String>> = [
        "jobs list",
        "jobs list state:blocked,dead",
        "doctor",
        "config",
        "--help",
        "key reseal",
        "bench --help",
    ]
    .map(|command| command.split(' ').map(str::to_owned).collect())
    .into();
    all.extend(ids.iter().map(|id| vec!["jobs".to_owned(), "show".to_owned(), id.to_string()]));
    for (number, document) in documents.iter().enumerate() {
        let file = folder.path().join(format!("{number}.json"));
        fs::write(&file, document.to_string()).unwrap();
        for command in ["plan", "apply", "explain"] {
            all.push(vec![command.to_owned(), file.display().to_string()]);
        }
    }
    for command in all {
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let ended = worker().run(&arguments).await;
        let answers: String = ended.answers.iter().map(ToString::to_string).collect();
        told.note(
            format!("worker {}", command[..command.len().min(2)].join(" ")),
            &format!("{} {answers} {}", ended.said, ended.answer),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_no_secret_is_told_anywhere() {
    let key = Keyring::generate();
    let gateway = start(Profile::V2026_9_6, |setup| setup.token = Some(GATEWAY.into())).await;
    let (echo, closing) = (echo::refusing().await, echo::closing().await);
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("worker.toml");
    fs::write(&config, "[log]\nlevel = \"trace\"\n").unwrap();
    let talkative = config.to_str().unwrap();
    let variables = [
        ("MISSION_SECRET_KEY", key.as_str()),
        ("MISSION_API_TOKEN", API),
        ("MISSION_CONFIG", talkative),
    ];
    let server = Server::start(&variables).await;
    let mut told = Told::default();

    let jobs = jobs(&gateway, &echo, &closing);
    let mut ids = Vec::new();
    for (document, state) in &jobs {
        ids.push(carried_out(&server, document, *state, &mut told).await);
    }
    refused(&server, &mut told).await;
    for deed in ["retry", "snooze", "cancel"] {
        let body = json!({ "why": "to see", "reason": "to see", "seconds": 60, "for_seconds": 60 });
        let answer =
            server.post(&format!("/api/v1/jobs/{}/{deed}", ids[2]), &[BY_TOKEN], &body).await;
        told.note(format!("POST {deed}"), &answer.body);
    }
    read(&server, &ids, &mut told).await;
    stored(&server, &mut told).await;
    let documents: Vec<Value> = jobs.into_iter().map(|(document, _)| document).collect();
    commands(&server, &config, &key, &ids, &documents, &mut told).await;
    told.note("log", &server.log());
    // What a panic or a log line would show of them.
    for document in &documents {
        let (text, wanted) = (document.to_string(), Job::from_value(document.clone()).unwrap());
        let envelope = Envelope::new(text.as_bytes()).unwrap();
        told.note("Debug", &format!("{wanted:?} {:?} {envelope:?}", Desired::of(&wanted, None)));
        told.note("Debug", &format!("{:?}", wanted.gateway().map(Endpoint::from)));
    }
    told.note("Debug", &format!("{:?}", key.parse::<Keyring>().unwrap()));

    let on_gateway = gateway.state().to_string();
    assert!(on_gateway.contains(AGENT), "the agent's token is where it belongs");
    assert!(
        told.0.len() > 50 && told.0["log"].contains("\"level\":\"TRACE\""),
        "{:?}",
        told.0.keys()
    );
    let leaks = told.leaks(&key);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    let own = server.bearer().rsplit_once(' ').unwrap().1.to_owned();
    let places: Vec<_> =
        told.0.iter().filter(|(_, text)| text.contains(&own)).map(|(place, _)| place).collect();
    assert!(places.is_empty(), "the token of the machine is told in {places:?}");
}
