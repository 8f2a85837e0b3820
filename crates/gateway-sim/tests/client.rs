//! A small client: connects with its own device, calls, and keeps the events it receives.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use futures_util::{SinkExt, StreamExt};
use mission_gateway_sim::Gateway;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// The time for which a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The ways in which a connection can end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Gone {
    /// The connection was closed with a code.
    Closed(u16),
    /// The connection was cut without a close frame.
    Cut,
}

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The payload of `connect.challenge`.
    pub(crate) challenge: Value,
    /// The payload of `hello-ok`.
    pub(crate) hello: Value,
    /// The events received so far.
    pub(crate) events: Vec<Value>,
    calls: u64,
}

impl Client {
    /// Opens a socket and waits for the challenge.
    pub(crate) async fn open(url: &str) -> Self {
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await.unwrap().unwrap();
        let mut client = Self {
            socket,
            challenge: Value::Null,
            hello: Value::Null,
            events: Vec::new(),
            calls: 0,
        };
        let challenge = client.frame().await.unwrap();
        assert_eq!(challenge["event"], "connect.challenge");
        client.challenge = challenge["payload"].clone();
        client
    }

    /// Opens a socket without waiting for a challenge.
    pub(crate) async fn open_silent(url: &str) -> Self {
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await.unwrap().unwrap();
        Self { socket, challenge: Value::Null, hello: Value::Null, events: Vec::new(), calls: 0 }
    }

    /// Opens a socket and connects with the recommended parameters.
    pub(crate) async fn connected(url: &str, token: &str) -> Self {
        let mut client = Self::open(url).await;
        let params = signed_params(&client.challenge, token, 1);
        client.hello = client.call("connect", params).await.unwrap().unwrap();
        client
    }

    /// Calls a method and waits for the answer: the payload, or the error.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<Result<Value, Value>, Gone> {
        let id = self.send(method, params).await;
        let answer = self.reply(&id).await?;
        Ok(if answer["ok"] == true {
            Ok(answer["payload"].clone())
        } else {
            Err(answer["error"].clone())
        })
    }

    /// Calls a method and expects success.
    pub(crate) async fn ok(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap().unwrap()
    }

    /// Calls a method, expects an error and returns its message.
    pub(crate) async fn refused(&mut self, method: &str, params: Value) -> String {
        let error = self.call(method, params).await.unwrap().unwrap_err();
        error["message"].as_str().unwrap().to_owned()
    }

    /// Sends a call without waiting, and returns its id.
    pub(crate) async fn send(&mut self, method: &str, params: Value) -> String {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
        self.send_text(frame.to_string()).await;
        id
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        // If the connection was closed meanwhile, waiting for the answer fails.
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Waits for the answer to a call; events that arrive before it are kept.
    pub(crate) async fn reply(&mut self, id: &str) -> Result<Value, Gone> {
        loop {
            let frame = self.frame().await?;
            if frame["type"] == "event" {
                self.events.push(frame);
            } else if frame["id"] == id {
                return Ok(frame);
            }
        }
    }

    /// Returns the next frame as JSON.
    pub(crate) async fn frame(&mut self) -> Result<Value, Gone> {
        Ok(serde_json::from_str(&self.text().await?).unwrap())
    }

    /// Returns the next frame as text.
    pub(crate) async fn text(&mut self) -> Result<String, Gone> {
        loop {
            match timeout(PATIENCE, self.socket.next())
                .await
                .expect("nothing came, not even a close")
            {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Gone::Closed(frame.map_or(1005, |f| f.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Gone::Cut),
            }
        }
    }

    /// Reads events until the connection ends, and returns how it ended.
    pub(crate) async fn end(&mut self) -> Gone {
        loop {
            match self.frame().await {
                Ok(frame) => self.events.push(frame),
                Err(gone) => return gone,
            }
        }
    }

    pub(crate) fn saw(&self, event: &str) -> bool {
        self.events.iter().any(|frame| frame["event"] == event)
    }
}

/// Returns the recommended parameters of `connect`, signed by the device with this seed.
pub(crate) fn signed_params(challenge: &Value, token: &str, seed: u8) -> Value {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let public = key.verifying_key().to_bytes();
    let id: String = Sha256::digest(public)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(hex_digit)
        .collect();
    let scopes = ["operator.read", "operator.write", "operator.admin"];
    let (nonce, signed_at) = (challenge["nonce"].as_str().unwrap(), &challenge["ts"]);
    let text = format!(
        "v2|{id}|gateway-client|backend|operator|{}|{signed_at}|{token}|{nonce}",
        scopes.join(",")
    );
    json!({
        "minProtocol": 3, "maxProtocol": 4,
        "client": {
            "id": "gateway-client", "version": "1.0.0", "platform": "linux", "mode": "backend",
        },
        "role": "operator", "scopes": scopes, "auth": { "token": token },
        "device": {
            "id": id, "publicKey": URL_SAFE_NO_PAD.encode(public),
            "signature": URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).to_bytes()),
            "signedAt": signed_at, "nonce": nonce,
        },
    })
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap()
}

/// Starts a gateway with this setup, and connects a client to it.
pub(crate) async fn from_json(setup: Value) -> (Gateway, Client) {
    let gateway = Gateway::start(serde_json::from_value(setup).unwrap()).await.unwrap();
    let client = Client::connected(&gateway.url(), "").await;
    (gateway, client)
}

/// Patches the current configuration, and returns the payload or the error.
pub(crate) async fn patch(client: &mut Client, patch: &Value) -> Result<Value, Value> {
    let hash = client.ok("config.get", json!({})).await["hash"].clone();
    client
        .call("config.patch", json!({ "raw": patch.to_string(), "baseHash": hash }))
        .await
        .unwrap()
}
