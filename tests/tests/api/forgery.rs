//! Browsers: signing in, and requests forged by another site.

use std::time::Duration;

use mission_test_support::RedisServer;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::access::token;
use super::server::{Answer, Server};
use crate::processes::Worker;

const FORM: &str = "content-type: application/x-www-form-urlencoded";

/// Returns the cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie in {answer:?}"));
    format!("cookie: {}", set.split(';').next().unwrap())
}

async fn signed_in(server: &Server, secret: &str) -> Answer {
    server.send("POST /login", &[FORM], &format!("token={secret}&next=%2Fapi%2Fdocs")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_out() {
    let (secret, entry) = token("sam", "operator");
    let server = Server::start(&[("MISSION_HTTP_TOKENS", &entry)]).await;
    let away = server.get("/api/docs?a=1", &["accept: text/html"]).await;
    assert_eq!(
        (away.status, away.header("location")),
        (303, Some("/login?next=%2Fapi%2Fdocs%3Fa%3D1"))
    );

    let answer = signed_in(&server, &secret).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/api/docs")));
    let set = answer.header("set-cookie").unwrap();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains(&secret),
        "{set}"
    );
    let cookie = cookie(&answer);
    assert_eq!(server.get("/api/docs", &[&cookie]).await.status, 200);

    // Signing out requires the session's CSRF token, as every change does.
    assert_eq!(server.send("POST /logout", &[&cookie, FORM], "").await.status, 403);
    assert_eq!(server.get("/api/v1/jobs", &[&cookie]).await.status, 200);
    assert_eq!(server.get("/api/v1/jobs", &["cookie: mission_session=made-up"]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_forged_by_another_site_do_nothing() {
    let (secret, entry) = token("sam", "admin");
    let signed = Server::start(&[("MISSION_HTTP_TOKENS", &entry)]).await;
    let open = Server::start(&[]).await;
    let cookie = cookie(&signed_in(&signed, &secret).await);
    let body = json!({ "scope": "all" });
    for (server, cookie) in [(&signed, cookie.as_str()), (&open, "cookie: a=b")] {
        let same = format!("origin: http://{}", server.addr);
        let forged: [&[&str]; 8] = [
            &[],
            &["origin: https://evil.example"],
            &["origin: null"],
            &["sec-fetch-site: cross-site"],
            &["sec-fetch-site: same-site", &same],
            &["sec-fetch-site: same-origin", &same],
            &["sec-fetch-site: same-origin", &same, "x-csrf-token: guessed"],
            &["host: evil.example", "origin: http://evil.example"],
        ];
        for headers in forged {
            let answer = server.post("/api/v1/pause", &[headers, &[cookie]].concat(), &body).await;
            assert!([403, 421].contains(&answer.status), "{headers:?}: {answer:?}");
        }
        assert!(server.queue.paused().await.unwrap().is_empty());
    }
    // A program on this machine is not a browser, but needs the machine token as well.
    let answer = open.post("/api/v1/pause", &[], &body).await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (401, Some("Bearer")),
        "{answer:?}"
    );
    assert!(answer.body.contains("worker token show"), "{answer:?}");
    assert!(open.queue.paused().await.unwrap().is_empty());
    assert_eq!(open.post("/api/v1/pause", &[&open.bearer()], &body).await.status, 200);
    assert_eq!(open.queue.paused().await.unwrap()[0].by, "local");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_with_the_machine_token_and_with_a_link_that_works_once() {
    let data = TempDir::new().unwrap();
    let redis = RedisServer::start().await;
    let worker = Worker::new(data.path())
        .env("MISSION_REDIS_URL", redis.url())
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    // The worker runs on a terminal, as when a person starts it. This file records the output.
    let screen = data.path().join("screen");
    let _worker = worker.spawn_on_terminal(&["run"], &screen);
    let link = timeout(Duration::from_secs(60), async {
        loop {
            let text = std::fs::read_to_string(&screen).unwrap_or_default();
            if let Some((_, link)) = text.split_once("once: http://")
                && let Some((link, _)) = link.split_once('\r')
            {
                return link.to_owned();
            }
            sleep(Duration::from_millis(5)).await;
        }
    });
    let link = link.await.expect("the link is printed in time");
    let (addr, path) = link.split_once('/').unwrap();
    let ask = async |request: &str, more: &str| {
        let head = format!("{request} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{more}\r\n");
        super::server::raw(addr.parse().unwrap(), &head).await
    };
    // Link previews and requests from another site do not use the link up.
    assert_eq!(ask(&format!("HEAD /{path}"), "").await.header("set-cookie"), None);
    assert_eq!(ask(&format!("GET /{path}"), "sec-fetch-site: cross-site\r\n").await.status, 403);
    let answer = ask(&format!("GET /{path}"), "sec-fetch-site: none\r\n").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let cookie = format!("{}\r\n", cookie(&answer));
    assert!(
        ask("GET /", &format!("{cookie}accept: text/html\r\n")).await.body.contains("Sign out")
    );
    assert_eq!(ask("GET /api/v1/audit?format=csv", &cookie).await.status, 200);
    let again = ask(&format!("GET /{path}"), "").await;
    assert_eq!((again.status, again.header("set-cookie")), (403, None));
    assert!(again.body.contains("worker token show"), "{again:?}");

    let server = Server::start(&[]).await;
    // Guesses by others, whose addresses a proxy passes on, do not lock the machine's owner out.
    for _ in 0..6 {
        signed_in(&server, "guessed").await;
    }
    assert_eq!(signed_in(&server, "guessed").await.status, 429);
    let signed = signed_in(&server, server.bearer().rsplit_once(' ').unwrap().1).await;
    assert_eq!((signed.status, signed.header("location")), (303, Some("/api/docs")), "{signed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_slowed_down() {
    let (secret, entry) = token("sam", "viewer");
    let server = Server::start(&[("MISSION_HTTP_TOKENS", &entry)]).await;
    for _ in 0..5 {
        assert_eq!(signed_in(&server, "guessed").await.status, 403);
    }
    let answer = signed_in(&server, &secret).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u64>().unwrap() > 0));
    assert!(!server.log().contains("guessed"));
    // Clients with a valid token are not slowed down by the guesses of others.
    let bearer = format!("authorization: Bearer {secret}");
    assert_eq!(server.get("/api/v1/jobs", &[&bearer]).await.status, 200);
    let refused =
        server.send("POST /login", &[FORM, "origin: https://evil.example"], "token=x").await;
    assert_eq!(refused.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_strict_security_headers() {
    let server = Server::start(&[]).await;
    for path in ["/healthz", "/login", "/api/v1/jobs", "/nothing", "/api/docs"] {
        let answer = server.get(path, &[]).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
}
