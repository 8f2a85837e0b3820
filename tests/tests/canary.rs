//! Promise I14: known secrets pass through every fate of a job, and the test then searches for them
//! in everything that the worker writes or sends. They may be on the gateway and nowhere else.

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

/// The texts that the worker put out, by place.
#[derive(Default)]
struct Output(BTreeMap<String, String>);

impl Output {
    fn note(&mut self, place: impl Into<String>, text: &str) {
        self.0.entry(place.into()).or_default().push_str(text);
    }

    /// Returns the places that reveal a secret, with the words around it.
    fn leaks(&self, key: &str) -> Vec<String> {
        // Secrets are searched for as text and as a list of bytes.
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

/// Returns a provision job for an agent of that name, on a gateway of its own.
fn provision(url: &str, name: &str, token: &str) -> Value {
    let mut document = documents::provision(url, name);
    document["gateway"]["id"] = json!(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()));
    document["gateway"]["token"] = json!(token);
    document["auth_token"] = json!(AGENT);
    document
}

/// Returns jobs that end in every way, with the state that each of them reaches.
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

/// Enqueues a document over HTTP, and waits until its job is in that state.
async fn enqueue_and_wait(
    server: &Server,
    document: &Value,
    state: State,
    output: &mut Output,
) -> Uuid {
    let answer = server.post("/api/v1/jobs", &[BY_TOKEN], document).await;
    output.note("POST /api/v1/jobs", &answer.body);
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
        .unwrap_or_else(|_| panic!("{id} does not become {state}"));
}

/// Sends documents that are refused, with a secret in the invalid part.
async fn refused(server: &Server, output: &mut Output) {
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
            document["gateway"]["url"] = json!(format!("http://me:{PASSWORD}@host/?t={QUERY}"));
        }),
        changed(&|document| {
            document["gateway"]["url"] = json!(format!("ws://me:{PASSWORD}@ bad host"));
        }),
        changed(&|document| document["kind"] = json!("nonsense")),
        changed(&|document| document["tokken"] = json!(AGENT)),
        json!([good, AGENT]),
        json!(AGENT),
    ] {
        let answer = server.post("/api/v1/jobs", &[BY_TOKEN], &document).await;
        assert!((400..500).contains(&answer.status), "{document} {}", answer.body);
        output.note("POST /api/v1/jobs, refused", &answer.body);
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("bad.json");
        fs::write(&file, document.to_string()).unwrap();
        let ended = Worker::new(folder.path()).run(&["enqueue", file.to_str().unwrap()]).await;
        output.note("worker enqueue, refused", &format!("{} {}", ended.said, ended.answer));
    }
}

/// Reads everything that is available over HTTP.
async fn read(server: &Server, ids: &[Uuid], output: &mut Output) {
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
            output.note(format!("GET {path}"), &format!("{}{}", answer.head, answer.body));
        }
    }
}

/// Reads every key in Redis.
async fn stored(server: &Server, output: &mut Output) {
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
        output
            .note(format!("Redis {}", key.split(':').take(2).collect::<Vec<_>>().join(":")), &text);
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
            pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|one| flatten(one, text));
        }
        _ => {}
    }
}

/// Runs the commands that show the jobs.
async fn commands(
    server: &Server,
    config: &Path,
    key: &str,
    ids: &[Uuid],
    documents: &[Value],
    output: &mut Output,
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
        output.note(
            format!("worker {}", command[..command.len().min(2)].join(" ")),
            &format!("{} {answers} {}", ended.said, ended.answer),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_no_secret_is_revealed_anywhere() {
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
    let mut output = Output::default();

    let jobs = jobs(&gateway, &echo, &closing);
    let mut ids = Vec::new();
    for (document, state) in &jobs {
        ids.push(enqueue_and_wait(&server, document, *state, &mut output).await);
    }
    refused(&server, &mut output).await;
    for deed in ["retry", "snooze", "cancel"] {
        let body = json!({ "why": "to see", "reason": "to see", "seconds": 60, "for_seconds": 60 });
        let answer =
            server.post(&format!("/api/v1/jobs/{}/{deed}", ids[2]), &[BY_TOKEN], &body).await;
        output.note(format!("POST {deed}"), &answer.body);
    }
    read(&server, &ids, &mut output).await;
    stored(&server, &mut output).await;
    let documents: Vec<Value> = jobs.into_iter().map(|(document, _)| document).collect();
    commands(&server, &config, &key, &ids, &documents, &mut output).await;
    output.note("log", &server.log());
    // The `Debug` form is what a panic or a log line would show.
    for document in &documents {
        let (text, wanted) = (document.to_string(), Job::from_value(document.clone()).unwrap());
        let envelope = Envelope::new(text.as_bytes()).unwrap();
        output.note("Debug", &format!("{wanted:?} {:?} {envelope:?}", Desired::of(&wanted, None)));
        output.note("Debug", &format!("{:?}", wanted.gateway().map(Endpoint::from)));
    }
    output.note("Debug", &format!("{:?}", key.parse::<Keyring>().unwrap()));

    let on_gateway = gateway.state().to_string();
    assert!(on_gateway.contains(AGENT), "the agent's token is where it belongs");
    assert!(
        output.0.len() > 50 && output.0["log"].contains("\"level\":\"TRACE\""),
        "{:?}",
        output.0.keys()
    );
    let leaks = output.leaks(&key);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    let own = server.bearer().rsplit_once(' ').unwrap().1.to_owned();
    let places: Vec<_> =
        output.0.iter().filter(|(_, text)| text.contains(&own)).map(|(place, _)| place).collect();
    assert!(places.is_empty(), "the machine token is revealed in {places:?}");
}
