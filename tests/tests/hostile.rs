//! Gateways that attack the worker with what they send: its memory stays bounded, and the jobs of
//! other gateways are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use mission_gateway_sim::Profile;
use mission_jobs::queue::Author;
use mission_jobs::{Envelope, Queue, State};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

use crate::api::server::Server;
use crate::documents;
use crate::simulated::start;

const PATIENCE: Duration = Duration::from_secs(240);
const MIB: usize = 1024 * 1024;
/// The maximum memory of a worker, in KiB, whatever one gateway sends.
const MAX_MEMORY: u64 = 200 << 10;
/// The address space of a worker that many gateways attack, in KiB.
const ADDRESS_SPACE: u64 = 512 << 10;

/// The way in which a gateway attacks its clients.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Attack {
    /// The challenge is 31 MiB long.
    Challenge,
    /// The hello is 31 MiB long.
    Hello,
    /// An event of 31 MiB precedes each answer.
    Events,
    /// Each answer is 31 MiB of many small values.
    Answers,
    /// Each answer is 31 MiB of many small objects, and has the form of a config.
    Configs,
    /// Each answer is an error of 31 MiB.
    Errors,
    /// Events are sent without end.
    Flood,
    /// Pings are sent without end, and their answers are never read.
    Pings,
}

struct Hostile {
    url: String,
    /// The number of connections so far.
    connections: Arc<AtomicU64>,
}

impl Hostile {
    async fn start(attack: Attack) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicU64::new(0));
        let hostile = Self { url, connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
                    // It ends when the worker hangs up.
                    let _ = Connection(socket).serve(attack).await;
                });
            }
        });
        hostile
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The server's end of a connection, which attacks.
struct Connection(WebSocketStream<TcpStream>);

impl Connection {
    async fn serve(mut self, attack: Attack) -> Result<(), Error> {
        let nonce = if attack == Attack::Challenge { "x".repeat(31 * MIB) } else { "n".to_owned() };
        let challenge = json!({
            "type": "event", "event": "connect.challenge", "payload": { "nonce": nonce, "ts": 1 }
        });
        self.send(challenge.to_string()).await?;
        let connect = self.request().await?;
        let more = if attack == Attack::Hello { large("1,") } else { "[]".to_owned() };
        self.answer(
            &connect,
            &format!(r#"{{"type":"hello-ok","protocol":4,"features":{{"events":{more}}}}}"#),
        )
        .await?;
        match attack {
            Attack::Flood => loop {
                self.send(r#"{"type":"event","event":"x"}"#.to_owned()).await?;
            },
            Attack::Pings => loop {
                self.0.feed(Message::Ping(vec![b'x'; 125].into())).await?;
            },
            _ => {}
        }
        loop {
            let request = self.request().await?;
            match attack {
                Attack::Events => {
                    self.send(format!(
                        r#"{{"type":"event","event":"x","payload":{}}}"#,
                        large(r#"{"a":1},"#)
                    ))
                    .await?;
                    self.answer(&request, "{}").await?;
                }
                Attack::Answers => self.answer(&request, &large("1,")).await?,
                Attack::Configs => {
                    let config = format!(
                        r#"{{"hash":"h","config":{{"agents":{{"list":{}}}}}}}"#,
                        large(r#"{"a":1},"#)
                    );
                    self.answer(&request, &config).await?;
                }
                _ => {
                    let error =
                        format!(r#"{{"code":"X","message":"no","details":{}}}"#, large("[],"));
                    self.send(format!(
                        r#"{{"type":"res","id":{},"ok":false,"error":{error}}}"#,
                        request["id"]
                    ))
                    .await?;
                }
            }
        }
    }

    async fn request(&mut self) -> Result<Value, Error> {
        loop {
            if let Message::Text(text) = self.0.next().await.ok_or(Error::ConnectionClosed)?? {
                return Ok(serde_json::from_str(&text).unwrap());
            }
        }
    }

    async fn answer(&mut self, request: &Value, payload: &str) -> Result<(), Error> {
        self.send(format!(
            r#"{{"type":"res","id":{},"ok":true,"payload":{payload}}}"#,
            request["id"]
        ))
        .await
    }

    /// Sends a text. Large ones bypass the library, which takes minutes for them.
    async fn send(&mut self, text: String) -> Result<(), Error> {
        self.0.flush().await?;
        let mut frame = vec![0x81, 127];
        frame.extend((text.len() as u64).to_be_bytes());
        frame.extend(text.into_bytes());
        self.0.get_mut().write_all(&frame).await?;
        Ok(())
    }
}

/// Returns a list of nearly 31 MiB that repeats this value.
fn large(value: &str) -> String {
    format!("[{}1]", value.repeat((31 * MIB - 1024) / value.len()))
}

/// Returns a job of an agent on the gateway of that number.
fn job(url: &str, gateway: u128, name: &str) -> Envelope {
    let mut document = documents::provision(url, name);
    document["gateway"]["id"] = json!(Uuid::from_u128(gateway));
    Envelope::new(document.to_string().as_bytes()).unwrap()
}

async fn reaches(queue: &Queue, id: Uuid, is_there: impl Fn(State) -> bool) {
    let reached = async {
        while !is_there(queue.get(id).await.unwrap().unwrap().state) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the job reaches the state in time");
}

/// Returns the length of the attack. Zero lasts until each job has been tried.
fn siege() -> Duration {
    Duration::from_secs(std::env::var("MISSION_SIEGE").map_or(0, |text| text.parse().unwrap()))
}

/// Gives each attacker a job and, during the attack, gives jobs to a gateway that behaves.
async fn attacked(server: &Server, attacks: &[Attack]) {
    let queue = &server.queue;
    let calm = start(Profile::V2026_9_6, |_| {}).await;
    let mut attackers = Vec::new();
    for (number, attack) in attacks.iter().enumerate() {
        let attacker = Hostile::start(*attack).await;
        let victim = job(&attacker.url, 100 + number as u128, "Victim");
        queue.enqueue(std::slice::from_ref(&victim)).await.unwrap();
        attackers.push((attacker, victim.id));
    }
    let (began, mut round, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while round < 5 || began.elapsed() < siege() {
        round += 1;
        let good = job(&calm.url(), 7, &format!("Calm {round}"));
        let enqueued = Instant::now();
        queue.enqueue(std::slice::from_ref(&good)).await.unwrap();
        reaches(queue, good.id, |state| state == State::Done).await;
        slowest = slowest.max(enqueued.elapsed());
        if !siege().is_zero() {
            // The gateway allows thirty config writes a minute.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        for (_, victim) in attackers.iter().filter(|_| !siege().is_zero()) {
            // A running job refuses the retry and needs none.
            let _ = queue.retry(*victim, false, &Author::new("test", "here"), "").await;
        }
    }
    println!(
        "{round} jobs of others, the slowest took {slowest:?}; {} KiB at most",
        server.most_memory()
    );
    for ((attacker, victim), attack) in attackers.iter().zip(attacks) {
        reaches(queue, *victim, |state| !matches!(state, State::Running | State::Ready)).await;
        println!(
            "{attack:?}: {} connections, {} KiB at most so far",
            attacker.connections(),
            server.most_memory()
        );
        assert!(attacker.connections() > 0, "{attack:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_frames_and_pings_do_not_fill_the_memory() {
    // The setting of the image; see the Dockerfile.
    let server = Server::start(&[("MALLOC_MMAP_THRESHOLD_", "1048576")]).await;
    attacked(&server, &[Attack::Configs, Attack::Pings]).await;
    let most = server.most_memory();
    assert!(most < MAX_MEMORY, "{most} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_attackers_together_take_no_more_than_there_is() {
    use Attack::{Answers, Challenge, Configs, Errors, Events, Flood, Hello, Pings};
    let server = Server::start_within(ADDRESS_SPACE, &[]).await;
    attacked(&server, &[Challenge, Hello, Events, Answers, Configs, Errors, Flood, Pings]).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
