//! Gateways that repeat whatever they are sent, wherever they can.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

type Socket = WebSocketStream<TcpStream>;

/// Starts a gateway that answers `connect` with an error that quotes the whole request.
pub async fn refusing() -> String {
    serve(|mut socket, request| async move {
        let words = format!("unauthorized: {}", request["params"]);
        let error = json!({
            "code": "INVALID_REQUEST", "message": words,
            "details": { "code": "AUTH_TOKEN_MISMATCH", "requestId": words }
        });
        let answer = json!({ "type": "res", "id": request["id"], "ok": false, "error": error });
        let _ = socket.send(Message::text(answer.to_string())).await;
        let _ = socket.close(None).await;
    })
    .await
}

/// Starts a gateway that closes the connection with the token as the reason.
pub async fn closing() -> String {
    serve(|mut socket, request| async move {
        let reason = format!("not {}", request["params"]["auth"]["token"]);
        let frame = CloseFrame { code: CloseCode::Library(4000), reason: reason.into() };
        let _ = socket.close(Some(frame)).await;
    })
    .await
}

/// Accepts connections for as long as the test runs; `answer` gets the first request of each.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(Socket, Value) -> F + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
            let challenge = json!({
                "type": "event", "event": "connect.challenge", "payload": { "nonce": "n", "ts": 0 }
            });
            let _ = socket.send(Message::text(challenge.to_string())).await;
            if let Some(Ok(Message::Text(text))) = socket.next().await {
                answer(socket, serde_json::from_str(&text).unwrap_or_default()).await;
            }
        }
    });
    url
}
