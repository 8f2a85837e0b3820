//! A worker behind an nginx that is configured with nothing but `proxy_pass`: every client that
//! comes through it is anonymous.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::server::{Answer, Server, raw};
use super::{hold, waiting};

/// An nginx process in front of a worker.
struct Nginx {
    addr: SocketAddr,
    _folder: TempDir,
    _process: Child,
}

impl Nginx {
    /// Starts an nginx that forwards everything, with additional lines in its configuration.
    async fn start(worker: SocketAddr, more: &str) -> Self {
        // nginx cannot pick a free port. Another process may take the chosen one first, so ten
        // attempts are made.
        for _ in 0..10 {
            let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let folder = TempDir::new().unwrap();
            std::fs::write(folder.path().join("nginx.conf"), config(addr, worker, more)).unwrap();
            let log = File::create(folder.path().join("log")).unwrap();
            let mut command = Command::new(program());
            command.args(["-c", "nginx.conf", "-e", "stderr", "-p"]).arg(folder.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
            let mut process =
                command.spawn().expect("nginx can be started; scripts/setup test installs it");
            let answers = async {
                while process.try_wait().unwrap().is_none() {
                    if TcpStream::connect(addr).await.is_ok() {
                        return true;
                    }
                    sleep(Duration::from_millis(5)).await;
                }
                false
            };
            if timeout(Duration::from_secs(60), answers).await.expect("nginx starts in time") {
                return Self { addr, _folder: folder, _process: process };
            }
        }
        panic!("nginx does not start");
    }

    async fn ask(&self, request: &str, headers: &[&str], body: &str) -> Answer {
        let lines = headers.iter().fold(String::new(), |lines, line| lines + line + "\r\n");
        let head =
            format!("{request} HTTP/1.1\r\nhost: mission.example\r\nconnection: close\r\n{lines}");
        raw(self.addr, &format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await
    }
}

/// Returns the program's path, which on Debian is on root's `PATH` only.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}

fn config(addr: SocketAddr, worker: SocketAddr, more: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|part| format!("{part}_temp_path {part};"))
        .join(" ");
    format!(
        "daemon off; master_process off; pid nginx.pid; events {{}}
        http {{
            access_log off; {temporary}
            server {{ listen {addr}; location / {{ proxy_pass http://{worker}; {more} }} }}
        }}"
    )
}

const FORM: &str = "content-type: application/x-www-form-urlencoded";
const JSON: &str = "content-type: application/json";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_bare_proxy_sees_and_changes_nothing_without_a_token() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let id = waiting(&server.queue, "Ada").await;
    let nginx = Nginx::start(server.addr, "").await;
    let before = server.queue.audit(None, 100).await.unwrap().len();
    let pause = json!({ "scope": "kind:cleanup", "reason": "test" }).to_string();
    let bulk = json!({ "q": "state:ready", "action": "cancel" }).to_string();
    let changes = [
        ("/api/v1/pause", JSON, pause.as_str()),
        ("/api/v1/resume", JSON, r#"{"scope":"all"}"#),
        ("/api/v1/bulk", JSON, bulk.as_str()),
        (&format!("/api/v1/jobs/{id}/cancel"), JSON, "{}"),
        ("/api/v1/workers/any/drain", JSON, "{}"),
        ("/pause", FORM, "scope=all"),
        ("/resume", FORM, "scope=all"),
        ("/bulk", FORM, "q=state%3Aready&action=cancel"),
        (&format!("/jobs/{id}/cancel"), FORM, "why=x"),
    ];
    for (path, kind, body) in changes {
        let answer = nginx.ask(&format!("POST {path}"), &[kind], body).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        // The headers that a browser would send if it had loaded a page.
        let same = [
            "origin: http://mission.example",
            "sec-fetch-site: same-origin",
            "cookie: mission_session=x",
        ];
        let answer = nginx.ask(&format!("POST {path}"), &[&[kind][..], &same].concat(), body).await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
    }
    for path in [
        "/",
        "/jobs",
        &format!("/jobs/{id}"),
        "/audit",
        "/api/v1/jobs",
        "/api/v1/events",
        "/api/docs",
    ] {
        let answer = nginx.ask(&format!("GET {path}"), &[], "").await;
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert!(answer.body.contains("worker token show"), "{path}: {answer:?}");
    }
    let person = nginx.ask("GET /jobs", &["accept: text/html"], "").await;
    assert_eq!(
        (person.status, person.header("location")),
        (303, Some("/login?next=%2Fjobs")),
        "{person:?}"
    );
    assert_eq!(server.queue.audit(None, 100).await.unwrap().len(), before, "nothing was changed");

    let bearer = server.bearer();
    assert_eq!(nginx.ask("GET /api/v1/jobs", &[&bearer], "").await.status, 200);
    assert_eq!(nginx.ask("POST /api/v1/pause", &[&bearer, JSON], &pause).await.status, 200);
    assert_eq!(server.queue.audit(None, 100).await.unwrap().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_through_a_proxy_that_sends_forwarding_headers() {
    let server = Server::start(&[]).await;
    let more = "proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header \
        X-Forwarded-For $remote_addr;";
    let nginx = Nginx::start(server.addr, more).await;
    assert_eq!(nginx.ask("GET /api/v1/jobs", &[], "").await.status, 401);
    let token = server.bearer().rsplit_once(' ').unwrap().1.to_owned();
    let form = format!("token={token}&next=%2Fjobs");
    let same = ["origin: http://mission.example", "sec-fetch-site: same-origin", FORM];
    let answer = nginx.ask("POST /login", &same, &form).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/jobs")), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap();
    assert_eq!(nginx.ask("GET /jobs", &[&format!("cookie: {cookie}")], "").await.status, 200);
}
