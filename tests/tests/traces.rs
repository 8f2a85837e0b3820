//! The OpenTelemetry traces of a job, as a collector receives them.

use std::collections::BTreeSet;
use std::time::Duration;

use mission_gateway_sim::{Action, Fault, Profile};
use mission_jobs::State;
use mission_test_support::RedisServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::documents::{self, AGENT_TOKEN, GATEWAY_TOKEN};
use crate::metrics::{logged, put, reaches};
use crate::processes::Worker;
use crate::simulated::start;

/// Starts a collector that accepts everything, and returns its url and the head and body of each
/// request.
async fn collector() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut stream, mut head, mut line) =
                (BufReader::new(stream), String::new(), String::new());
            while stream.read_line(&mut line).await.unwrap() > 2 {
                head.push_str(&line.to_lowercase());
                line.clear();
            }
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
                .unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                .await
                .unwrap();
            sender.send((head, serde_json::from_slice(&body).unwrap())).unwrap();
        }
    });
    (format!("http://{addr}"), requests)
}

/// Checks that one job, which fails once because its gateway is closed and then succeeds, makes one
/// trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_a_trace_of_its_runs_and_their_requests() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    gateway.inject(Fault::on("connect", Action::DropBefore));
    let (endpoint, mut requests) = collector().await;
    let log = data.path().join("log");
    let worker = Worker::new(data.path())
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let worker = worker
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k%201");
    let worker = worker.spawn_into(&["run"], std::fs::File::create(&log).unwrap());
    logged(&log, "http").await;
    let id = put(&queue, &documents::provision(&gateway.url(), "Ada")).await;
    reaches(&queue, id, State::Done).await;
    // The spans that have not been sent yet are sent at the end.
    assert_eq!(worker.terminate().await.status, Some(0));

    let mut spans = Vec::new();
    while let Ok((head, body)) = requests.try_recv() {
        assert!(
            head.starts_with("post /v1/traces http/1.1") && head.contains("\napi-key: k 1"),
            "{head}"
        );
        assert!(
            !body.to_string().contains(GATEWAY_TOKEN) && !body.to_string().contains(AGENT_TOKEN),
            "{body}"
        );
        let resource = &body["resourceSpans"][0]["resource"]["attributes"];
        assert!(
            resource
                .to_string()
                .contains(r#"{"key":"service.name","value":{"stringValue":"mission-worker"}}"#)
        );
        spans
            .extend(body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    assert!(spans.iter().all(|span| span["traceId"] == id.simple().to_string()), "{spans:#?}");
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let (enqueue, runs) = (named("enqueue provision"), named("run provision"));
    assert_eq!((enqueue.len(), runs.len()), (1, 2), "{spans:#?}");
    assert_eq!(enqueue[0]["parentSpanId"], Value::Null);
    assert!(runs.iter().all(|run| run["parentSpanId"] == enqueue[0]["spanId"]));
    assert_eq!((&runs[0]["status"]["code"], &runs[1]["status"]["code"]), (&2.into(), &Value::Null));
    let writes = named("config.patch");
    assert_eq!((writes.len(), &writes[0]["parentSpanId"]), (1, &runs[1]["spanId"]));
    let ids: BTreeSet<_> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), spans.len());
    let nanos = |span: &Value, of: &str| span[of].as_str().unwrap().parse::<u128>().unwrap();
    for span in &spans {
        assert!(nanos(span, "startTimeUnixNano") <= nanos(span, "endTimeUnixNano"), "{span}");
    }
}

/// Checks that without a collector only the traces are lost.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_do_not_wait_for_a_collector() {
    let (redis, data) = (RedisServer::start().await, TempDir::new().unwrap());
    let queue = redis.queue_named("mission");
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    let id = put(&queue, &documents::provision(&gateway.url(), "Ada")).await;
    let worker = Worker::new(data.path())
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let worker = worker.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let ended =
        timeout(Duration::from_secs(60), worker.run(&["run", "--until-idle"])).await.unwrap();
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    assert!(ended.said.contains("trace export failed"), "{}", ended.said);
    reaches(&queue, id, State::Done).await;
}
