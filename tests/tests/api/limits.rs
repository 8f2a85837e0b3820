//! Requests that are too many, too long or malformed.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_the_same_form() {
    let server = Server::start(&[]).await;
    let long = "x".repeat((1 << 20) + 1);
    let json = "content-type: application/json";
    let id = "/api/v1/jobs/00000000-0000-0000-0000-000000000001";
    let cases = [
        ("GET /api/v1/nothing", vec![], "", 404),
        (&format!("GET {id}"), vec![], "", 404),
        (&format!("POST {id}/retry"), vec![json], "", 404),
        ("DELETE /api/v1/jobs", vec![], "", 405),
        ("GET /api/v1/jobs/seven", vec![], "", 422),
        ("GET /api/v1/jobs?limit=201", vec![], "", 422),
        ("GET /api/v1/jobs?limit=many", vec![], "", 422),
        ("GET /api/v1/jobs?q=colour:red", vec![], "", 422),
        ("GET /api/v1/jobs?after=x", vec![], "", 422),
        ("GET /api/v1/series?range=1y", vec![], "", 422),
        ("GET /api/v1/audit?after=x", vec![], "", 422),
        ("POST /api/v1/pause", vec![], "scope=all", 415),
        ("POST /api/v1/pause", vec![json], "{\"scope\":", 422),
        ("POST /api/v1/pause", vec![json], "{\"scope\":\"everything\"}", 422),
        ("POST /api/v1/pause", vec![json], "{\"scope\":\"all\",\"reason\":7}", 422),
        ("POST /api/v1/jobs", vec![json], &long, 413),
        ("POST /api/v1/bulk", vec![json], "{\"q\":\"\",\"action\":\"explode\"}", 422),
    ];
    let bearer = server.bearer();
    for (request, mut headers, body, status) in cases {
        headers.push(&bearer);
        let answer = server.send(request, &headers, body).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{request}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{request}");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{request}: {problem}"
        );
        if status == 422 {
            let path = problem["errors"][0]["path"].as_str().unwrap();
            assert!(
                ["id", "limit", "q", "after", "range", "scope", "reason", "action", "$"]
                    .contains(&path),
                "{problem}"
            );
        }
        let page =
            server.send(request, &[&headers[..], &["accept: text/html"]].concat(), body).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (status, Some("text/html; charset=utf-8")),
            "{request}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_too_much_is_told_to_wait_and_health_still_answers() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("worker.toml");
    std::fs::write(&config, "[http]\nrequests_per_second = 1\n").unwrap();
    let server = Server::start(&[("MISSION_CONFIG", config.to_str().unwrap())]).await;
    let mut refused = None;
    for _ in 0..1000 {
        let answer = server.get("/api/v1/pauses", &[]).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a thousand requests are more than one a second");
    assert_eq!(
        (refused.header("retry-after"), &refused.json()["status"]),
        (Some("1"), &json!(429))
    );
    assert_eq!(server.get("/readyz", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_completes_its_request_is_disconnected() {
    let server = Server::start(&[]).await;
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(b"GET /api/v1/jobs HTTP/1.1\r\nhost: ").await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(60), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
}
