//! One multiplexed WebSocket connection: requests are pipelined and matched to answers by id.
//!
//! A task of its own owns the socket. It answers pings and ignores events. It ends when the socket
//! is closed, when the gateway is silent for two and a half ticks, or when the connection has been
//! unused for a while.

use std::collections::HashMap;
use std::convert::Infallible;
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
use super::error::GatewayError;
use super::handshake::{Session, Socket, Target, open};
use super::keep::Keep;
use super::limits::Limits;
use super::memory::Memory;
use super::meter::Meter;
use super::protocol::{Frame, Method, Request};
use super::server_info::ServerInfo;
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
    server_info: Arc<ServerInfo>,
    /// The queue of the socket's task. The task closes it when the connection has ended, and ends
    /// when the connection is dropped.
    requests: mpsc::UnboundedSender<Pending>,
    /// Each request holds a slot until it is answered or given up.
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
    pub(super) async fn open(target: Target<'_>, limits: Limits) -> Result<Self, GatewayError> {
        let after = limits.deadline(Method::Connect);
        let late = |_| GatewayError::Unreachable {
            reason: format!("no connection within {} s", after.as_secs()),
        };
        let session = timeout(after, open(target)).await.map_err(late)??;
        let Session { socket, meter, server_info } = session;
        let (requests, queue) = mpsc::unbounded_channel();
        let restarted = Arc::default();
        let (sink, stream) = socket.split();
        let task = Task {
            sink,
            stream,
            meter,
            queue,
            waiting: HashMap::new(),
            silence: server_info.tick * 5 / 2,
            idle: limits.idle,
            restarted: Arc::clone(&restarted),
        };
        tokio::spawn(task.run());
        Ok(Self {
            server_info,
            requests,
            slots: Semaphore::new(MAX_IN_FLIGHT),
            next_id: AtomicU64::new(1),
            limits,
            memory: target.memory.clone(),
            stale: AtomicBool::new(false),
            restarted,
        })
    }

    pub(super) const fn server_info(&self) -> &Arc<ServerInfo> {
        &self.server_info
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
        let limit = self.server_info.max_frame;
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
    is_garbage: bool,
}

impl Task {
    async fn run(mut self) {
        let Err(end) = self.serve().await;
        debug!(code = end.code, unanswered = self.waiting.len(), "gateway connection ended");
        // Set before other tasks can see that the connection is closed.
        self.restarted.store(end.code == Some(SERVICE_RESTART), Ordering::Relaxed);
        self.queue.close();
        for (_, (method, reply)) in self.waiting.drain() {
            let reason = end.reason.clone();
            let error = if end.is_garbage {
                GatewayError::Garbage { method, reason }
            } else {
                GatewayError::Closed { method, code: end.code, reason, sent: true }
            };
            // A caller that has given up no longer listens.
            let _ = reply.send(Err(error));
        }
        // The other end may already be gone.
        let _ = timeout(Duration::from_secs(1), self.sink.close()).await;
    }

    async fn serve(&mut self) -> Result<Infallible, End> {
        let mut heard = Instant::now();
        let mut used = heard;
        let mut is_sending = false;
        let mut sending_since = heard;
        loop {
            // A caller that has given up does not keep the connection open.
            self.waiting.retain(|_, (_, reply)| !reply.is_closed());
            let (quiet, deadline) = if self.waiting.is_empty() {
                let quiet = heard + self.silence;
                (quiet, quiet.min(used + self.idle))
            } else {
                let quiet = heard + self.silence.max(self.idle);
                (quiet, quiet)
            };
            let stuck = self.meter.last_write().max(sending_since) + ACCEPTS_WITHIN;
            let until = if is_sending { deadline.min(stuck) } else { deadline };
            tokio::select! {
                request = self.queue.recv(), if !is_sending => {
                    let request = request.ok_or_else(|| End::of("no longer needed"))?;
                    used = Instant::now();
                    self.waiting.insert(request.id, (request.method, request.reply));
                    // All earlier data is sent, so this request only goes into the buffer.
                    self.sink.feed(Message::text(request.text)).await?;
                    is_sending = true;
                    sending_since = used;
                }
                sent = self.sink.flush(), if is_sending => {
                    sent?;
                    is_sending = false;
                }
                message = self.stream.next() => {
                    heard = Instant::now();
                    self.take(message.ok_or_else(|| End::of("closed without a close frame"))??)?;
                }
                () = sleep_until(until) => match until {
                    // The gateway may have accepted data meanwhile.
                    _ if until < deadline && self.meter.last_write() + ACCEPTS_WITHIN > until => {}
                    _ if until < deadline => return Err(End::of("the gateway accepts no data")),
                    _ => return Err(End::of(if deadline == quiet { "silent" } else { "idle" })),
                },
            }
        }
    }

    /// Handles a message; returns the end of the connection, if it is that.
    fn take(&mut self, message: Message) -> Result<(), End> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(frame) => {
                let code = frame.as_ref().map(|frame| frame.code.into());
                let reason = frame.as_ref().map_or("", |frame| frame.reason.as_str());
                let reason = reason.chars().filter(|c| !c.is_control()).take(120).collect();
                return Err(End { code, reason, is_garbage: false });
            }
            Message::Binary(_) => return Err(End::garbage("a binary frame")),
            _ => return Ok(()),
        };
        let held = self.meter.reservation_of(&text);
        match Frame::read(&text) {
            Some(Frame::Res { id, ok, payload, error }) => {
                if let Some((method, reply)) = self.waiting.remove(&id) {
                    self.meter.exclude(text.len());
                    let answer = match (text.len(), method.max_answer()) {
                        (size, limit) if size > limit => {
                            let reason = format!("it has {size} bytes, more than {limit}");
                            Err(GatewayError::garbage(method, reason))
                        }
                        _ if ok => Ok(Raw::new(&text, payload, held)),
                        _ => Err(answered(method, error)),
                    };
                    let _ = reply.send(answer);
                }
            }
            Some(Frame::Event { event, .. }) => {
                trace!(event = one_line(&event, 64), "gateway event");
            }
            Some(Frame::Other) => {}
            None => return Err(End::garbage("a frame that is not a gateway's")),
        }
        Ok(())
    }
}

impl End {
    fn of(reason: impl Into<String>) -> Self {
        Self { code: None, reason: reason.into(), is_garbage: false }
    }

    fn garbage(reason: &str) -> Self {
        Self { is_garbage: true, ..Self::of(reason) }
    }
}

impl From<WsError> for End {
    fn from(error: WsError) -> Self {
        Self::of(error.to_string())
    }
}

/// Returns the error of an error answer. Leaves out the details if they are too large.
pub(super) fn answered(method: Method, error: Option<&RawValue>) -> GatewayError {
    const IN_SHORT: Keep =
        Keep::Members(&[("code", Keep::All), ("message", Keep::All), ("retryAfterMs", Keep::All)]);
    let Some(error) = error else {
        return GatewayError::garbage(method, "an error answer without an error");
    };
    let memory = Memory::default();
    let read = |keep: Keep| keep.read(error.get(), &mut memory.for_answer(MAX_ERROR));
    let read = read(Keep::All).or_else(|_| read(IN_SHORT)).and_then(serde_json::from_value);
    read.map_or_else(
        |_| GatewayError::garbage(method, "its error cannot be read"),
        |error| GatewayError::Rpc { method, error: Box::new(error) },
    )
}

pub(super) fn encode(id: &str, method: Method, params: &Value) -> String {
    let request = Request { kind: "req", id, method: method.as_str(), params };
    serde_json::to_string(&request).expect("JSON values always serialise")
}
