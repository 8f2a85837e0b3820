//! Measures and limits the traffic from a gateway before it is buffered: the size of its messages,
//! and the rate at which they arrive.
//!
//! A WebSocket library allocates the memory of a frame as soon as its header announces the length,
//! and answers every ping. So this module reads the headers first: a frame that is too long is
//! refused, a large one waits until the process has memory for it, and a flood ends the connection.

mod header;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use header::Header;

use super::memory::{FREE_FRAME, Memory, Reservation};

/// The bytes read at once from the network.
const BUFFER: usize = 16 * 1024;
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
    /// The most bytes of a message.
    limit: AtomicUsize,
    traffic: Mutex<Traffic>,
}

#[derive(Debug)]
struct Traffic {
    /// The memory reserved for the message that is being received, or that arrived last.
    held: Option<Reservation>,
    /// A large message, kept until the next header is read. While it exists, the next message is
    /// read into another buffer; otherwise this one would be kept for the life of the connection.
    last: Option<Large>,
    last_write: Instant,
    since: Instant,
    frames: u32,
    bytes: usize,
    pings: u32,
}

/// A message with its memory reservation.
#[derive(Debug)]
struct Large {
    _message: Utf8Bytes,
    _reservation: Arc<Reservation>,
}

impl Meter {
    /// Creates a meter that allows messages of up to `limit` bytes.
    pub(super) fn new(memory: Memory, limit: usize) -> Arc<Self> {
        let now = Instant::now();
        let traffic = Traffic {
            held: None,
            last: None,
            last_write: now,
            since: now,
            frames: 0,
            bytes: 0,
            pings: 0,
        };
        Arc::new(Self { memory, limit: limit.into(), traffic: Mutex::new(traffic) })
    }

    /// Sets the most bytes of a message from now on.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns the memory reserved for `message`, which must be the latest one; `None` if it is
    /// free.
    pub(super) fn reservation_of(&self, message: &Utf8Bytes) -> Option<Arc<Reservation>> {
        let mut traffic = self.lock();
        let held = traffic.held.take().map(Arc::new)?;
        traffic.last = Some(Large { _message: message.clone(), _reservation: Arc::clone(&held) });
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

    fn count(&self, header: &Header) -> io::Result<()> {
        let mut traffic = self.lock();
        let now = Instant::now();
        if now.duration_since(traffic.since) >= WINDOW {
            (traffic.since, traffic.frames, traffic.bytes, traffic.pings) = (now, 0, 0, 0);
        }
        traffic.frames += 1;
        traffic.bytes = traffic.bytes.saturating_add(header.length);
        traffic.pings += u32::from(header.is_ping());
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
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: BufReader<S>,
    meter: Arc<Meter>,
    phase: Phase,
    /// The bytes so far of a fragmented message; 0 once its last fragment has begun.
    message: usize,
    /// The time by which the large message that is being received must be complete.
    due: Option<Pin<Box<Sleep>>>,
}

type Acquired = Pin<Box<dyn Future<Output = Option<Reservation>> + Send>>;

/// The next thing to read from the stream.
enum Phase {
    /// The answer to the upgrade, and whether its current line is empty so far.
    Upgrade { at_start: bool },
    /// A header, of which `have` bytes have arrived.
    Header { bytes: [u8; Header::MAX], have: usize },
    /// A wait for the memory of the frame.
    Waiting { header: Header, memory: Acquired },
    /// The header, of which `passed` bytes were passed on.
    Passing { header: Header, passed: usize },
    /// The remaining bytes of a payload.
    Payload(usize),
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phase")
    }
}

impl<S: AsyncRead> Metered<S> {
    /// Wraps a stream on which the answer to an upgrade comes first.
    pub(super) fn new(stream: S, meter: Arc<Meter>) -> Self {
        let inner = BufReader::with_capacity(BUFFER, stream);
        Self { inner, meter, phase: Phase::Upgrade { at_start: true }, message: 0, due: None }
    }

    /// Decides about a frame by its header.
    fn admit(&mut self, header: Header) -> io::Result<Phase> {
        self.meter.count(&header)?;
        if header.is_control() {
            return Ok(Phase::Passing { header, passed: 0 });
        }
        let is_whole = header.is_final() && self.message == 0;
        let before = self.message;
        self.message = before.saturating_add(header.length);
        let limit = self.meter.limit.load(Ordering::Relaxed);
        let (message, limit) =
            (self.message, if is_whole { limit } else { limit.min(MAX_FRAGMENTED) });
        if message > limit {
            return Err(io::Error::other(format!(
                "a message has {message} bytes; the limit is {limit}"
            )));
        }
        if !is_whole && header.length > MAX_FRAGMENT {
            return Err(io::Error::other(format!(
                "a fragment has {} bytes; the limit is {MAX_FRAGMENT}",
                header.length
            )));
        }
        if header.is_final() {
            self.message = 0;
        }
        if message <= FREE_FRAME || before > FREE_FRAME {
            return Ok(Phase::Passing { header, passed: 0 });
        }
        // Fragments are joined in a text that grows by doubling. The memory for the largest message
        // is reserved at once, so that no two wait for each other.
        let bytes = if is_whole { message } else { 3 * limit };
        self.due = Some(Box::pin(sleep(FRAME_WITHIN)));
        Ok(Phase::Waiting { header, memory: Box::pin(self.meter.memory.for_frame(bytes)) })
    }
}

impl<S: AsyncRead + Unpin> Metered<S> {
    /// Returns whether the large message that is being received takes too long.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        self.due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready())
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
                    let (mut bytes, mut have) = (*bytes, *have);
                    if this.is_overdue(cx) {
                        return Poll::Ready(Err(overdue()));
                    }
                    this.meter.lock().last = None;
                    let size = Header::size(bytes, have);
                    if have < size {
                        let missing = size - have;
                        let pass = |new: &[u8]| {
                            bytes[have..have + new.len()].copy_from_slice(new);
                            have += new.len();
                        };
                        if ready!(this.poll_pass(cx, |_| missing, pass))? == 0 {
                            return Poll::Ready(Ok(()));
                        }
                        this.phase = Phase::Header { bytes, have };
                    } else {
                        this.phase = this.admit(Header::read(bytes))?;
                    }
                }
                Phase::Waiting { header, memory } => {
                    let header = *header;
                    let Poll::Ready(held) = memory.as_mut().poll(cx) else {
                        let is_overdue = this.is_overdue(cx);
                        return if is_overdue {
                            Poll::Ready(Err(overdue()))
                        } else {
                            Poll::Pending
                        };
                    };
                    let mut traffic = this.meter.lock();
                    match (&mut traffic.held, held) {
                        (Some(all), Some(held)) => all.merge(held),
                        (all, held) => *all = held,
                    }
                    this.phase = Phase::Passing { header, passed: 0 };
                }
                Phase::Passing { header, passed } => {
                    let rest = &header.bytes[*passed..header.size];
                    let now = rest.len().min(room);
                    buf.put_slice(&rest[..now]);
                    *passed += now;
                    if *passed == header.size {
                        this.phase = Phase::Payload(header.length);
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
                    if this.is_overdue(cx) {
                        return Poll::Ready(Err(overdue()));
                    }
                    let passed = ready!(this.poll_pass(
                        cx,
                        |_| left.min(room),
                        |bytes| buf.put_slice(bytes)
                    ))?;
                    this.phase = Phase::Payload(left - passed);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

fn overdue() -> io::Error {
    io::Error::other(format!(
        "a message of more than {FREE_FRAME} bytes took more than {} s",
        FRAME_WITHIN.as_secs()
    ))
}

impl Phase {
    const fn next() -> Self {
        Self::Header { bytes: [0; Header::MAX], have: 0 }
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
