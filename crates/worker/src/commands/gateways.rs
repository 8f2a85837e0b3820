//! `worker gateways`: lists gateways with their job counts, reachability and version.

use std::fmt::Write as _;

use mission_jobs::State;
use mission_jobs::queue::GatewayRecord;

use crate::cli::ApiTarget;
use crate::commands::by_state;
use crate::commands::jobs::shown::remedy;
use crate::exit::Exit;
use crate::output::Output;
use crate::queue_client::with_client;
use crate::settings::Settings;
use mission_core::humanize::{count, span};

/// Prints the gateways with the most recent jobs.
pub async fn run(settings: &Settings, output: Output, at: &ApiTarget) -> Result<(), Exit> {
    let (gateways, now) = with_client(settings, at, async |client| {
        Ok((client.gateways().await?, client.summary().await?.at_ms))
    })
    .await?;
    output.print_all(&gateways, |gateway| in_words(gateway, now));
    Ok(())
}

/// Describes a gateway in a few lines.
fn in_words(gateway: &GatewayRecord, now_ms: u64) -> String {
    let mut text = gateway.id.to_string();
    for known in [&gateway.name, &gateway.url].into_iter().flatten() {
        let _ = write!(text, " {known}");
    }
    let _ = write!(text, "\n  {}", condition(gateway, now_ms));
    let _ = write!(text, "\n  jobs: {}", by_state(&gateway.jobs, "none"));
    if let Some(failure) =
        gateway.failure.as_ref().filter(|_| gateway.failed_at_ms > gateway.reached_at_ms)
    {
        let remedy = remedy(failure.remedy.text());
        let _ = write!(text, "\n  {}: {}{remedy}", failure.code, failure.message);
    }
    text
}

/// Returns the number of jobs of a gateway that have not ended.
pub fn live(gateway: &GatewayRecord) -> u64 {
    let live = State::ALL.into_iter().filter(|state| !state.is_terminal());
    live.map(|state| gateway.jobs.of(state)).sum()
}

/// Describes whether a gateway is reachable, its version and its limits.
pub fn condition(gateway: &GatewayRecord, now_ms: u64) -> String {
    let ago = |at: u64| format!("{} ago", span(now_ms.saturating_sub(at)));
    let mut words = Vec::new();
    if gateway.is_unreachable() {
        words.push(format!("unreachable after {}", count(gateway.failures.into(), "attempt")));
    }
    if let Some(until) = gateway.held_until_ms.filter(|until| *until > now_ms) {
        words.push(format!("next attempt in {}", span(until - now_ms)));
    }
    words.push(
        gateway
            .reached_at_ms
            .map_or_else(|| "never reached".to_owned(), |at| format!("reached {}", ago(at))),
    );
    if let Some(version) = &gateway.version {
        let protocol =
            gateway.protocol.map_or_else(String::new, |protocol| format!(", protocol {protocol}"));
        words.push(format!("version {version}{protocol}"));
    }
    words.extend(gateway.write_limit.as_ref().map(|limit| format!("{limit} config writes")));
    words.extend(gateway.restarted_at_ms.map(|at| format!("restarted {}", ago(at))));
    words.join(", ")
}
