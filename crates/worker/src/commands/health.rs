//! `worker health`: checks whether the worker with these settings claims jobs, as the health check
//! of a container.

use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::timeout;
use url::Url;

use crate::client;
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::settings::Settings;
use mission_http::listener::reachable;

/// Timeout of the check; the worker itself waits up to two seconds for Redis.
const WITHIN: Duration = Duration::from_secs(5);

/// Prints the worker's answer; status 1 if it is not ready, 3 if there is none.
pub async fn run(settings: &Settings, output: Output) -> Result<(), Exit> {
    let (ready, said) = ask_worker(settings).await.or_unreachable()?;
    output.print(&json!({ "ready": ready, "said": said }), || said.clone());
    if ready { Ok(()) } else { Err(Exit::FAILED) }
}

/// Returns whether the worker with these settings claims jobs, and its one-line answer.
pub async fn ask_worker(settings: &Settings) -> anyhow::Result<(bool, String)> {
    let addr = reachable(settings.http_addr);
    let ask = async {
        let url = Url::parse(&format!("http://{addr}/readyz"))?;
        let answer = client::send(client::http_client(&url)?.get(url)).await?;
        let ready = answer.status() == StatusCode::OK;
        let said = String::from_utf8_lossy(&client::read(answer).await?).trim().to_owned();
        Ok((ready, said))
    };
    let answer = timeout(WITHIN, ask).await.unwrap_or_else(|_| Err(anyhow!("no answer")));
    answer.with_context(|| format!("no worker answers at {addr}"))
}
