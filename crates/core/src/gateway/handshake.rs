//! From an address to an open session: the upgrade, the challenge, `connect` and `hello-ok`.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{ProtocolError, UrlError};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use url::Url;

use super::connection::answered;
use super::device::DeviceIdentity;
use super::dial::{Dial, Stream};
use super::error::GatewayError;
use super::protocol::{CLIENT_ID, CLIENT_MODE, Frame, Hello, MAX_FRAME, Method, PROTOCOLS, ROLE, SCOPES};
use super::reach::OutOfReach;
use super::tls::Untrusted;

/// The challenge comes within a millisecond of the upgrade on every version; one that sends none is asked without.
const CHALLENGE_WAIT: Duration = Duration::from_millis(2500);

pub(super) type Socket = WebSocketStream<MaybeTlsStream<Box<dyn Stream>>>;

/// Opens a socket to the gateway.
pub(super) async fn upgrade(url: &Url, tls: Connector, dial: &Dial) -> Result<Socket, GatewayError> {
    let unreachable = |error: io::Error| match OutOfReach::of(&error) {
        Some(refused) => GatewayError::OutOfReach(refused.clone()),
        None => GatewayError::Unreachable { reason: error.to_string() },
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = dial.open(host, port).await.map_err(unreachable)?;
    let request = url.as_str().into_client_request().map_err(|error| refused_upgrade(&error, port))?;
    let config = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
    let (socket, _) = client_async_tls_with_config(request, stream, Some(config), Some(tls))
        .await
        .map_err(|error| refused_upgrade(&error, port))?;
    Ok(socket)
}

fn refused_upgrade(error: &WsError, port: u16) -> GatewayError {
    match error {
        // A gateway that starts, or has too many who knock; or one behind a proxy that is not there.
        WsError::Http(response) if matches!(response.status().as_u16(), 429 | 503) => {
            GatewayError::Starting { reason: format!("HTTP {}", response.status().as_u16()), retry_after: None }
        }
        // A proxy's words for a gateway that is down or restarting.
        WsError::Http(response) if matches!(response.status().as_u16(), 502 | 504) => {
            GatewayError::Unreachable { reason: format!("a proxy answers HTTP {}", response.status().as_u16()) }
        }
        WsError::Http(response) => {
            GatewayError::NotAGateway { reason: format!("the address answers HTTP {}", response.status().as_u16()) }
        }
        WsError::Tls(error) => GatewayError::Tls { reason: error.to_string() },
        WsError::Url(UrlError::TlsFeatureNotEnabled) => GatewayError::Tls { reason: "not built in".into() },
        // rustls reports a bad certificate as an I/O error of kind InvalidData.
        WsError::Io(error) if error.kind() == io::ErrorKind::InvalidData => match Untrusted::of(error) {
            Some(Untrusted { reason, fingerprint }) => {
                GatewayError::Untrusted { reason: reason.clone(), fingerprint: *fingerprint, port }
            }
            None => GatewayError::Tls { reason: error.to_string() },
        },
        // Cut in the middle: what a restarting gateway does.
        WsError::Protocol(ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake) => {
            GatewayError::Unreachable { reason: "closed during the upgrade".into() }
        }
        WsError::Protocol(error) => GatewayError::NotAGateway { reason: error.to_string() },
        other => GatewayError::Unreachable { reason: other.to_string() },
    }
}

/// The error of a socket that ended during the handshake.
pub(super) fn ended(error: &WsError) -> GatewayError {
    GatewayError::Unreachable { reason: format!("closed during the handshake ({error})") }
}

/// The challenge's nonce and time; none from a gateway that sends no challenge.
pub(super) async fn read_challenge(socket: &mut Socket) -> Result<Option<(String, u64)>, GatewayError> {
    let Ok(payload) = timeout(
        CHALLENGE_WAIT,
        next_payload(socket, |frame| match frame {
            Frame::Event { event, payload } if event == "connect.challenge" => Some(Ok(payload)),
            _ => None,
        }),
    )
    .await
    else {
        return Ok(None);
    };
    let payload = payload?;
    let nonce = payload.get("nonce").and_then(Value::as_str).map(str::to_owned);
    Ok(nonce.zip(payload.get("ts").and_then(Value::as_u64)))
}

/// Params of the connect request: who connects, with which rights, and the proof of the device's key.
pub(super) fn connect_params(
    token: Option<&SecretString>,
    identity: Option<&DeviceIdentity>,
    challenge: Option<(String, u64)>,
) -> Value {
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
    if let (Some(identity), Some((nonce, signed_at))) = (identity, challenge) {
        params["device"] = identity.sign(&nonce, signed_at, token);
    }
    params
}

pub(super) async fn read_hello(socket: &mut Socket) -> Result<Hello, GatewayError> {
    let payload = next_payload(socket, |frame| match frame {
        Frame::Res { id, ok, payload, error } if id == "0" => Some(match (ok, error) {
            (true, _) => Ok(payload),
            (false, Some(error)) => Err(GatewayError::Refused(Box::new(error))),
            (false, None) => Err(answered(Method::Connect, None)),
        }),
        _ => None,
    })
    .await?;
    Hello::read(&payload).ok_or_else(|| GatewayError::NotAGateway { reason: "no hello in the answer".into() })
}

/// Reads until a frame is what is looked for.
async fn next_payload(
    socket: &mut Socket,
    wanted: impl Fn(Frame) -> Option<Result<Value, GatewayError>>,
) -> Result<Value, GatewayError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame = serde_json::from_str(&text)
                    .map_err(|_| GatewayError::NotAGateway { reason: "a frame that is not a gateway's".into() })?;
                if let Some(found) = wanted(frame) {
                    return found;
                }
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.as_ref().map(|frame| u16::from(frame.code));
                let reason = format!("closed during the handshake (code {})", code.unwrap_or(1005));
                return Err(match code {
                    Some(1012 | 1013) => GatewayError::Starting { reason, retry_after: None },
                    _ => GatewayError::Unreachable { reason },
                });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(ended(&error)),
            None => return Err(GatewayError::Unreachable { reason: "closed during the handshake".into() }),
        }
    }
}
