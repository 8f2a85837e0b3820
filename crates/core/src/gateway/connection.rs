//! One multiplexed WebSocket connection: requests are pipelined and matched to answers by id.
//!
//! A task of its own owns the socket. It answers pings and ignores events. It ends when the socket
//! is closed, when the gateway is silent for two and a half ticks, or when the connection has been
//! unused for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::{debug, trace};

use super::answer::{Answer, Raw};
use super::device::DeviceIdentity;
use super::error::GatewayError;
use super::handshake::{Session, Socket, Target, open};
use super::keep::Keep;
use super::limits::Limits;
use super::memory::Memory;
use super::meter::Meter;
use super::protocol::{Frame, Hello, Method, Request};
use crate::sanitize::one_line;

/// The most requests in flight at once; the newest gateways refuse some of several hundred.
const MAX_IN_FLIGHT: usize = 64;
/// The close code of a restarting gateway.
const SERVICE_RESTART: u16 = 1012;

/// The time for which the gateway may accept no data. Busy gateways with a large config were seen
/// to stop for a minute.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(75);
/// The largest error of a gateway that is parsed, in bytes of memory.
const MAX_ERROR: usize = 4 * 1024 * 1024;

type Reply = Result<Raw, GatewayError>;

/// An open connection to a gateway.
#[derive(Debug)]
pub(super) struct Connection {
    hello: Hello,
    requests: mpsc::UnboundedSender<Pending>,
    slots: Semaphore,
    next_id: AtomicU64,
    limits: Limits,
    memory: Memory,
    /// Set once a call has timed out. Requests in flight may still be answered, but no new ones are
    /// sent here: the gateway may receive nothing although its own data arrives.
    stale: AtomicBool,
    /// Set if the gateway closed the connection in order to restart.
    restarted: Arc<AtomicBool>,
}

/// A request on its way to the task of the socket.
#[derive(Debug)]
struct Pending {
    id: String,
    method: Method,
    text: String,
    reply: oneshot::Sender<Reply>,
}

impl Connection {
    /// Connects, answers the challenge, and checks what the gateway grants.
    pub(super) async fn open(
        target: Target<'_>,
        identity: Option<&DeviceIdentity>,
        limits: Limits,
    ) -> Result<Self, GatewayError> {
        let connecting = limits.deadline(Method::Connect);
        let late = || GatewayError::Unreachable {
            reason: format!("no connection within {} s", connecting.as_secs()),
        };
        let session = timeout(connecting, open(target, identity)).await.map_err(|_| late())??;
        let hello = session.hello.clone();
        let (requests, queue) = mpsc::unbounded_channel();
        let task = Task::new(session, queue, limits.idle);
        let restarted = Arc::clone(&task.restarted);
        tokio::spawn(task.run());
        let slots = Semaphore::new(MAX_IN_FLIGHT);
        let stale = AtomicBool::new(false);
        let memory = target.memory.clone();
        Ok(Self {
            hello,
            requests,
            slots,
            next_id: AtomicU64::new(1),
            limits,
            memory,
            stale,
            restarted,
        })
    }

    pub(super) const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Returns whether the next call needs another connection.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed() || self.stale.load(Ordering::Relaxed)
    }

    /// Returns whether the gateway closed the connection in order to restart.
    pub(super) fn has_restarted(&self) -> bool {
        self.restarted.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for its answer, its deadline, or the end of the connection.
    pub(super) async fn call(
        &self,
        method: Method,
        params: &Value,
    ) -> Result<Answer, GatewayError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let text = encode(&id, method, params);
        let limit = self.hello.max_payload;
        if text.len() > limit {
            return Err(GatewayError::TooLarge { method, size: text.len(), limit });
        }
        let unsent = || GatewayError::Closed {
            method,
            code: None,
            reason: "before it was sent".into(),
            sent: false,
        };
        let after = self.limits.deadline(method);
        let exchange = async {
            let _slot = self.slots.acquire().await.map_err(|_| unsent())?;
            let (reply, answer) = oneshot::channel();
            self.requests.send(Pending { id, method, text, reply }).map_err(|_| unsent())?;
            // A task that ends drops the requests it has not sent.
            answer.await.unwrap_or_else(|_| Err(unsent()))
        };
        let answer = timeout(after, exchange).await.unwrap_or_else(|_| {
            self.stale.store(true, Ordering::Relaxed);
            Err(GatewayError::Timeout { method, after })
        });
        answer?.read(method, &self.memory).await
    }
}

/// The task that owns the socket. It reads while it writes, so that a gateway that accepts no more
/// data can still be heard, or found silent.
struct Task {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    meter: Arc<Meter>,
    queue: mpsc::UnboundedReceiver<Pending>,
    waiting: HashMap<String, (Method, oneshot::Sender<Reply>)>,
    /// The time without a frame after which the other end counts as gone.
    silence: Duration,
    /// The time without a request after which the connection is closed.
    idle: Duration,
    restarted: Arc<AtomicBool>,
}

/// The reason why a connection ended.
struct End {
    code: Option<u16>,
    reason: String,
    garbage: bool,
}

impl Task {
    fn new(session: Session, queue: mpsc::UnboundedReceiver<Pending>, idle: Duration) -> Self {
        let Session { socket, meter, hello } = session;
        let (sink, stream) = socket.split();
        Self {
            sink,
            stream,
            meter,
            queue,
            waiting: HashMap::new(),
            silence: hello.tick * 5 / 2,
            idle,
            restarted: Arc::default(),
        }
    }

    async fn run(mut self) {
        let end = self.serve().await;
        debug!(code = end.code, unanswered = self.waiting.len(), "gateway connection ended");
        // Set before other tasks can see that the connection is closed.
        self.restarted.store(end.code == Some(SERVICE_RESTART), Ordering::Relaxed);
        self.queue.close();
        for (_, (method, reply)) in self.waiting.drain() {
            let error = if end.garbage {
                GatewayError::Garbage { method, reason: end.reason.clone() }
            } else {
                GatewayError::Closed {
                    method,
                    code: end.code,
                    reason: end.reason.clone(),
                    sent: true,
                }
            };
            // A caller that has given up no longer listens.
            let _ = reply.send(Err(error));
        }
        // The other end may already be gone.
        let _ = timeout(Duration::from_secs(1), self.sink.close()).await;
    }

    async fn serve(&mut self) -> End {
        let mut heard = Instant::now();
        let mut used = heard;
        let mut is_sending = false;
        let mut sending_since = heard;
        loop {
            // A caller that has given up does not keep the connection open.
            self.waiting.retain(|_, (_, reply)| !reply.is_closed());
            let quiet = if self.waiting.is_empty() {
                heard + self.silence
            } else {
                heard + self.silence.max(self.idle)
            };
            let deadline =
                if self.waiting.is_empty() { quiet.min(used + self.idle) } else { quiet };
            let stuck = self.meter.last_write().max(sending_since) + ACCEPTS_WITHIN;
            let until = if is_sending { deadline.min(stuck) } else { deadline };
            tokio::select! {
                request = self.queue.recv(), if !is_sending => {
                    let Some(request) = request else { return End::of("no longer needed") };
                    used = Instant::now();
                    self.waiting.insert(request.id, (request.method, request.reply));
                    // All earlier data is sent, so this request only goes into the buffer.
                    if let Err(error) = self.sink.feed(Message::text(request.text)).await {
                        return End::of(error.to_string());
                    }
                    is_sending = true;
                    sending_since = used;
                }
                sent = self.sink.flush(), if is_sending => match sent {
                    Ok(()) => is_sending = false,
                    Err(error) => return End::of(error.to_string()),
                },
                message = self.stream.next() => {
                    heard = Instant::now();
                    if let Some(end) = self.take(message) {
                        return end;
                    }
                }
                () = sleep_until(until) => match until {
                    // The gateway may have accepted data meanwhile.
                    _ if until < deadline && self.meter.last_write() + ACCEPTS_WITHIN > until => {}
                    _ if until < deadline => return End::of("the gateway accepts no data"),
                    _ => return End::of(if deadline == quiet { "silent" } else { "idle" }),
                },
            }
        }
    }

    /// Handles the next item of the socket; returns the end of the connection, if it is that.
    fn take(&mut self, message: Option<Result<Message, WsError>>) -> Option<End> {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((None, String::new()), |frame| {
                    (
                        Some(u16::from(frame.code)),
                        frame.reason.chars().filter(|c| !c.is_control()).take(120).collect(),
                    )
                });
                return Some(End { code, reason, garbage: false });
            }
            Some(Ok(Message::Binary(_))) => return Some(End::garbage("a binary frame")),
            Some(Ok(_)) => return None,
            Some(Err(error)) => return Some(End::of(error.to_string())),
            None => return Some(End::of("closed without a close frame")),
        };
        let held = self.meter.reservation_of(&text);
        match Frame::read(&text) {
            Some(Frame::Res { id, ok, payload, error }) => {
                if let Some((method, reply)) = self.waiting.remove(&*id) {
                    self.meter.exclude(text.len());
                    let answer = match (text.len(), method.max_answer()) {
                        (size, limit) if size > limit => Err(too_long(method, size, limit)),
                        _ if ok => Ok(Raw::new(&text, payload, held)),
                        _ => Err(answered(method, error)),
                    };
                    let _ = reply.send(answer);
                }
                None
            }
            Some(Frame::Event { event, .. }) => {
                trace!(event = one_line(&event, 64), "gateway event");
                None
            }
            Some(Frame::Other) => None,
            None => Some(End::garbage("a frame that is not a gateway's")),
        }
    }
}

impl End {
    fn of(reason: impl Into<String>) -> Self {
        Self { code: None, reason: reason.into(), garbage: false }
    }

    fn garbage(reason: &str) -> Self {
        Self { code: None, reason: reason.to_owned(), garbage: true }
    }
}

/// Returns the error of an error answer. Leaves out the details if they are too large.
pub(super) fn answered(method: Method, error: Option<&RawValue>) -> GatewayError {
    const IN_SHORT: Keep =
        Keep::Members(&[("code", Keep::All), ("message", Keep::All), ("retryAfterMs", Keep::All)]);
    let garbage = |reason: &str| GatewayError::Garbage { method, reason: reason.to_owned() };
    let Some(error) = error else { return garbage("an error answer without an error") };
    let memory = Memory::default();
    let read = |keep: Keep| keep.read(error.get(), &mut memory.for_answer(MAX_ERROR));
    let read = read(Keep::All).or_else(|_| read(IN_SHORT)).and_then(serde_json::from_value);
    read.map_or_else(
        |_| garbage("its error cannot be read"),
        |error| GatewayError::Rpc { method, error: Box::new(error) },
    )
}

fn too_long(method: Method, size: usize, limit: usize) -> GatewayError {
    GatewayError::Garbage { method, reason: format!("it has {size} bytes, more than {limit}") }
}

pub(super) fn encode(id: &str, method: Method, params: &Value) -> String {
    let request = Request { kind: "req", id, method: method.as_str(), params };
    serde_json::to_string(&request).expect("JSON values always serialise")
}

/// A shared connection, so that calls in flight keep theirs while a new one is made.
pub(super) type Shared = Arc<Connection>;
