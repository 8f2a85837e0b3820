//! A scripted gateway, for behaviour that the simulated gateway does not show.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// The gateway's end of a connection with an open session.
pub(crate) struct Scripted<S>(pub(crate) WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Scripted<S> {
    /// Accepts the upgrade, reads the connect request and closes the connection. Returns the
    /// request.
    pub(crate) async fn connect_request(stream: S) -> Value {
        Self::challenge(stream).await.1
    }

    async fn challenge(stream: S) -> (Self, Value) {
        let mut gateway = Self(tokio_tungstenite::accept_async(stream).await.unwrap());
        let challenge = json!({
            "type": "event", "event": "connect.challenge", "payload": { "nonce": "n", "ts": 1 },
        });
        gateway.send(challenge.to_string()).await;
        let connect = gateway.request().await.unwrap();
        (gateway, connect)
    }

    /// Accepts the upgrade and the connect request, and answers with a hello that has these
    /// additional members.
    pub(crate) async fn open(stream: S, more: Value) -> Self {
        let (mut gateway, connect) = Self::challenge(stream).await;
        let mut hello = json!({ "type": "hello-ok", "protocol": 4 });
        hello.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gateway.answer(&connect, &hello).await;
        gateway
    }

    /// Accepts the upgrade, reads the connect request and refuses it.
    pub(crate) async fn refuse(stream: S, error: Value) {
        let (mut gateway, connect) = Self::challenge(stream).await;
        gateway.answer_error(&connect, &error).await;
        gateway.close().await;
    }

    pub(crate) async fn answer_error(&mut self, request: &Value, error: &Value) {
        self.send(
            json!({ "type": "res", "id": request["id"], "ok": false, "error": error }).to_string(),
        )
        .await;
    }

    /// Returns the next request, or `None` at the end of the connection.
    pub(crate) async fn request(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).ok(),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    pub(crate) async fn answer(&mut self, request: &Value, payload: &Value) {
        self.send(
            json!({ "type": "res", "id": request["id"], "ok": true, "payload": payload })
                .to_string(),
        )
        .await;
    }

    /// Sends a frame unchanged. A client that has closed the connection is no error.
    pub(crate) async fn send(&mut self, text: String) {
        let _ = self.0.send(Message::text(text)).await;
    }

    /// Sends a message of any kind. A client that has closed the connection is no error.
    pub(crate) async fn pass(&mut self, message: Message) {
        let _ = self.0.send(message).await;
    }

    pub(crate) async fn close(&mut self) {
        let _ = self.0.close(None).await;
    }
}
