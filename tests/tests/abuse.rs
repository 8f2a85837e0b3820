//! Floods of jobs and crowds of users: they are served, and nobody else is slowed down.
//!
//! Counts are asserted, and memory where it could grow without bound. Times are only printed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mission_gateway_sim::Profile;
use mission_jobs::{Envelope, Queue, State};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::server::Server;
use crate::documents;
use crate::simulated::start;

const PATIENCE: Duration = Duration::from_secs(240);
/// The maximum memory of a worker, in KiB.
const MAX_MEMORY: u64 = 256 << 10;
/// The number of people who watch the dashboard.
const PEOPLE: usize = 200;

/// The number of jobs in the flood. The figures in docs/performance.md are for 100,000 jobs.
fn flood() -> usize {
    std::env::var("MISSION_FLOOD").map_or(3000, |text| text.parse().unwrap())
}

fn envelope(document: &Value) -> Envelope {
    Envelope::new(document.to_string().as_bytes()).unwrap()
}

/// Moves the document to another gateway.
fn on_another_gateway(mut document: Value) -> Value {
    document["gateway"]["id"] = json!(Uuid::from_u128(7));
    document
}

async fn reaches(queue: &Queue, id: Uuid, state: State) {
    let reached = async {
        while queue.get(id).await.unwrap().unwrap().state != state {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the job reaches the state in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_for_one_gateway_delays_no_other() {
    let flood = flood();
    // The gateway answers slowly, so its lane is always full.
    let flooded = start(Profile::V2026_9_6, |setup| setup.options.latency_ms = 20).await;
    let calm = start(Profile::V2026_9_6, |_| {}).await;
    let server = Server::start(&[]).await;
    let queue = &server.queue;
    let jobs: Vec<_> = (0..flood)
        .map(|agent| envelope(&documents::provision(&flooded.url(), &format!("Agent {agent}"))))
        .collect();
    let before = server.memory();
    for some in jobs.chunks(50) {
        queue.enqueue(some).await.unwrap();
    }
    let ended = async || queue.counts().await.unwrap().of(State::Done);
    let (mut most, began, done_before) = (0, Instant::now(), ended().await);
    // Ten jobs come one after the other while the worker processes the flood.
    for name in 0..10 {
        let job = envelope(&on_another_gateway(documents::provision(
            &calm.url(),
            &format!("Calm {name}"),
        )));
        queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
        reaches(queue, job.id, State::Done).await;
        most = most.max(server.memory());
    }
    let (took, passed) = (began.elapsed(), ended().await - done_before - 10);
    println!(
        "flood of {flood} jobs for one gateway; ten jobs in sequence for another took {took:?}, \
         while {passed} jobs of the flood were done; memory of the worker: {before} KiB before, \
         {most} KiB at most"
    );
    assert!(passed < flood as u64 / 2, "the ten jobs waited for {passed} jobs of the flood");
    assert!(most < MAX_MEMORY, "{most} KiB");
    assert_eq!(flooded.connections(), 1);
}

/// A person who watches the dashboard, from a client address of their own.
struct Person {
    address: Ipv4Addr,
    stream: TcpStream,
    heard: String,
}

impl Person {
    async fn connect(server: &Server, address: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        socket.connect(server.addr).await.unwrap()
    }

    /// Subscribes to events as the pages do.
    async fn listen(server: &Server, number: usize) -> Self {
        let address = Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).unwrap());
        let mut stream = Self::connect(server, address).await;
        let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut person = Self { address, stream, heard: String::new() };
        person.hears("event: reset").await;
        person
    }

    async fn hears(&mut self, words: &str) {
        let mut buffer = [0; 4096];
        while !self.heard.contains(words) {
            let read = timeout(PATIENCE, self.stream.read(&mut buffer))
                .await
                .expect("an event in time")
                .unwrap();
            assert!(read > 0, "the stream ended: {}", self.heard);
            self.heard.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    /// Loads the first screen and returns how long that took.
    async fn looks(&self, server: &Server) -> Duration {
        let began = Instant::now();
        let mut stream = Self::connect(server, self.address).await;
        let request = format!(
            "GET / HTTP/1.1\r\nhost: {}\r\naccept: text/html\r\nconnection: close\r\n\r\n",
            server.addr
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut page)).await.expect("a page in time").unwrap();
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        began.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_people_look_at_the_dashboard() {
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    let server = Server::start(&[]).await;
    let before = server.memory();
    let mut people = join_all((0..PEOPLE).map(|number| Person::listen(&server, number))).await;
    let listening = server.memory();
    let (mut times, mut most) = (Vec::new(), 0);
    for round in 0..3 {
        let job = envelope(&documents::provision(&gateway.url(), &format!("Agent {round}")));
        server.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
        let words = format!("\"id\":\"{}\",", job.id);
        join_all(people.iter_mut().map(|person| person.hears(&words))).await;
        // Everybody reloads at once while the job is running.
        times.extend(join_all(people.iter().map(|person| person.looks(&server))).await);
        reaches(&server.queue, job.id, State::Done).await;
        most = most.max(server.memory());
    }
    times.sort();
    println!(
        "{PEOPLE} people: memory of the worker: {before} KiB before, {listening} KiB when all are \
         subscribed, {most} KiB at most; all pages at once: half within {:?}, the last {:?}; \
         CPU of the worker: {:.2} s",
        times[times.len() / 2],
        times[times.len() - 1],
        server.cpu()
    );
    assert!(most < MAX_MEMORY, "{most} KiB");
}
