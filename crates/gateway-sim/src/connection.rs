//! One connection: the challenge, `connect`, then calls and events until one side closes.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{broadcast, mpsc},
    time::{Instant, interval_at, sleep, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{
        Message,
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use crate::{
    answer::{Refusal, event, response},
    calls::{Shared, Signal, Step, Then},
    fault::{Action, strike},
    handshake::{Client, Rejection, admit},
    world::{now_ms, random_id},
};

/// The time within which a client must connect.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The interval of the ticks that show the client that the gateway is alive.
pub(crate) const TICK: Duration = Duration::from_secs(30);
/// The time for which a closed connection waits for the other side, so that it can read the last
/// frames.
const LINGER: Duration = Duration::from_secs(1);
/// The maximum size of a frame that is read, in bytes; above the limit of any gateway.
const READ_LIMIT: usize = 64 * 1024 * 1024;

/// A stream of bytes in both directions, of any origin.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// The end of a connection, with nothing left to do.
struct Over;

/// Serves one connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, stream: Box<dyn Stream>) {
    // The subscription comes first, so that a restart during the upgrade is not missed.
    let mut signals = shared.signals.subscribe();
    let config = WebSocketConfig::default()
        .max_message_size(Some(READ_LIMIT))
        .max_frame_size(Some(READ_LIMIT));
    let Ok(mut socket) = accept_async_with_config(stream, Some(config)).await else { return };
    let number = {
        let mut inner = shared.lock();
        inner.connections += 1;
        inner.connections
    };
    // Any error has already been sent on the connection.
    let _: Result<(), Over> = async {
        let client = greet(&shared, &mut socket, number).await?;
        run(&shared, &mut socket, &client, &mut signals).await
    }
    .await;
}

/// Sends the challenge and accepts the client.
async fn greet(shared: &Shared, socket: &mut Socket, number: u64) -> Result<Client, Over> {
    let deadline = Instant::now() + HANDSHAKE;
    let delay_ms = shared.lock().world.options.challenge_delay_ms;
    let nonce = random_id();
    let challenge = json!({ "nonce": nonce, "ts": now_ms() });
    let mut unsent = u64::try_from(delay_ms).is_ok();
    let due = sleep(Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0)));
    tokio::pin!(due);
    let frame = loop {
        tokio::select! {
            biased;
            () = &mut due, if unsent => {
                send(socket, event("connect.challenge", &challenge).to_string()).await?;
                unsent = false;
            }
            frame = timeout_at(deadline, socket.next()) => match frame {
                Ok(Some(Ok(Message::Text(text)))) => break text,
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(Message::Binary(_)))) | Err(_) => return close(socket, 1000, "").await,
                Ok(Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None) => {
                    return Err(Over);
                }
            }
        }
    };
    let Ok(frame) = serde_json::from_str::<Value>(&frame) else {
        return close(socket, 1000, "").await;
    };
    let nonce = (delay_ms >= 0).then_some(nonce.as_str());
    connect(shared, socket, number, nonce, &frame).await
}

/// Answers the first request, which must be `connect`.
async fn connect(
    shared: &Shared,
    socket: &mut Socket,
    number: u64,
    nonce: Option<&str>,
    frame: &Value,
) -> Result<Client, Over> {
    let id = &frame["id"];
    let (action, admitted) = {
        let mut inner = shared.lock();
        let action = strike(&mut inner.faults, "connect");
        let admitted = match action {
            Some(Action::Starting(ms)) => Err(Rejection(Refusal::starting(ms), 1013)),
            _ if frame["method"] != "connect" => {
                Err(Refusal::invalid("invalid handshake: first request must be connect").into())
            }
            _ => admit(&mut inner, number, nonce, &frame["params"]),
        };
        (action, admitted)
    };
    match action {
        Some(Action::DropBefore | Action::DropAfter) => return Err(Over),
        Some(Action::Silence) => {
            // The connection is held open until the client gives up.
            while let Some(Ok(_)) = socket.next().await {}
            return Err(Over);
        }
        Some(Action::Delay(ms)) => sleep(Duration::from_millis(ms)).await,
        Some(Action::Garbage) => send(socket, "}{ this is not JSON".to_owned()).await?,
        _ => {}
    }
    match admitted {
        Ok((client, hello)) => {
            if action != Some(Action::Garbage) {
                send(socket, response(id, &Ok(hello)).to_string()).await?;
            }
            Ok(client)
        }
        Err(Rejection(refusal, code)) => {
            let reason = refusal.message.clone();
            send(socket, response(id, &Err(refusal)).to_string()).await?;
            close(socket, code, &reason).await
        }
    }
}

/// Answers calls and forwards events until the connection ends.
async fn run(
    shared: &Arc<Shared>,
    socket: &mut Socket,
    client: &Client,
    signals: &mut broadcast::Receiver<Signal>,
) -> Result<(), Over> {
    let (max_payload, mut calls_left) = {
        let world = &shared.lock().world;
        (world.profile.max_payload(), world.options.calls_per_connection.unwrap_or(u64::MAX))
    };
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    let (late, mut due) = mpsc::unbounded_channel::<Step>();
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) if text.len() > max_payload => {
                    return close(socket, 1009, "").await;
                }
                Some(Ok(Message::Text(_))) if calls_left == 0 => return Err(Over),
                Some(Ok(Message::Text(text))) => {
                    calls_left -= 1;
                    let Some(step) = request(shared, client, &text) else { continue };
                    if step.delay.is_zero() {
                        take(shared, socket, step).await?;
                    } else {
                        let late = late.clone();
                        tokio::spawn(async move {
                            sleep(step.delay).await;
                            // The connection may be gone, and the reply with it.
                            let _ = late.send(step);
                        });
                    }
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => return Err(Over),
            },
            _ = ticks.tick() => {
                let tick = event("tick", &json!({ "ts": now_ms() }));
                send(socket, tick.to_string()).await?;
            }
            Some(step) = due.recv() => take(shared, socket, step).await?,
            signal = signals.recv() => match signal {
                Ok(Signal::Event(name, payload)) => {
                    send(socket, event(name, &payload).to_string()).await?;
                }
                Ok(Signal::Restart) => {
                    let payload = json!({ "reason": "gateway \
                        restarting", "restartExpectedMs": 1500 });
                    send(socket, event("shutdown", &payload).to_string()).await?;
                    return close(socket, 1012, "service restart").await;
                }
                // Events that overflow the buffer are lost, as on a slow network.
                Err(_) => {}
            },
        }
    }
}

/// Returns the reaction to a frame. Garbage is ignored, as real gateways do after `hello-ok`.
fn request(shared: &Arc<Shared>, client: &Client, text: &str) -> Option<Step> {
    let frame: Value = serde_json::from_str(text).ok()?;
    let id = frame.get("id").cloned().unwrap_or_default();
    let Some(name) = frame["method"].as_str().filter(|_| frame["type"] == "req" && id.is_string())
    else {
        return Some(Step::answer(&id, &Err(Refusal::invalid("invalid request frame"))));
    };
    Some(shared.call(client, &id, name, &frame["params"]))
}

async fn take(shared: &Shared, socket: &mut Socket, step: Step) -> Result<(), Over> {
    for frame in step.frames {
        send(socket, frame).await?;
    }
    match step.then {
        Then::Stay => Ok(()),
        Then::Drop => Err(Over),
        Then::Restart(outage, by) => {
            // This connection receives the signal like all others.
            shared.restart(outage, by.as_deref());
            Ok(())
        }
    }
}

async fn send(socket: &mut Socket, frame: String) -> Result<(), Over> {
    socket.send(Message::text(frame)).await.map_err(|_| Over)
}

/// Closes with a code, and briefly waits for the other side's close frame.
async fn close<T>(socket: &mut Socket, code: u16, reason: &str) -> Result<T, Over> {
    // A close frame has room for 123 bytes.
    let reason: String = reason.chars().take(30).collect();
    let frame = CloseFrame { code: code.into(), reason: reason.into() };
    let deadline = Instant::now() + LINGER;
    if socket.close(Some(frame)).await.is_ok() {
        while let Ok(Some(Ok(_))) = timeout_at(deadline, socket.next()).await {}
    }
    Err(Over)
}
