//! The metrics of a worker at work. Alerts, dashboard and documentation must use existing metrics
//! only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use mission_gateway_sim::{Action, Fault, Profile};
use mission_jobs::queue::Author;
use mission_jobs::{Envelope, PauseScope, Queue, State};
use mission_test_support::RedisServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::documents::{self, AGENT_TOKEN, GATEWAY_TOKEN};
use crate::processes::Worker;
use crate::simulated::start;

/// Names and types of all metrics, and their samples.
struct Scrape {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
    text: String,
}

impl Scrape {
    fn read(text: String) -> Self {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let types = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self { types, samples: samples.collect(), text }
    }

    fn sample(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// Returns whether there is a series with that name: a metric, or a part of a histogram.
    fn has(&self, name: &str) -> bool {
        let mut parts =
            ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
        self.types.contains_key(name)
            || parts.any(|name| self.types.get(name).is_some_and(|kind| kind == "histogram"))
    }
}

/// Requests a page and returns its body.
async fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Waits for a log line that has a field with that name, and returns the field.
pub async fn logged(log: &std::path::Path, member: &str) -> String {
    let found = async {
        loop {
            let text = std::fs::read_to_string(log).unwrap();
            let mut lines =
                text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(found) = lines.find_map(|line| Some(line[member].as_str()?.to_owned())) {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), found).await.expect("the line is logged in time")
}

/// Enqueues a document and returns the id of its job.
pub async fn put(queue: &Queue, document: &Value) -> Uuid {
    queue.enqueue(&[Envelope::new(document.to_string().as_bytes()).unwrap()]).await.unwrap()[0].id
}

pub async fn reaches(queue: &Queue, id: Uuid, state: State) {
    let reached = async {
        while queue.get(id).await.unwrap().unwrap().state != state {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), reached)
        .await
        .unwrap_or_else(|_| panic!("{id} does not become {state}"));
}

/// Scrapes a worker that has done one job across one restart of its gateway, failed with a second
/// one because of a wrong token, and cannot reach the gateway of a third. Everything else is
/// paused.
async fn scrape_of_a_worker_at_work() -> Scrape {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    gateway.inject(Fault::on("sessions.patch", Action::Restart { outage_ms: 0, reply: false }));
    let log = data.path().join("log");
    let worker = Worker::new(data.path())
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let worker = worker.spawn_into(&["run"], std::fs::File::create(&log).unwrap());
    let addr = logged(&log, "http").await;

    let done = put(&queue, &documents::provision(&gateway.url(), "Ada")).await;
    reaches(&queue, done, State::Done).await;
    let mut refused = documents::provision(&gateway.url(), "Bo");
    refused["gateway"]["token"] = "wrong".into();
    let blocked = put(&queue, &refused).await;
    reaches(&queue, blocked, State::Blocked).await;
    let mut nowhere = documents::cleanup("ws://127.0.0.1:9", "Cy");
    nowhere["gateway"]["id"] = Uuid::from_u128(7).to_string().into();
    let retrying = put(&queue, &nowhere).await;
    reaches(&queue, retrying, State::Retrying).await;
    queue.pause(&PauseScope::All, &Author::new("test", "here"), "to look").await.unwrap();
    let text = get(&addr, "/metrics").await;
    assert_eq!(worker.terminate().await.status, Some(0));
    Scrape::read(text)
}

/// Returns the names of the metrics in a text.
fn named_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("mission_") && *word != "mission_").collect()
}

/// Checks that alerts, dashboard and documentation use existing metrics, and that the documentation
/// lists all of them.
#[tokio::test(flavor = "multi_thread")]
async fn alerts_dashboard_and_docs_use_existing_metrics() {
    let scrape = scrape_of_a_worker_at_work().await;
    let read = |path: &str| {
        std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let (alerts, dashboard, docs) = (
        read("config/alerts.yml"),
        read("config/grafana-dashboard.json"),
        read("docs/operations.md"),
    );
    for text in [&alerts, &read("config/alerts.test.yml"), &dashboard, &docs] {
        let unknown: Vec<_> = named_in(text).into_iter().filter(|name| !scrape.has(name)).collect();
        assert!(unknown.is_empty(), "no worker exports {unknown:?}");
    }
    let known = named_in(&docs);
    let undocumented: Vec<_> =
        scrape.types.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(undocumented.is_empty(), "docs/operations.md does not name {undocumented:?}");

    // Each alert refers to an existing heading.
    for runbook in
        alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: docs/operations.md#"))
    {
        let heading = |line: &str| {
            let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect::<String>()
        };
        let mut headings = docs.lines().filter(|line| line.starts_with("##")).map(heading);
        assert!(
            headings.any(|heading| heading == runbook),
            "docs/operations.md has no heading for {runbook}"
        );
    }
    check_dashboard_queries(&dashboard).await;
}

/// Lets promtool check the dashboard's queries. It only reads rules, so they are given as rules.
async fn check_dashboard_queries(dashboard: &str) {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 20);
    let rule = |(number, query): (usize, &&str)| {
        let (query, record) = (query.replace("$__rate_interval", "5m"), format!("panel:{number}"));
        serde_json::json!({ "record": record, "expr": query })
    };
    let rules: Vec<Value> = expressions.iter().enumerate().map(rule).collect();
    let rules =
        serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    // Rules are YAML, of which JSON is a part.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_exports_its_work_and_the_state_of_its_queue() {
    let scrape = scrape_of_a_worker_at_work().await;
    for (series, value) in [
        ("mission_ready", 1.0),
        (r#"mission_jobs{state="done"}"#, 1.0),
        (r#"mission_jobs{state="blocked"}"#, 1.0),
        (r#"mission_jobs{state="dead"}"#, 0.0),
        (r#"mission_paused_scopes{scope="all"}"#, 1.0),
        (r#"mission_paused_scopes{scope="kind"}"#, 0.0),
        ("mission_oldest_ready_seconds", 0.0),
        ("mission_gateways", 2.0),
        ("mission_gateways_unreachable", 1.0),
        (r#"mission_gateway_failures{gateway="00000000-0000-0000-0000-000000000007"}"#, 1.0),
        (r#"mission_runs_total{kind="provision",outcome="done"}"#, 1.0),
        (r#"mission_runs_total{kind="provision",outcome="blocked"}"#, 1.0),
        (r#"mission_runs_total{kind="provision",outcome="permanent"}"#, 0.0),
        (r#"mission_run_failures_total{code="unauthorized"}"#, 1.0),
        (r#"mission_run_duration_seconds_count{kind="provision"}"#, 2.0),
        (r#"mission_job_wait_seconds_bucket{kind="provision",le="+Inf"}"#, 2.0),
        ("mission_config_writes_total", 1.0),
        (r#"mission_gateway_requests_total{method="config.patch",result="ok"}"#, 1.0),
        (r#"mission_gateway_requests_total{method="sessions.patch",result="error"}"#, 1.0),
        ("mission_gateway_restarts_total", 1.0),
        ("mission_redis_errors_total", 0.0),
        ("mission_leases_lost_total", 0.0),
        ("mission_leases_recovered_total", 0.0),
    ] {
        assert!(
            (scrape.sample(series) - value).abs() < 0.5,
            "{series} is {}, not {value}",
            scrape.sample(series)
        );
    }
    assert!(scrape.sample("mission_redis_connections_total") >= 1.0);
    let unprefixed: BTreeSet<_> =
        scrape.types.keys().filter(|name| !name.starts_with("mission_")).collect();
    assert!(unprefixed.is_empty(), "names without the prefix: {unprefixed:?}");
    for secret in [GATEWAY_TOKEN, AGENT_TOKEN, "ws://", "127.0.0.1", "wrong", "Acme"] {
        assert!(!scrape.text.contains(secret), "{secret} is revealed");
    }
    check_conventions(&scrape);
    promtool(&["check", "metrics"], Some(&scrape.text)).await;
}

/// Checks the naming conventions: exactly the counters end in `_total`, times are in seconds, and
/// histograms have buckets.
fn check_conventions(scrape: &Scrape) {
    for (name, kind) in &scrape.types {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(!name.ends_with("_ms") && kind != "summary", "{name} is a {kind}");
        assert_eq!(
            kind == "histogram",
            name.ends_with("_seconds") && !name.contains("oldest"),
            "{name} is a {kind}"
        );
        assert!(scrape.text.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
}

/// Runs promtool if it is installed.
async fn promtool(arguments: &[&str], input: Option<&str>) {
    let mut command = Command::new("promtool");
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Ok(mut child) = command.spawn() else {
        println!("promtool is not installed: skipped {arguments:?}");
        return;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.unwrap_or_default().as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}
