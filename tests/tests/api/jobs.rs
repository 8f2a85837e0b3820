//! Jobs over HTTP: enqueueing, single and bulk actions, and events.

use std::time::Duration;

use mission_jobs::State;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::server::Server;
use super::{document, hold, waiting};
use crate::documents::{AGENT_TOKEN, GATEWAY_TOKEN};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_enqueued_once_under_a_key_and_shown_without_secrets() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let send = async || {
        let headers = [&server.bearer(), "idempotency-key: provision-ada-1"];
        server.post("/api/v1/jobs?priority=2&expires_in=3600", &headers, &document("Ada")).await
    };
    let first = send().await;
    assert_eq!((first.status, &first.json()["state"]), (202, &json!("ready")), "{first:?}");
    let place = first.header("location").unwrap().to_owned();
    let again = send().await;
    assert_eq!((again.status, &again.json()["duplicate"]), (202, &json!(true)), "{again:?}");
    assert_eq!(again.json()["id"], first.json()["id"]);
    let headers = [&server.bearer(), "idempotency-key: provision-ada-1"];
    let other = server.post("/api/v1/jobs", &headers, &document("Bea")).await;
    assert_eq!(other.status, 409, "{other:?}");
    assert!(other.body.contains(first.json()["id"].as_str().unwrap()), "{other:?}");
    let shown = server.get(&place, &[]).await;
    assert_eq!(
        (shown.json()["priority"].clone(), shown.json()["kind"].clone()),
        (json!(2), json!("provision"))
    );
    assert_eq!(shown.json()["document"]["gateway"]["token"], "***");
    for path in [
        place.as_str(),
        "/api/v1/jobs",
        "/api/v1/jobs?format=json",
        "/api/v1/jobs?format=csv",
        "/metrics",
    ] {
        let body = server.get(path, &[]).await.body;
        assert!(!body.contains(AGENT_TOKEN) && !body.contains(GATEWAY_TOKEN), "{path}: {body}");
    }
    let log = server.log();
    assert!(!log.contains(AGENT_TOKEN) && !log.contains(GATEWAY_TOKEN), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_enqueued_whole_or_not_at_all_and_each_error_has_a_path() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let bearer = server.bearer();
    let mut wrong = document("Ada");
    wrong["agent"]["heartbeet"] = json!({});
    let answer = server.post("/api/v1/jobs", &[&bearer], &json!([document("Bea"), wrong, 7])).await;
    assert_eq!(answer.status, 422);
    let paths: Vec<Value> =
        answer.json()["errors"].as_array().unwrap().iter().map(|e| e["path"].clone()).collect();
    assert_eq!(paths, ["[1].agent.heartbeet", "[2]"], "{answer:?}");
    assert_eq!(server.queue.counts().await.unwrap().of(State::Ready), 0);

    let answer =
        server.post("/api/v1/jobs", &[&bearer], &json!([document("Ada"), document("Bea")])).await;
    assert_eq!((answer.status, answer.json().as_array().unwrap().len()), (202, 2), "{answer:?}");
    let keyed = [bearer.as_str(), "idempotency-key: k"];
    let keyed =
        server.post("/api/v1/jobs", &keyed, &json!([document("Ada"), document("Bea")])).await;
    assert_eq!(
        (keyed.status, &keyed.json()["errors"][0]["path"]),
        (422, &json!("idempotency-key"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_means_one_thing_and_a_job_does_not_expire_before_it_is_due() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let headers = [&server.bearer(), "content-type: application/json"];
    let send = async |query: &str, body: &str| {
        server.send(&format!("POST /api/v1/jobs{query}"), &headers, body).await
    };
    let document = document("Ada").to_string();
    let twice = document.replacen("{\"", "{\"kind\":\"cleanup\",\"", 1);
    for (body, path) in [(&twice, "kind"), (&format!("[{document}, {twice}]"), "[1].kind")] {
        let refused = send("", body).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["path"]), (422, &json!(path)));
    }
    for body in [format!("\u{feff}{document}"), format!("\u{feff}[{document}]")] {
        assert_eq!(send("", &body).await.status, 202);
    }
    assert_eq!(
        server.send("POST /api/v1/pause", &headers, "\u{feff}{\"scope\": \"all\"}").await.status,
        200
    );
    let refused = send("?delay=60&expires_in=60", &document).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["path"]), (422, &json!("expires_in")));
    assert_eq!(send("?delay=60&expires_in=61", &document).await.status, 202);
    // This Redis has no replica: the job is stored all the same.
    let stored = send("?replicas=1", &document).await;
    assert_eq!((stored.status, &stored.json()["replicas"]), (202, &json!(0)));
    for wrong in ["0", "10", "256", "-1", "abc", ""] {
        let refused = send(&format!("?replicas={wrong}"), &document).await;
        let error = json!({ "path": "replicas", "message": "use 1 to 9" });
        assert_eq!((refused.status, &refused.json()["errors"][0]), (422, &error), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_on_a_job_are_audited_with_actor_and_reason() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let id = waiting(&server.queue, "Ada").await;
    let act = async |what: &str, body: Value| {
        server.post(&format!("/api/v1/jobs/{id}/{what}"), &[&server.bearer()], &body).await
    };
    let snoozed = act("snooze", json!({ "seconds": 600, "reason": "maintenance" })).await;
    assert_eq!(snoozed.json(), json!({ "id": id, "was": "ready" }), "{snoozed:?}");
    assert_eq!(server.queue.get(id).await.unwrap().unwrap().state, State::Snoozed);
    assert_eq!(act("snooze", json!({ "seconds": 0 })).await.json()["errors"][0]["path"], "seconds");
    assert_eq!(act("unblock", json!({})).await.status, 409);
    assert_eq!(act("retry", json!({ "reason": "done early" })).await.json()["was"], "snoozed");
    assert_eq!(act("cancel", json!({ "reason": "not wanted" })).await.json()["was"], "ready");
    assert_eq!(act("cancel", json!({})).await.status, 409);

    let audit = server.get("/api/v1/audit", &[]).await.json();
    let acted: Vec<_> =
        audit.as_array().unwrap().iter().map(|entry| (&entry["action"], &entry["why"])).collect();
    let expected = [("cancel", "not wanted"), ("retry", "done early"), ("snooze", "maintenance")]
        .map(|(a, w)| (json!(a), json!(w)));
    let expected: Vec<_> = expected.iter().map(|(action, why)| (action, why)).collect();
    assert_eq!(acted[..3], expected[..], "{audit}");
    assert_eq!(
        (&audit[0]["by"], &audit[0]["from"]),
        (&json!("local"), &json!("api 127.0.0.1")),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_search_list_each_job_once() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    for number in 0..7 {
        waiting(&server.queue, &format!("Agent {number}")).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/jobs?q=state:ready&limit=3".to_owned());
    for _ in 0..10 {
        let page = server.get(&path, &[]).await.json();
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        let next = next.replace('+', "%2B").replace('=', "%3D");
        path = format!("/api/v1/jobs?q=state:ready&limit=3&after={next}");
    }
    assert_eq!(seen.len(), 7);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_actions_require_the_number_of_jobs() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    for number in 0..60 {
        waiting(&server.queue, &format!("Agent {number}")).await;
    }
    let bulk = async |body: Value| server.post("/api/v1/bulk", &[&server.bearer()], &body).await;
    let preview = bulk(json!({ "q": "state:ready", "action": "cancel", "preview": true })).await;
    assert_eq!(preview.json(), json!({ "matched": 60, "more": false }));
    for confirm in [json!(null), json!(59)] {
        let refused =
            bulk(json!({ "q": "state:ready", "action": "cancel", "confirm": confirm })).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("60 jobs"), "{refused:?}");
    }
    assert_eq!(server.queue.counts().await.unwrap().of(State::Ready), 60);

    let begun = bulk(
        json!({ "q": "state:ready", "action": "cancel", "confirm": 60, "reason": "not wanted" }),
    )
    .await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let path = format!("/api/v1/bulk/{}", begun.json()["id"].as_str().unwrap());
    let finished = timeout(Duration::from_secs(60), async {
        loop {
            let progress = server.get(&path, &[]).await.json();
            if progress["finished"] == true {
                return progress;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    let progress = finished.await.expect("the bulk action ends in time");
    assert_eq!((&progress["done"], &progress["refused"]), (&json!(60), &json!(0)), "{progress}");
    assert_eq!(server.queue.counts().await.unwrap().of(State::Cancelled), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_gets_new_events_and_those_it_missed() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let mut subscriber = Subscriber::open(&server, "").await;
    assert_eq!(subscriber.hear("reset").await, (String::new(), "{}".to_owned()));
    listens(&server).await;
    let first = waiting(&server.queue, "Ada").await.to_string();
    let (event, data) = subscriber.hear("job").await;
    assert!(data.contains(&first) && data.contains("\"to\":\"ready\""), "{data}");

    let next = waiting(&server.queue, "Bea").await.to_string();
    assert!(subscriber.hear("job").await.1.contains(&next));
    let mut again = Subscriber::open(&server, &format!("last-event-id: {event}\r\n")).await;
    assert!(again.hear("job").await.1.contains(&next), "missed events come first");
    let mut other = Subscriber::open(&server, "last-event-id: 1-1\r\n").await;
    other.hear("reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_subscribers_share_one_reader_of_redis() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let mut all = Vec::new();
    for _ in 0..50 {
        all.push(Subscriber::open(&server, "").await);
    }
    for subscriber in &mut all {
        subscriber.hear("reset").await;
    }
    listens(&server).await;
    let job = waiting(&server.queue, "Ada").await.to_string();
    for subscriber in &mut all {
        assert!(subscriber.hear("job").await.1.contains(&job));
    }
    listens(&server).await;
}

/// Waits until Redis has two blocked clients: the worker waiting for jobs, and its one reader of
/// events.
async fn listens(server: &Server) {
    server.redis.has_idle(2).await;
}

/// A subscriber to the event stream.
struct Subscriber(BufReader<TcpStream>);

impl Subscriber {
    async fn open(server: &Server, more: &str) -> Self {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let head = format!("GET /api/v1/events HTTP/1.1\r\nhost: {}\r\n{more}\r\n", server.addr);
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(BufReader::new(stream))
    }

    /// Returns id and content of the next event with that name.
    async fn hear(&mut self, name: &str) -> (String, String) {
        timeout(Duration::from_secs(60), self.listen(name)).await.expect("an event in time")
    }

    async fn listen(&mut self, name: &str) -> (String, String) {
        let (mut id, mut named, mut data) = (String::new(), false, String::new());
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "the stream has ended");
            match line.trim_end().split_once(':') {
                Some(("id", value)) => id = value.trim().to_owned(),
                Some(("event", value)) => named = value.trim() == name,
                Some(("data", value)) => data = value.trim().to_owned(),
                None if line.trim().is_empty() && named => return (id, data),
                _ => {}
            }
        }
    }
}
