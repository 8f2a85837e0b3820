//! The allowlist of gateway addresses: a job for any other address is blocked, and nothing connects
//! to it.

use std::fs;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::documents;
use crate::processes::Worker;

async fn apply(allowed: &str, url: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.json");
    fs::write(&file, documents::provision(url, "Ada").to_string()).unwrap();
    let worker = Worker::new(folder.path()).env("MISSION_GATEWAY_ALLOWED", allowed);
    worker.run(&["apply", file.to_str().unwrap()]).await.answers.remove(0)
}

#[tokio::test]
async fn a_gateway_outside_the_allowlist_is_not_contacted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for url in [
        format!("ws://127.0.0.1:{port}"),
        format!("ws://[::ffff:127.0.0.1]:{port}"),
        format!("ws://2130706433:{port}"),
    ] {
        let answer = apply("10.0.0.0/8, gw.example.com", &url).await;
        assert_eq!(
            (&answer["outcome"], &answer["error"]["code"]),
            (&json!("blocked"), &json!("gateway_not_allowed"))
        );
        let action = answer["error"]["action"].as_str().unwrap();
        assert!(action.contains("gateway.allowed"), "{action}");
    }
    let called = std::future::poll_fn(|context| {
        std::task::Poll::Ready(listener.poll_accept(context).is_ready())
    })
    .await;
    assert!(!called, "something connected");
}

#[tokio::test]
async fn a_gateway_in_an_allowed_network_is_contacted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let closing = async {
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
        drop(listener);
    };
    let url = format!("ws://localhost:{port}");
    let (answer, ()) = tokio::join!(apply("127.0.0.0/8", &url), closing);
    assert_eq!(answer["error"]["code"], "unreachable", "{answer}");
}
