//! `worker gateways`: lists gateways with their job counts, reachability and version; shows one,
//! stores its connection, and forgets it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, anyhow};
use mission_jobs::State;
use mission_jobs::queue::{
    AgentCounts, AgentPhase, GatewayConnection, GatewayDetails, GatewayRecord, RecordedAgent,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::{ApiTarget, Gateways};
use crate::commands::jobs::shown::remedy;
use crate::commands::{by_state, read_input, report_padded};
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::queue_client::with_client;
use crate::settings::Settings;
use mission_core::humanize::{count, span};

/// Runs one of the subcommands; without one, prints the gateways with the most recent jobs.
pub async fn run(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    command: Option<&Gateways>,
) -> Result<(), Exit> {
    match command {
        None => list(settings, output, at).await,
        Some(Gateways::Show { id }) => show(settings, output, at, parse_id(id)?).await,
        Some(Gateways::Put { file, why }) => {
            let gateway = read_connection(file)?;
            put(settings, output, at, &gateway, &why.reason).await
        }
        Some(Gateways::Forget { id, force, why }) => {
            let id = parse_id(id)?;
            with_client(settings, at, async |client| {
                Ok(client.forget_gateway(id, *force, &why.reason).await?)
            })
            .await?;
            output.print(&json!({ "id": id, "forgotten": true }), || format!("{id} is forgotten"));
            Ok(())
        }
    }
}

fn parse_id(id: &str) -> Result<Uuid, Exit> {
    id.parse().map_err(|_| anyhow!("`{id}` is not the id of a gateway; use a UUID")).or_usage()
}

/// Reads the connection of a gateway. An error names the file and the field.
fn read_connection(file: &Path) -> Result<Value, Exit> {
    let name = file.display().to_string();
    let gateway = GatewayConnection::read_json(&read_input(file)?);
    let mut gateway = gateway.context(name.clone()).or_usage()?;
    report_padded(&name, json!({ "gateway": gateway }).to_string().as_bytes());
    let connection = GatewayConnection::new(&gateway).context(name).or_usage()?;
    gateway["id"] = connection.gateway().to_string().into();
    Ok(gateway)
}

/// Stores a connection; status 1 if a newer one is in force.
async fn put(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    gateway: &Value,
    reason: &str,
) -> Result<(), Exit> {
    let id = &gateway["id"];
    let stored =
        with_client(settings, at, async |client| Ok(client.put_gateway(gateway, reason).await?))
            .await?;
    let shown = json!({
        "id": id, "stored": stored.stored, "changed": stored.changed, "revision": stored.revision,
    });
    output.print(&shown, || {
        let revision = stored.revision.map(|revision| format!(", revision {revision}"));
        let what = match (stored.stored, stored.changed) {
            (false, _) => "not stored, because a newer one is in force",
            (true, true) => "stored; blocked jobs are tried again",
            (true, false) => "stored; address, token and certificate are as before",
        };
        let id = id.as_str().unwrap_or_default();
        format!("{id} {what}{}", revision.unwrap_or_default())
    });
    if stored.stored { Ok(()) } else { Err(Exit::FAILED) }
}

/// Prints a gateway and all of its agents.
async fn show(settings: &Settings, output: Output, at: &ApiTarget, id: Uuid) -> Result<(), Exit> {
    with_client(settings, at, async |client| {
        let details = client.gateway(id).await?;
        let now = client.summary().await?.at_ms;
        output.print(&details, || details_in_words(&details, now));
        let mut from = Some(0);
        while let Some(after) = from {
            let page = client.agents(id, after).await?;
            output.print_all(&page.agents, agent_in_words);
            from = page.next;
        }
        Ok(())
    })
    .await
}

fn details_in_words(details: &GatewayDetails, now_ms: u64) -> String {
    let mut text = in_words(&details.gateway, now_ms);
    match &details.records.connection {
        None => text.push_str("\n  connection: none; jobs for it do nothing"),
        Some(connection) => {
            text.push_str("\n  connection:");
            if let Some(revision) = connection.revision {
                let _ = write!(text, " revision {revision},");
            }
            if let Some(at) = connection.at_ms {
                let _ = write!(text, " {} ago,", span(now_ms.saturating_sub(at)));
            }
            let how = if connection.stored_alone { "document" } else { "from job" };
            let _ = write!(text, " {how} {}", connection.document);
            for known in [&connection.name, &connection.url].into_iter().flatten() {
                let _ = write!(text, " {known}");
            }
        }
    }
    let AgentCounts { wanted, deleting, deleted } = details.records.agents;
    let _ = write!(text, "\n  agents: {wanted} wanted, {deleting} deleting, {deleted} deleted");
    text
}

fn agent_in_words(agent: &RecordedAgent) -> String {
    let mut text = format!("  {} {}", agent.id, agent.phase.as_str());
    if let Some(generation) = agent.generation {
        let _ = write!(text, ", generation {generation}");
    }
    if agent.phase == AgentPhase::Wanted {
        text.push_str(if agent.observed { ", as wanted" } else { ", to be written" });
    }
    if !agent.owed.is_empty() {
        let owed: Vec<&str> = agent.owed.iter().map(|owed| owed.as_str()).collect();
        let _ = write!(text, ", owed: {}", owed.join(" "));
    }
    text
}

async fn list(settings: &Settings, output: Output, at: &ApiTarget) -> Result<(), Exit> {
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
