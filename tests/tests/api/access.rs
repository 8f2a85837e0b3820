//! Authentication and permissions: who is admitted, and which role may do what.

use std::process::Command;

use serde_json::{Value, json};

use super::server::Server;
use super::{document, hold, waiting};
use crate::metrics::logged;
use crate::processes::{Worker, binary};

/// Returns a token and its entry for the settings, as `worker token` prints them.
pub fn token(name: &str, role: &str) -> (String, String) {
    let output =
        Command::new(binary("worker")).args(["token", name, "--role", role]).output().unwrap();
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    (made["token"].as_str().unwrap().to_owned(), made["entry"].as_str().unwrap().to_owned())
}

const READS: [&str; 14] = [
    "/jobs",
    "/jobs/ID",
    "/jobs/ID/attempts",
    "/summary",
    "/kinds",
    "/series?range=7d",
    "/failures",
    "/gateways",
    "/workers",
    "/pauses",
    "/audit",
    "/openapi.json",
    "/jobs?format=csv",
    "/jobs?format=json",
];

/// Lists each action with the role that it requires, the body to send, and the status when
/// permitted.
fn actions() -> Vec<(&'static str, &'static str, Value, u16)> {
    let because = json!({ "reason": "test" });
    vec![
        ("operator", "/jobs", document("Bea"), 202),
        ("operator", "/jobs/ID/snooze", json!({ "seconds": 600 }), 200),
        ("operator", "/jobs/ID/retry", because.clone(), 200),
        ("operator", "/jobs/ID/unblock", because.clone(), 409),
        ("operator", "/jobs/ID/discard", because.clone(), 409),
        ("operator", "/jobs/ID/cancel", because.clone(), 200),
        ("operator", "/pause", json!({ "scope": "kind:cleanup", "reason": "test" }), 200),
        ("operator", "/resume", json!({ "scope": "kind:cleanup" }), 200),
        (
            "operator",
            "/bulk",
            json!({ "q": "state:dead", "action": "discard", "preview": true }),
            200,
        ),
        ("operator", "/bulk", json!({ "q": "state:dead", "action": "discard" }), 202),
        ("admin", "/workers/nobody/drain", because.clone(), 404),
        ("admin", "/workers/nobody/undrain", because, 404),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_what_it_is_permitted_and_nothing_else() {
    let roles = ["viewer", "operator", "admin"];
    let tokens = roles.map(|role| token(role, role));
    let entries = tokens.iter().map(|(_, entry)| entry.as_str()).collect::<Vec<_>>().join(" ");
    let server = Server::start(&[("MISSION_HTTP_TOKENS", &entries)]).await;
    hold(&server.queue).await;
    for (at, (secret, _)) in tokens.iter().enumerate() {
        let bearer = format!("authorization: Bearer {secret}");
        let id = waiting(&server.queue, roles[at]).await.to_string();
        let path = |path: &str| format!("/api/v1{}", path.replace("ID", &id));
        for read in READS {
            let answer = server.get(&path(read), &[&bearer]).await;
            assert_eq!(answer.status, 200, "{} {read}: {answer:?}", roles[at]);
        }
        let export = server.get(&path("/audit?format=csv"), &[&bearer]).await;
        assert_eq!(export.status, if roles[at] == "admin" { 200 } else { 403 });
        for (needs, action, body, status) in actions() {
            let answer = server.post(&path(action), &[&bearer], &body).await;
            let may = roles.iter().position(|role| *role == needs).unwrap() <= at;
            assert_eq!(
                answer.status,
                if may { status } else { 403 },
                "{} {action}: {answer:?}",
                roles[at]
            );
            let open = server.post(&path(action), &[], &body).await;
            assert_eq!(open.status, 401, "{action}");
        }
    }
    let log = server.log();
    assert!(tokens.iter().all(|(secret, _)| !log.contains(secret)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_clients_are_refused_until_a_token_is_configured() {
    let server = Server::start_at("0.0.0.0:0", &[]).await;
    assert_eq!(server.get("/readyz", &[]).await.status, 200);
    for path in ["/api/v1/jobs", "/api/v1/openapi.json", "/api/docs", "/login"] {
        let answer = server.get(path, &["accept: text/html"]).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("worker token NAME"), "{path}: {}", answer.body);
    }
    let answer = server.post("/api/v1/pause", &[], &json!({ "scope": "all" })).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(server.queue.paused().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn local_clients_are_admitted_under_local_host_names_only() {
    let server = Server::start(&[]).await;
    let port = server.addr.port();
    let asked = async |host: &str, more: &str| {
        let host = format!("host: {host}");
        let more = if more.is_empty() { "x-nothing: 1" } else { more };
        server.get("/api/v1/summary", &[&host, more]).await.status
    };
    assert_eq!(asked(&format!("localhost:{port}"), "").await, 200);
    assert_eq!(asked(&format!("[::1]:{port}"), "").await, 200);
    assert_eq!(asked("rebound.example", "").await, 421);
    assert_eq!(asked(&format!("127.0.0.1.rebound.example:{port}"), "").await, 421);
    for passed_on in [
        "x-forwarded-for: 203.0.113.9",
        "x-forwarded-for:",
        "X-Forwarded-Port: 443",
        "via: 1.1 proxy",
        "forwarded: for=203.0.113.9",
        "x-real-ip: 127.0.0.1",
        "authorization: Basic c2FtOnNlY3JldA==",
        &format!("host: localhost:{port}"),
    ] {
        let status = asked(&format!("localhost:{port}"), passed_on).await;
        assert_eq!(status, if passed_on.starts_with("host") { 421 } else { 401 }, "{passed_on}");
    }
    // The request as nginx sends it by default, as a client sends it to a forward proxy, and
    // without a host.
    let host = format!("127.0.0.1:{port}");
    for raw in [
        format!("GET /api/v1/summary HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        format!(
            "GET http://{host}/api/v1/summary HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ),
        "GET /api/v1/summary HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        assert_eq!(server.send_raw(&raw).await.status, 401, "{raw}");
    }
    let bearer = server.bearer();
    assert_eq!(asked("rebound.example", &bearer).await, 200);
    assert_eq!(server.get("/api/v1/summary", &[&bearer, "via: 1.1 proxy"]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_clients_can_read_without_a_token_but_not_act() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let id = waiting(&server.queue, "Ada").await.to_string();
    let bearer = server.bearer();
    let path = |path: &str| format!("/api/v1{}", path.replace("ID", &id));
    for read in READS {
        assert_eq!(server.get(&path(read), &[]).await.status, 200, "{read}");
    }
    assert_eq!(server.get("/api/v1/audit?format=csv", &[]).await.status, 401);
    for (_, action, body, status) in actions() {
        for wrong in ["x-nothing: 1", "authorization: Bearer", "authorization: Bearer guessed"] {
            let refused = server.post(&path(action), &[wrong], &body).await;
            assert_eq!(refused.status, 401, "{action} {wrong}: {refused:?}");
            assert!(refused.body.contains("worker token show"), "{action}: {refused:?}");
        }
        let answer = server.post(&path(action), &[&bearer], &body).await;
        assert_eq!(answer.status, status, "{action}: {answer:?}");
    }
    let page = server.get("/", &["accept: text/html"]).await;
    assert!(
        page.body.contains("worker token show") && !page.body.contains(">Pause<"),
        "{}",
        page.body
    );
    assert!(!server.log().contains(bearer.trim_start_matches("authorization: Bearer ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_token_outlives_its_worker_and_is_shown_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;

    let server = Server::start(&[]).await;
    let file = server.folder().join("http.token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = Worker::new(server.folder()).run(&["token", "show"]).await;
    let token = shown.answer["token"].as_str().unwrap();
    assert_eq!(server.bearer(), format!("authorization: Bearer {token}"), "{}", shown.said);
    // Another worker on the same data directory uses the same token.
    let (log, redis) = (server.folder().join("second"), server.redis.url());
    let second = Worker::new(server.folder())
        .env("MISSION_REDIS_URL", redis)
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    let _second = second.spawn_into(&["run"], std::fs::File::create(&log).unwrap());
    let api = format!("http://{}", logged(&log, "http").await);
    let paused =
        Worker::new(server.folder()).run(&["pause", "--reason", "test", "--api", &api]).await;
    assert_eq!(paused.status, Some(0), "{}", paused.said);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed =
        Worker::new(server.folder()).env("MISSION_HTTP_ADDR", "127.0.0.1:0").run(&["run"]).await;
    assert_eq!(exposed.status, Some(2), "{}", exposed.said);
    assert!(exposed.said.contains("chmod 600"), "{}", exposed.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_can_name_the_user() {
    let headers = [
        ("MISSION_HTTP_PROXIES", "127.0.0.0/8"),
        ("MISSION_HTTP_USER_HEADER", "X-User"),
        ("MISSION_HTTP_ROLE_HEADER", "X-Roles"),
    ];
    let server = Server::start(&headers).await;
    let pause = json!({ "scope": "all", "reason": "test" });
    let user = ["x-user: sam", "x-roles: staff,operator", "x-forwarded-for: 203.0.113.9"];
    assert_eq!(server.get("/api/v1/summary", &user).await.status, 200);
    assert_eq!(server.get("/api/v1/summary", &["x-user: sam", "x-roles: staff"]).await.status, 403);
    assert_eq!(server.get("/api/v1/summary", &["x-roles: admin"]).await.status, 401);
    // A browser attaches the proxy's cookie by itself, so requests that change something must also
    // show that they come from the same origin.
    assert_eq!(server.post("/api/v1/pause", &user, &pause).await.status, 403);

    let (_, entry) = token("ci", "viewer");
    let other_proxies = [
        headers[1],
        headers[2],
        ("MISSION_HTTP_TOKENS", &entry),
        ("MISSION_HTTP_PROXIES", "192.0.2.0/24"),
    ];
    let server = Server::start(&other_proxies).await;
    assert_eq!(server.get("/api/v1/summary", &user).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_makes_everybody_a_viewer() {
    let key = "an-admins-token-of-some-length";
    let server =
        Server::start(&[("MISSION_API_TOKEN", key), ("MISSION_HTTP_READ_ONLY", "true")]).await;
    let bearer = format!("authorization: Bearer {key}");
    assert_eq!(server.get("/api/v1/jobs", &[&bearer]).await.status, 200);
    let answer = server.post("/api/v1/pause", &[&bearer], &json!({ "scope": "all" })).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}
