//! `worker jobs`: lists jobs and failures, shows a job, and retries, unblocks, snoozes, cancels and
//! discards jobs.

pub mod shown;

use anyhow::anyhow;
use mission_core::sanitize::one_line;
use mission_jobs::queue::Search;
use mission_jobs::{QueueError, State};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{ApiTarget, Jobs, Reason, SeveralJobs};
use crate::commands::pause;
use crate::exit::{Exit, OrExit};
use crate::output::{Output, say};
use crate::queue_client::{JobAction, QueueClient, QueueClientError, with_client};
use crate::settings::Settings;
use mission_core::humanize::span;

/// Number of characters quoted from an invalid id.
const MAX_QUOTE: usize = 100;

/// Runs one of the subcommands.
pub async fn run(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    command: &Jobs,
) -> Result<(), Exit> {
    with_client(settings, at, async |client| match command {
        Jobs::List { query, state, limit } => {
            list(client, output, query, state.as_deref(), *limit as usize).await
        }
        Jobs::Show { id } => show(client, output, id).await,
        Jobs::Retry { id, force, why } => {
            act(client, output, id, JobAction::Retry { force: *force }, why).await
        }
        Jobs::Unblock { id, why } => act(client, output, id, JobAction::Unblock, why).await,
        Jobs::Snooze { id, time, why } => {
            act(client, output, id, JobAction::Snooze(*time), why).await
        }
        Jobs::Cancel(jobs) => cancel(client, output, jobs, JobAction::Cancel).await,
        Jobs::Discard(jobs) => cancel(client, output, jobs, JobAction::Discard).await,
        Jobs::Failures => failures(client, output).await,
    })
    .await
}

async fn list(
    client: &dyn QueueClient,
    output: Output,
    query: &[String],
    state: Option<&str>,
    limit: usize,
) -> Result<(), Exit> {
    let mut search: Search = query.join(" ").parse().or_usage()?;
    search.states.extend(state.map(known_state).transpose()?);
    for paused in &client.summary().await?.paused {
        say(&format!("worker: {}", pause::in_words(paused)));
    }
    let (mut left, mut after) = (limit, None);
    while left > 0 {
        let found = client.search(&search, after.as_ref(), left).await?;
        left = left.saturating_sub(found.jobs.len());
        output.print_all(&found.jobs, shown::line);
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
        .ok_or_else(|| anyhow!("`{name}` is not a state; use one of {}", names()))
        .or_usage()
}

async fn show(client: &dyn QueueClient, output: Output, id: &str) -> Result<(), Exit> {
    let job = client.job(parse(id)?).await?;
    let now = client.summary().await?.at_ms;
    output.print(&job, || shown::story(&job, now));
    Ok(())
}

/// Retries, unblocks or snoozes a job.
async fn act(
    client: &dyn QueueClient,
    output: Output,
    id: &str,
    action: JobAction,
    Reason { reason }: &Reason,
) -> Result<(), Exit> {
    let id = parse(id)?;
    let was = match client.act(id, action, reason).await {
        Err(QueueClientError::Queue(error @ QueueError::Outdated { .. })) => {
            return Err(Exit::failed(anyhow!("{error}: worker jobs retry {id} --force")));
        }
        answer => answer?,
    };
    let (state, now) = match action {
        JobAction::Snooze(time) => {
            let time = span(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            let now = format!("snoozed for {time}. `worker jobs retry {id}` runs it earlier.");
            (State::Snoozed, now)
        }
        _ => (State::Ready, "now ready.".to_owned()),
    };
    output.print(&json!({ "id": id, "was": was, "state": state }), || {
        format!("Job {id} was {was} and is {now}")
    });
    Ok(())
}

/// Cancels or discards jobs. A job that refuses does not stop the others, but the command fails.
async fn cancel(
    client: &dyn QueueClient,
    output: Output,
    SeveralJobs { ids, why }: &SeveralJobs,
    action: JobAction,
) -> Result<(), Exit> {
    let ids: Vec<Uuid> = ids.iter().map(|id| parse(id)).collect::<Result<_, _>>()?;
    let mut refused = Ok(());
    for id in ids {
        match client.act(id, action, &why.reason).await {
            Ok(was) => output.print(&json!({ "id": id, "was": was }), || match was {
                State::Running => {
                    format!("Job {id} is running and stops when its worker next renews the lease.")
                }
                was => format!("Job {id} was {was} and is now cancelled."),
            }),
            Err(error) if error.is_of_one_job() => {
                say(&format!("worker: {error}"));
                refused = Err(Exit::FAILED);
            }
            Err(error) => return Err(error.into()),
        }
    }
    refused
}

async fn failures(client: &dyn QueueClient, output: Output) -> Result<(), Exit> {
    let groups = client.failures().await?;
    let now = client.summary().await?.at_ms;
    output.print_all(&groups, |group| shown::group(group, now));
    if groups.is_empty() {
        say("worker: no current failures");
    }
    Ok(())
}

fn parse(id: &str) -> Result<Uuid, Exit> {
    let wrong = |_| {
        anyhow!("`{}` is not a job id; `worker jobs list` shows the ids", one_line(id, MAX_QUOTE))
    };
    id.parse().map_err(wrong).or_usage()
}
