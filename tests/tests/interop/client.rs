//! Requests to a gateway by a small client of its own, so that the test does not repeat an error of
//! the product's client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::{Signer, SigningKey};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::gateway::Gateway;

/// The number of times a request is sent before the gateway counts as gone. Old versions restart
/// 0.5 s and 2 s after a write.
const ATTEMPTS: u32 = 120;
/// The pause between attempts. A restarting gateway offers nothing to wait for.
const PAUSE: Duration = Duration::from_millis(250);
/// The maximum time for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The rights of a person who administers the gateway.
const SCOPES: [&str; 4] = ["operator.read", "operator.write", "operator.admin", "operator.pairing"];

/// The maximum number of requests that are sent before their answers.
const IN_FLIGHT: usize = 64;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client that uses a new connection for each request. To the gateway it is a person's device.
pub struct Client {
    url: String,
    token: String,
    key: SigningKey,
}

impl Client {
    /// Returns a client of that gateway.
    pub fn new(gateway: &Gateway) -> Self {
        let key = SigningKey::from_bytes(&rand::random());
        Self { url: gateway.url.clone(), token: gateway.token.clone(), key }
    }

    /// Returns the answer, or the message with which the gateway refuses.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, String> {
        let mut lost = String::new();
        for _ in 0..ATTEMPTS {
            let answer = timeout(ANSWER_WITHIN, self.try_ask(method, &params)).await;
            match answer
                .unwrap_or_else(|_| panic!("no answer to {method} within {ANSWER_WITHIN:?}"))
            {
                Ok(frame) if frame["ok"] == true => return Ok(frame["payload"].clone()),
                Ok(frame) if frame["error"]["code"] != "UNAVAILABLE" => {
                    return Err(frame["error"]["message"].as_str().unwrap_or_default().to_owned());
                }
                Ok(frame) => lost = frame["error"].to_string(),
                Err(error) => lost = error.to_string(),
            }
            sleep(PAUSE).await;
        }
        panic!("the gateway does not come back for {method}: {lost}");
    }

    /// Returns the config as it stands in its file.
    pub async fn config(&self) -> Value {
        self.ask("config.get", json!({})).await.unwrap()["parsed"].take()
    }

    /// Returns the hash of the config, which changes with every write.
    pub async fn config_hash(&self) -> Value {
        self.ask("config.get", json!({})).await.unwrap()["hash"].take()
    }

    async fn try_ask(&self, method: &str, params: &Value) -> Result<Value, Error> {
        let mut socket = match self.connect().await? {
            Ok(socket) => socket,
            Err(refusal) => return Ok(refusal),
        };
        call(&mut socket, method, params).await
    }

    /// Returns a connection after the handshake, or the gateway's refusal.
    async fn connect(&self) -> Result<Result<Socket, Value>, Error> {
        let (mut socket, _) = connect_async(&self.url).await?;
        let challenge = next(&mut socket, |frame| frame["event"] == "connect.challenge").await?;
        let client = json!({
            "id": "gateway-client", "version": "1", "platform": "linux", "mode": "backend"
        });
        let hello = json!({
            "minProtocol": 3, "maxProtocol": 4, "client": client,
            "role": "operator", "scopes": SCOPES,
            "auth": { "token": self.token }, "device": self.device(&challenge["payload"]),
        });
        let hello = call(&mut socket, "connect", &hello).await?;
        Ok(if hello["ok"] == true { Ok(socket) } else { Err(hello) })
    }

    /// Sends many requests over one connection, without waiting for answers in between. A request
    /// that fails, because the gateway restarts or has not loaded its config yet, is repeated.
    pub async fn ask_all(&self, mut requests: Vec<(&'static str, Value)>) {
        for _ in 0..ATTEMPTS {
            if let Ok(Ok(mut socket)) = self.connect().await {
                let answered = timeout(ANSWER_WITHIN, pipeline(&mut socket, &requests))
                    .await
                    .expect("answers");
                let mut answered = answered.into_iter();
                requests.retain(|_| !answered.next().unwrap_or_default());
                if requests.is_empty() {
                    return;
                }
            }
            sleep(PAUSE / 5).await;
        }
        panic!("{} requests fail, the first is {}", requests.len(), requests[0].0);
    }

    /// Counts how often the gateway closes a connection that is kept open, until the handle is
    /// dropped.
    pub fn watch(gateway: &Gateway) -> Watch {
        let client = Self::new(gateway);
        let closed = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&closed);
        let task = tokio::spawn(async move {
            loop {
                if let Ok(Ok(mut socket)) = client.connect().await {
                    while let Some(Ok(_)) = socket.next().await {}
                    seen.fetch_add(1, Ordering::Relaxed);
                }
                sleep(PAUSE / 5).await;
            }
        });
        Watch { closed, task }
    }

    /// Returns the signed identity of the device. Some versions grant no rights without a
    /// signature.
    fn device(&self, challenge: &Value) -> Value {
        let public = self.key.verifying_key().to_bytes();
        let id =
            Sha256::digest(public).iter().fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
        let (at, nonce) = (challenge["ts"].as_u64().unwrap(), challenge["nonce"].as_str().unwrap());
        let (scopes, token) = (SCOPES.join(","), &self.token);
        let signed =
            format!("v2|{id}|gateway-client|backend|operator|{scopes}|{at}|{token}|{nonce}");
        json!({
            "id": id, "publicKey": BASE64.encode(public), "signedAt": at, "nonce": nonce,
            "signature": BASE64.encode(self.key.sign(signed.as_bytes()).to_bytes()),
        })
    }
}

/// Counts the restarts of a gateway.
pub struct Watch {
    closed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Watch {
    pub fn restarts(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns which of the requests succeeded. Some gateways refuse requests beyond a few hundred at
/// once.
async fn pipeline(socket: &mut Socket, requests: &[(&'static str, Value)]) -> Vec<bool> {
    let mut well = vec![false; requests.len()];
    let (mut sent, mut answered) = (0, 0);
    while answered < requests.len() {
        while sent < requests.len() && sent - answered < IN_FLIGHT {
            let (method, params) = &requests[sent];
            let request = json!({
                "type": "req", "id": sent.to_string(), "method": method, "params": params
            });
            if socket.send(Message::text(request.to_string())).await.is_err() {
                return well;
            }
            sent += 1;
        }
        let Ok(frame) = next(socket, |frame| frame["type"] == "res").await else { return well };
        let id: usize =
            frame["id"].as_str().and_then(|id| id.parse().ok()).expect("an id that was sent");
        well[id] = frame["ok"] == true;
        answered += 1;
    }
    well
}

async fn call(socket: &mut Socket, method: &str, params: &Value) -> Result<Value, Error> {
    let request = json!({ "type": "req", "id": method, "method": method, "params": params });
    socket.send(Message::text(request.to_string())).await?;
    next(socket, |frame| frame["type"] == "res" && frame["id"] == method).await
}

async fn next(socket: &mut Socket, is_wanted: impl Fn(&Value) -> bool) -> Result<Value, Error> {
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let frame = serde_json::from_str(&text).expect("the gateway sends JSON");
            if is_wanted(&frame) {
                return Ok(frame);
            }
        }
    }
    Err(Error::ConnectionClosed)
}
