//! Measures and limits the traffic from a gateway before it is buffered: the size of its messages,
//! and the rate at which they arrive.
//!
//! A WebSocket library allocates the memory of a frame as soon as its header announces the length,
//! and answers every ping. So this module reads the headers first: a frame that is too long is
//! refused, a large one waits until the process has memory for it, and a flood ends the connection.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

use super::memory::{FREE_FRAME, Memory, Reservation};

/// The bytes read at once from the network.
const BUFFER: usize = 16 * 1024;
/// The most bytes of a frame's header.
const MAX_HEADER: usize = 14;
/// The time within which a large message must be complete: 32 MiB at 4.5 Mbit/s.
const FRAME_WITHIN: Duration = Duration::from_secs(60);
/// The most bytes of a fragmented message. Gateways send none, but a proxy may fragment them.
const MAX_FRAGMENTED: usize = 8 * 1024 * 1024;
/// The most bytes of a fragment: the buffer of the largest is kept for the life of the connection.
const MAX_FRAGMENT: usize = 256 * 1024;
/// The time over which floods are measured.
const WINDOW: Duration = Duration::from_secs(10);
/// The most frames within that time, answers excluded. A hundred working agents cause some
/// thousands.
const MAX_FRAMES: u32 = 20_000;
/// The most bytes within that time, answers excluded.
const MAX_BYTES: usize = 128 * 1024 * 1024;
/// The most pings within that time. Each must be answered; gateways send one every half minute.
const MAX_PINGS: u32 = 100;

/// The traffic on a connection, and its limits.
#[derive(Debug)]
pub(super) struct Meter {
    memory: Memory,
    traffic: Mutex<Traffic>,
}

/// The state that the stream shares with the reader of its messages. Locked only for a moment.
#[derive(Debug)]
struct Traffic {
    /// The most bytes of a message.
    limit: usize,
    /// The memory reserved for the message that is being received, or that arrived last.
    held: Option<Reservation>,
    /// A large message and its memory, kept until the next header is read. While it exists, the
    /// next message is read into another buffer; otherwise this one would be kept for the life of
    /// the connection.
    last: Option<(Utf8Bytes, Arc<Reservation>)>,
    /// The time at which the other end last accepted data.
    last_write: Instant,
    /// The beginning of the window in which the frames, bytes and pings were counted.
    since: Instant,
    frames: u32,
    bytes: usize,
    pings: u32,
}

impl Meter {
    /// Creates a meter that allows messages of up to `limit` bytes.
    pub(super) fn new(memory: Memory, limit: usize) -> Arc<Self> {
        let now = Instant::now();
        let traffic = Traffic {
            limit,
            held: None,
            last: None,
            last_write: now,
            since: now,
            frames: 0,
            bytes: 0,
            pings: 0,
        };
        Arc::new(Self { memory, traffic: Mutex::new(traffic) })
    }

    /// Sets the most bytes of a message from now on.
    pub(super) fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
    }

    /// Returns the memory reserved for `message`, which must be the latest one; `None` if it is
    /// free.
    pub(super) fn reservation_of(&self, message: &Utf8Bytes) -> Option<Arc<Reservation>> {
        let mut traffic = self.lock();
        let held = traffic.held.take().map(Arc::new)?;
        traffic.last = Some((message.clone(), Arc::clone(&held)));
        Some(held)
    }

    /// Returns the time at which the other end last accepted data.
    pub(super) fn last_write(&self) -> Instant {
        self.lock().last_write
    }

    /// Excludes a message from the flood limits, because it answers a request.
    pub(super) fn exclude(&self, bytes: usize) {
        let mut traffic = self.lock();
        traffic.frames = traffic.frames.saturating_sub(1);
        traffic.bytes = traffic.bytes.saturating_sub(bytes);
    }

    fn count(&self, opcode: OpCode, length: usize) -> io::Result<()> {
        let mut traffic = self.lock();
        let now = Instant::now();
        if now.duration_since(traffic.since) >= WINDOW {
            (traffic.since, traffic.frames, traffic.bytes, traffic.pings) = (now, 0, 0, 0);
        }
        traffic.frames += 1;
        traffic.bytes = traffic.bytes.saturating_add(length);
        traffic.pings += u32::from(opcode == OpCode::Control(Control::Ping));
        if traffic.frames > MAX_FRAMES || traffic.bytes > MAX_BYTES || traffic.pings > MAX_PINGS {
            return Err(io::Error::other("the gateway sends too much at once"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("no panic happens under this lock")
    }
}

/// A stream with metered frames.
pub(super) struct Metered<S> {
    inner: BufReader<S>,
    meter: Arc<Meter>,
    phase: Phase,
    /// The bytes so far of a fragmented message; 0 once its last fragment has begun.
    message: usize,
    /// The time by which the large message that is being received must be complete.
    due: Option<Pin<Box<Sleep>>>,
}

/// The next thing to read from the stream.
enum Phase {
    /// The answer to the upgrade, and whether its current line is empty so far.
    Upgrade { at_start: bool },
    /// A header, of which `have` bytes have arrived.
    Header { bytes: [u8; MAX_HEADER], have: usize },
    /// A wait for the memory of the frame.
    Waiting { frame: Frame, memory: BoxFuture<'static, Option<Reservation>> },
    /// The header, of which `passed` bytes were passed on.
    Passing { frame: Frame, passed: usize },
    /// The remaining bytes of a payload.
    Payload(usize),
}

/// A frame whose header has arrived.
#[derive(Clone, Copy)]
struct Frame {
    header: [u8; MAX_HEADER],
    /// The bytes of the header.
    size: usize,
    /// The bytes of the payload.
    length: usize,
}

impl<S: AsyncRead> Metered<S> {
    /// Wraps a stream on which the answer to an upgrade comes first.
    pub(super) fn new(stream: S, meter: Arc<Meter>) -> Self {
        let inner = BufReader::with_capacity(BUFFER, stream);
        Self { inner, meter, phase: Phase::Upgrade { at_start: true }, message: 0, due: None }
    }

    /// Decides about a frame by its header.
    fn admit(&mut self, frame: Frame, is_final: bool, opcode: OpCode) -> io::Result<Phase> {
        self.meter.count(opcode, frame.length)?;
        if matches!(opcode, OpCode::Control(_)) {
            return Ok(Phase::Passing { frame, passed: 0 });
        }
        let is_whole = is_final && self.message == 0;
        let before = self.message;
        let message = before.saturating_add(frame.length);
        let limit = self.meter.lock().limit;
        let limit = if is_whole { limit } else { limit.min(MAX_FRAGMENTED) };
        if message > limit {
            return Err(io::Error::other(format!(
                "a message has {message} bytes; the limit is {limit}"
            )));
        }
        if !is_whole && frame.length > MAX_FRAGMENT {
            return Err(io::Error::other(format!(
                "a fragment has {} bytes; the limit is {MAX_FRAGMENT}",
                frame.length
            )));
        }
        self.message = if is_final { 0 } else { message };
        if message <= FREE_FRAME || before > FREE_FRAME {
            return Ok(Phase::Passing { frame, passed: 0 });
        }
        // Fragments are joined in a text that grows by doubling. The memory for the largest message
        // is reserved at once, so that no two wait for each other.
        let bytes = if is_whole { message } else { 3 * limit };
        self.due = Some(Box::pin(sleep(FRAME_WITHIN)));
        Ok(Phase::Waiting { frame, memory: Box::pin(self.meter.memory.for_frame(bytes)) })
    }
}

impl<S: AsyncRead + Unpin> Metered<S> {
    /// Returns an error if the large message that is being received takes too long.
    fn check_due(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready()) {
            return Err(io::Error::other(format!(
                "a message of more than {FREE_FRAME} bytes took more than {} s",
                FRAME_WITHIN.as_secs()
            )));
        }
        Ok(())
    }

    /// Passes on as many of the available bytes as `wanted` says; returns 0 at the end of the
    /// stream.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        wanted: impl FnOnce(&[u8]) -> usize,
        mut pass: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let mut inner = Pin::new(&mut self.inner);
        let there = ready!(inner.as_mut().poll_fill_buf(cx))?;
        let taken = wanted(there).min(there.len());
        pass(&there[..taken]);
        inner.consume(taken);
        Poll::Ready(Ok(taken))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let room = buf.remaining();
            match &mut this.phase {
                Phase::Upgrade { at_start } => {
                    let (mut start, mut ended) = (*at_start, false);
                    // An empty line ends the answer, and a line feed ends a line.
                    let head = |there: &[u8]| {
                        let end = there.iter().take(room).position(|byte| {
                            ended = *byte == b'\n' && start;
                            start = *byte == b'\n' || start && *byte == b'\r';
                            ended
                        });
                        end.map_or(room, |end| end + 1)
                    };
                    ready!(this.poll_pass(cx, head, |bytes| buf.put_slice(bytes)))?;
                    this.phase =
                        if ended { Phase::next() } else { Phase::Upgrade { at_start: start } };
                    return Poll::Ready(Ok(()));
                }
                Phase::Header { bytes, have } => {
                    let (mut header, size) = (*bytes, *have);
                    this.check_due(cx)?;
                    this.meter.lock().last = None;
                    this.phase = match FrameHeader::parse(&mut Cursor::new(&header[..size])) {
                        Ok(None) => {
                            let pass =
                                |next: &[u8]| header[size..][..next.len()].copy_from_slice(next);
                            let have = size + ready!(this.poll_pass(cx, |_| 1, pass))?;
                            if have == size {
                                return Poll::Ready(Ok(()));
                            }
                            Phase::Header { bytes: header, have }
                        }
                        Ok(Some((read, length))) => {
                            let length = usize::try_from(length).unwrap_or(usize::MAX);
                            let frame = Frame { header, size, length };
                            this.admit(frame, read.is_final, read.opcode)?
                        }
                        // The library refuses the frame when it reads the same header.
                        Err(_) => {
                            Phase::Passing { frame: Frame { header, size, length: 0 }, passed: 0 }
                        }
                    };
                }
                Phase::Waiting { frame, memory } => {
                    let frame = *frame;
                    let Poll::Ready(held) = memory.as_mut().poll(cx) else {
                        this.check_due(cx)?;
                        return Poll::Pending;
                    };
                    let mut traffic = this.meter.lock();
                    match (&mut traffic.held, held) {
                        (Some(all), Some(held)) => all.merge(held),
                        (all, held) => *all = held,
                    }
                    this.phase = Phase::Passing { frame, passed: 0 };
                }
                Phase::Passing { frame, passed } => {
                    let rest = &frame.header[*passed..frame.size];
                    let now = rest.len().min(room);
                    buf.put_slice(&rest[..now]);
                    *passed += now;
                    if *passed == frame.size {
                        this.phase = Phase::Payload(frame.length);
                    }
                    return Poll::Ready(Ok(()));
                }
                Phase::Payload(0) => {
                    // Pings may arrive between the fragments of a message.
                    if this.message == 0 {
                        this.due = None;
                    }
                    this.phase = Phase::next();
                }
                Phase::Payload(left) => {
                    let left = *left;
                    this.check_due(cx)?;
                    let wanted = left.min(room);
                    let passed =
                        ready!(this.poll_pass(cx, |_| wanted, |bytes| buf.put_slice(bytes)))?;
                    this.phase = Phase::Payload(left - passed);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Phase {
    const fn next() -> Self {
        Self::Header { bytes: [0; MAX_HEADER], have: 0 }
    }
}

impl<S: AsyncWrite + AsyncRead + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        this.meter.lock().last_write = Instant::now();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
