//! `worker health`: checks whether the worker with these settings claims jobs, as the health check
//! of a container.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::settings::Settings;
use mission_http::listener::reachable;

/// Timeout of the check; the worker itself waits up to two seconds for Redis.
const WITHIN: Duration = Duration::from_secs(5);
/// Limit of the answer in bytes; the body is one line.
const MAX_ANSWER: u64 = 4096;

/// Prints the worker's answer; status 1 if it is not ready, 3 if there is none.
pub async fn run(settings: &Settings, output: Output) -> Result<(), Exit> {
    let (ready, said) = ask_worker(settings).await.or_unreachable()?;
    output.print(&json!({ "ready": ready, "said": said }), || said.clone());
    if ready { Ok(()) } else { Err(Exit::FAILED) }
}

/// Returns whether the worker with these settings claims jobs, and its one-line answer.
pub async fn ask_worker(settings: &Settings) -> anyhow::Result<(bool, String)> {
    let addr = reachable(settings.http_addr);
    let answer = timeout(WITHIN, ask(addr)).await.unwrap_or_else(|_| Err(anyhow!("no answer")));
    let answer = answer.with_context(|| format!("no worker answers at {addr}"))?;
    let ready = answer.split(' ').nth(1) == Some("200");
    Ok((ready, answer.rsplit("\r\n").next().unwrap_or_default().trim().to_owned()))
}

async fn ask(addr: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
    Ok(answer)
}
