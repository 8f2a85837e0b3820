//! Opens a session: the WebSocket upgrade, the challenge, `connect` and `hello-ok`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::allowlist::OutOfReach;
use super::answer::Raw;
use super::connection::{answered, encode};
use super::connector::{Connector, Stream};
use super::device::DeviceIdentity;
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::memory::Memory;
use super::meter::{Meter, Metered};
use super::protocol::{
    CLIENT_ID, CLIENT_MODE, Frame, MAX_FRAME, MAX_GREETING, MAX_HELLO, Method, PROTOCOLS, ROLE,
    SCOPES,
};
use super::server_info::ServerInfo;
use super::tls::Untrusted;

/// The time to wait for the challenge. Every version sends it within a millisecond of the upgrade;
/// a gateway that sends none is asked without.
const CHALLENGE_WAIT: Duration = Duration::from_millis(2500);
/// The bytes that a WebSocket reads or writes at once.
const BUFFER: usize = 16 * 1024;

pub(super) type Socket = WebSocketStream<Metered<Box<dyn Stream>>>;

/// The gateway to connect to, and the means to do so.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// The device to connect as; `None` for a gateway that accepts a backend without one.
    pub(super) identity: Option<&'a DeviceIdentity>,
    /// The TLS settings; `None` for a `ws://` url.
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    pub(super) connector: &'a Connector,
    pub(super) memory: &'a Memory,
}

/// An open session with a gateway.
pub(super) struct Session {
    pub(super) socket: Socket,
    pub(super) meter: Arc<Meter>,
    pub(super) server_info: Arc<ServerInfo>,
}

/// Opens a session with the gateway.
pub(super) async fn open(target: Target<'_>) -> Result<Session, GatewayError> {
    let meter = Meter::new(target.memory.clone(), MAX_GREETING);
    let mut socket = upgrade(target, &meter).await?;
    let challenge = read_challenge(&mut socket).await?;
    let params = connect_params(target, challenge);
    meter.set_limit(MAX_HELLO);
    let text = encode("0", Method::Connect, &params);
    socket.send(Message::text(text)).await.map_err(|error| ended(&error))?;
    let server_info = Arc::new(read_hello(&mut socket, &meter, target.memory).await?);
    meter.set_limit(MAX_FRAME);
    Ok(Session { socket, meter, server_info })
}

/// Opens a socket to the gateway.
async fn upgrade(target: Target<'_>, meter: &Arc<Meter>) -> Result<Socket, GatewayError> {
    let unreachable = |error: io::Error| match OutOfReach::of(&error) {
        Some(refused) => GatewayError::OutOfReach(refused.clone()),
        None => GatewayError::Unreachable { reason: error.to_string() },
    };
    let url = &target.endpoint.url;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = target.connector.open(host, port).await.map_err(unreachable)?;
    let refused = |error: WsError| refused_upgrade(&error, port);
    let stream: Box<dyn Stream> = match target.tls {
        None => stream,
        Some(config) => {
            let name = ServerName::try_from(host.to_owned());
            let name = name.map_err(|error| GatewayError::Tls { reason: error.to_string() })?;
            let connector = TlsConnector::from(Arc::clone(config));
            Box::new(connector.connect(name, stream).await.map_err(|error| refused(error.into()))?)
        }
    };
    let request = url.as_str().into_client_request().map_err(refused)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        // The largest request, plus small frames.
        .max_write_buffer_size(MAX_FRAME + BUFFER);
    let stream = Metered::new(stream, Arc::clone(meter));
    let (socket, _) =
        client_async_with_config(request, stream, Some(config)).await.map_err(refused)?;
    Ok(socket)
}

fn refused_upgrade(error: &WsError, port: u16) -> GatewayError {
    match error {
        WsError::Http(response) => match response.status().as_u16() {
            // A gateway that is starting or has too many connections, or a proxy without its
            // gateway.
            status @ (429 | 503) => {
                GatewayError::Starting { reason: format!("HTTP {status}"), retry_after: None }
            }
            // A proxy in front of a gateway that is down or restarting.
            status @ (502 | 504) => {
                GatewayError::Unreachable { reason: format!("a proxy answers HTTP {status}") }
            }
            status => {
                GatewayError::NotAGateway { reason: format!("the address answers HTTP {status}") }
            }
        },
        // rustls reports a bad certificate as an I/O error of kind InvalidData.
        WsError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            match Untrusted::of(error).cloned() {
                Some(Untrusted { reason, fingerprint }) => {
                    GatewayError::Untrusted { reason, fingerprint, port }
                }
                None => GatewayError::Tls { reason: error.to_string() },
            }
        }
        // A restarting gateway cuts the connection in the middle.
        WsError::Protocol(
            ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake,
        ) => GatewayError::Unreachable { reason: "closed during the upgrade".into() },
        WsError::Protocol(error) => GatewayError::NotAGateway { reason: error.to_string() },
        other => GatewayError::Unreachable { reason: other.to_string() },
    }
}

/// Returns the error for a socket that was closed during the handshake.
fn ended(error: &WsError) -> GatewayError {
    GatewayError::Unreachable { reason: format!("closed during the handshake ({error})") }
}

/// The text and the time that a device signs.
#[derive(Deserialize)]
struct Challenge {
    nonce: String,
    ts: u64,
}

/// Returns the challenge; `None` if the gateway sends none.
async fn read_challenge(socket: &mut Socket) -> Result<Option<Challenge>, GatewayError> {
    let challenge = async {
        loop {
            let text = next_text(socket).await?;
            if let Frame::Event { event, payload } = frame_in(&text)?
                && event == "connect.challenge"
            {
                return Ok(payload.and_then(|payload| serde_json::from_str(payload.get()).ok()));
            }
        }
    };
    timeout(CHALLENGE_WAIT, challenge).await.unwrap_or(Ok(None))
}

/// Returns the params of the connect request: the client, its scopes, and the proof of the device
/// key.
fn connect_params(target: Target<'_>, challenge: Option<Challenge>) -> Value {
    let token = target.endpoint.token.as_ref();
    let mut params = json!({
        "minProtocol": PROTOCOLS.0,
        "maxProtocol": PROTOCOLS.1,
        "client": {
            "id": CLIENT_ID,
            "version": env!("CARGO_PKG_VERSION"),
            "platform": std::env::consts::OS,
            "mode": CLIENT_MODE,
        },
        "role": ROLE,
        "scopes": SCOPES,
    });
    if let Some(token) = token {
        params["auth"] = json!({ "token": token.expose_secret() });
    }
    if let (Some(identity), Some(Challenge { nonce, ts })) = (target.identity, challenge) {
        params["device"] = identity.sign(&nonce, ts, token);
    }
    params
}

async fn read_hello(
    socket: &mut Socket,
    meter: &Meter,
    memory: &Memory,
) -> Result<ServerInfo, GatewayError> {
    let answer = loop {
        let text = next_text(socket).await?;
        let held = meter.reservation_of(&text);
        match frame_in(&text)? {
            Frame::Res { id, ok: true, payload, .. } if id == "0" => {
                break Raw::new(&text, payload, held);
            }
            Frame::Res { id, ok: false, error, .. } if id == "0" => {
                return Err(match answered(Method::Connect, error) {
                    GatewayError::Rpc { error, .. } => GatewayError::Refused(error),
                    other => other,
                });
            }
            _ => {}
        }
    };
    let payload = answer.read(Method::Connect, memory).await?;
    ServerInfo::read(&payload)
        .ok_or_else(|| GatewayError::NotAGateway { reason: "no hello in the answer".into() })
}

fn frame_in(text: &str) -> Result<Frame<'_>, GatewayError> {
    Frame::read(text).ok_or_else(|| GatewayError::NotAGateway {
        reason: "a frame that is not a gateway's".into(),
    })
}

/// Reads until a text frame arrives.
async fn next_text(socket: &mut Socket) -> Result<Utf8Bytes, GatewayError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                let reason = format!("closed during the handshake (code {code})");
                return Err(match code {
                    1012 | 1013 => GatewayError::Starting { reason, retry_after: None },
                    _ => GatewayError::Unreachable { reason },
                });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(ended(&error)),
            None => {
                return Err(GatewayError::Unreachable {
                    reason: "closed during the handshake".into(),
                });
            }
        }
    }
}
