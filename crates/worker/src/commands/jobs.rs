//! `worker jobs list|show|retry|unblock|snooze|cancel|discard|failures`: look at jobs and act on
//! them.

pub mod shown;

use std::time::Duration;

use anyhow::anyhow;
use mission_core::sanitize::one_line;
use mission_jobs::queue::{MAX_PAGE, Search};
use mission_jobs::{QueueError, State};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{ApiTarget, Jobs};
use crate::commands::pause;
use crate::exit::{Exit, OrExit};
use crate::humanize::span;
use crate::output::{Output, say};
use crate::queue_client::{Console, ConsoleError};
use crate::settings::Settings;

/// Most characters quoted of what was given as an id.
const MAX_QUOTE: usize = 100;

/// Runs the command.
pub async fn run(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    command: &Jobs,
) -> Result<(), Exit> {
    let console = Console::open(settings, at.api.as_deref()).await?;
    let done = match command {
        Jobs::List { query, state, limit } => {
            list(&console, output, query, state.as_deref(), *limit as usize).await
        }
        Jobs::Show { id } => show(&console, output, id).await,
        Jobs::Retry { id, force, reason } => retry(&console, output, id, *force, reason).await,
        Jobs::Unblock { id, reason } => unblock(&console, output, id, reason).await,
        Jobs::Snooze { id, time, reason } => snooze(&console, output, id, *time, reason).await,
        Jobs::Cancel { ids, reason } => end(&console, output, ids, reason, false).await,
        Jobs::Discard { ids, reason } => end(&console, output, ids, reason, true).await,
        Jobs::Failures => failures(&console, output).await,
    };
    console.close().await;
    done
}

async fn list(
    console: &Console,
    output: Output,
    query: &[String],
    state: Option<&str>,
    limit: usize,
) -> Result<(), Exit> {
    let mut search: Search = query.join(" ").parse().or_usage()?;
    search.states.extend(state.map(known_state).transpose()?);
    let summary = console.summary().await.map_err(ConsoleError::exit)?;
    for paused in &summary.paused {
        say(&format!("worker: {}", pause::in_words(paused)));
    }
    let (mut left, mut after) = (limit, None);
    while left > 0 {
        let found = console
            .search(&search, after.as_ref(), left.min(MAX_PAGE))
            .await
            .map_err(ConsoleError::exit)?;
        left = left.saturating_sub(found.jobs.len());
        for job in &found.jobs {
            output.print(job, || shown::line(job));
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

fn known_state(name: &str) -> Result<State, Exit> {
    let names = || State::ALL.map(State::as_str).join(", ");
    State::from_name(name)
        .ok_or_else(|| anyhow!("`{name}` is no state; use one of {}", names()))
        .or_usage()
}

async fn show(console: &Console, output: Output, id: &str) -> Result<(), Exit> {
    let job = console.job(parse(id)?).await.map_err(ConsoleError::exit)?;
    let now = console.summary().await.map_err(ConsoleError::exit)?.at_ms;
    output.print(&job, || shown::story(&job, now));
    Ok(())
}

async fn retry(
    console: &Console,
    output: Output,
    id: &str,
    force: bool,
    why: &str,
) -> Result<(), Exit> {
    let id = parse(id)?;
    let was = console.retry(id, force, why).await.map_err(|error| match error {
        ConsoleError::Queue(error @ QueueError::Outdated { .. }) => {
            let told: Result<(), _> = Err(anyhow!("{error}: worker jobs retry {id} --force"));
            told.or_failed().expect_err("it is an error")
        }
        error => error.exit(),
    })?;
    output.print(&json!({ "id": id, "was": was, "state": State::Ready }), || {
        format!("{id} is ready to run again")
    });
    Ok(())
}

async fn unblock(console: &Console, output: Output, id: &str, why: &str) -> Result<(), Exit> {
    let id = parse(id)?;
    let was = console.unblock(id, why).await.map_err(ConsoleError::exit)?;
    output.print(&json!({ "id": id, "was": was, "state": State::Ready }), || {
        format!("{id} is ready to run again")
    });
    Ok(())
}

async fn snooze(
    console: &Console,
    output: Output,
    id: &str,
    time: Duration,
    why: &str,
) -> Result<(), Exit> {
    let id = parse(id)?;
    let was = console.snooze(id, time, why).await.map_err(ConsoleError::exit)?;
    let for_time = span(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    output.print(&json!({ "id": id, "was": was, "state": State::Snoozed }), || {
        format!("{id} was {was} and waits for {for_time}; `worker jobs retry {id}` ends that")
    });
    Ok(())
}

/// Cancels jobs, or discards dead ones. Goes on after one that cannot be, and fails at the end.
async fn end(
    console: &Console,
    output: Output,
    ids: &[String],
    why: &str,
    discard: bool,
) -> Result<(), Exit> {
    let ids: Vec<Uuid> = ids.iter().map(|id| parse(id)).collect::<Result<_, _>>()?;
    let mut refused = Ok(());
    for id in ids {
        let ended =
            if discard { console.discard(id, why).await } else { console.cancel(id, why).await };
        match ended {
            Ok(was) => output.print(&json!({ "id": id, "was": was }), || match was {
                State::Running => {
                    format!("{id} runs; it is stopped when its worker next renews the lease")
                }
                was => format!("{id} was {was} and is cancelled"),
            }),
            Err(error) if error.is_of_one_job() => {
                say(&format!("worker: {error}"));
                refused = Err(Exit::FAILED);
            }
            Err(error) => return Err(error.exit()),
        }
    }
    refused
}

async fn failures(console: &Console, output: Output) -> Result<(), Exit> {
    let groups = console.failures().await.map_err(ConsoleError::exit)?;
    let now = console.summary().await.map_err(ConsoleError::exit)?.at_ms;
    for group in &groups {
        output.print(group, || shown::group(group, now));
    }
    if groups.is_empty() {
        say("worker: no job has a failure that it has not got past");
    }
    Ok(())
}

fn parse(id: &str) -> Result<Uuid, Exit> {
    let wrong = |_| {
        anyhow!("`{}` is not a job's id; `worker jobs list` shows them", one_line(id, MAX_QUOTE))
    };
    id.parse().map_err(wrong).or_usage()
}
