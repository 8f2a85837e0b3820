//! `worker jobs list|show|retry|cancel|discard`: look at jobs and act on them.

use std::fmt::Write as _;

use anyhow::anyhow;
use jiff::Timestamp;
use mission_jobs::queue::{Filter, MAX_PAGE};
use mission_jobs::{JobRecord, Queue, QueueError, State};
use serde_json::json;
use uuid::Uuid;

use crate::cli::Jobs;
use crate::commands::{author, pause, queue_error};
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::private_redis::Use;
use crate::settings::Settings;
use crate::store::Store;
use crate::story::{Reader, Story};
use crate::words::utc_time;

/// Runs the command.
pub async fn run(settings: &Settings, output: Output, command: &Jobs) -> Result<(), Exit> {
    let store = Store::open(settings, Use::Command).await?;
    let done = match command {
        Jobs::List { state, limit } => list(&store.queue, output, state.as_deref(), *limit as usize).await,
        Jobs::Show { id } => show(&store.queue, output, id).await,
        Jobs::Retry { id, force } => retry(&store.queue, output, id, *force).await,
        Jobs::Cancel { ids, reason } => end(&store.queue, output, ids, reason, false).await,
        Jobs::Discard { ids, reason } => end(&store.queue, output, ids, reason, true).await,
    };
    store.close().await;
    done
}

async fn list(queue: &Queue, output: Output, state: Option<&str>, limit: usize) -> Result<(), Exit> {
    let states = match state {
        Some(name) => vec![known_state(name)?],
        None => by_urgency(),
    };
    for paused in queue.paused().await.map_err(queue_error)? {
        eprintln!("worker: {}", pause::in_words(&paused));
    }
    let mut left = limit;
    for state in states {
        let mut cursor = Some(0);
        while let (Some(from), true) = (cursor, left > 0) {
            let filter = Filter { cursor: from, limit: left.min(MAX_PAGE), ..Filter::new(state) };
            let page = queue.list(&filter).await.map_err(queue_error)?;
            left = left.saturating_sub(page.jobs.len());
            for job in &page.jobs {
                output.print(job, || line(job));
            }
            cursor = page.next;
        }
    }
    Ok(())
}

fn known_state(name: &str) -> Result<State, Exit> {
    let names = || State::ALL.map(State::as_str).join(", ");
    State::from_name(name).ok_or_else(|| anyhow!("`{name}` is no state; use one of {}", names())).or_usage()
}

/// All states; what needs a person comes first, what has ended last.
fn by_urgency() -> Vec<State> {
    let mut states = State::ALL.to_vec();
    states.sort_by_key(|state| (*state != State::Blocked, state.is_terminal()));
    states
}

async fn show(queue: &Queue, output: Output, id: &str) -> Result<(), Exit> {
    let job = find(queue, id).await?;
    output.print(&job, || story(&job));
    Ok(())
}

async fn retry(queue: &Queue, output: Output, id: &str, force: bool) -> Result<(), Exit> {
    let id = parse(id)?;
    queue.retry(id, force, &author(), "").await.map_err(|error| match error {
        QueueError::Outdated { .. } => failed(anyhow!("{error}: worker jobs retry {id} --force")),
        error => queue_error(error),
    })?;
    output.print(&json!({ "id": id, "state": State::Ready }), || format!("{id} is ready to run again"));
    Ok(())
}

/// Cancels jobs; to discard is to cancel those that are dead. Goes on after one that cannot be, and fails at the end.
async fn end(queue: &Queue, output: Output, ids: &[String], why: &str, dead_only: bool) -> Result<(), Exit> {
    let ids: Vec<Uuid> = ids.iter().map(|id| parse(id)).collect::<Result<_, _>>()?;
    let mut refused = Ok(());
    for id in ids {
        if dead_only && let Some(job) = queue.get(id).await.map_err(queue_error)?.filter(|job| job.state != State::Dead)
        {
            eprintln!("worker: job {id} is {}, and only dead jobs are discarded; see worker jobs cancel", job.state);
            refused = Err(Exit::FAILED);
            continue;
        }
        match queue.cancel(id, &author(), why).await {
            Ok(was) => output.print(&json!({ "id": id, "was": was }), || match was {
                State::Running => format!("{id} runs; it is stopped when its worker next renews the lease"),
                was => format!("{id} was {was} and is cancelled"),
            }),
            Err(error) if error.is_unavailable() => return Err(queue_error(error)),
            Err(error) => {
                eprintln!("worker: {error}");
                refused = Err(Exit::FAILED);
            }
        }
    }
    refused
}

fn failed(error: anyhow::Error) -> Exit {
    Err::<(), _>(error).or_failed().expect_err("it is an error")
}

async fn find(queue: &Queue, id: &str) -> Result<JobRecord, Exit> {
    let id = parse(id)?;
    queue
        .get(id)
        .await
        .map_err(queue_error)?
        .ok_or_else(|| anyhow!("there is no job {id} on queue {}", queue.name()))
        .or_failed()
}

fn parse(id: &str) -> Result<Uuid, Exit> {
    id.parse().map_err(|_| anyhow!("`{id}` is not a job's id; `worker jobs list` shows them")).or_usage()
}

fn line(job: &JobRecord) -> String {
    let why = job.failure.as_ref().filter(|_| job.state != State::Done).map_or("", |failure| &failure.message);
    format!("{} {:10} {:14} {:>2}/{} {why}", job.id, job.state.as_str(), job.kind, job.attempts, job.max_attempts)
}

/// Everything about a job, for a person: first why it is where it is and what to do.
fn story(job: &JobRecord) -> String {
    let told = Story::of(job, Reader::Terminal, now_ms());
    let mut text = line(job);
    let _ = write!(text, "\n  {}", told.sentence);
    if let Some(remedy) = &told.remedy {
        let _ = write!(text, "\n  what to do     {remedy}");
    }
    if let Some(failure) = &job.failure {
        let _ = write!(text, "\n  last failure   {}: {}", failure.code, failure.message);
    }
    if let Some(reason) = &job.reason {
        let _ = write!(text, "\n  reason         {reason}");
    }
    if let Some(cancel) = &job.cancel {
        let _ = write!(text, "\n  to be stopped  {cancel}");
    }
    if let Some(newer) = &job.superseded_by {
        let _ = write!(text, "\n  replaced by    {newer}");
    }
    if !job.inherited.is_empty() {
        let _ = write!(text, "\n  inherited      {}", job.inherited.join(", "));
    }
    let times = [
        ("enqueued", Some(job.enqueued_at_ms)),
        ("started", job.started_at_ms),
        ("ended", job.finished_at_ms),
        ("next try", job.next_at_ms),
        ("expires", job.expires_at_ms.filter(|_| !job.state.is_terminal())),
    ];
    for (what, at) in times {
        if let Some(at) = at {
            let _ = write!(text, "\n  {what:14} {}", utc_time(at));
        }
    }
    for run in &job.history {
        let took = run.ended_at_ms.saturating_sub(run.started_at_ms);
        let message = run.result.message.as_deref().unwrap_or_default();
        let _ = write!(
            text,
            "\n  run {:<3} {} {:>6} ms {:10} {message}",
            run.number,
            utc_time(run.started_at_ms),
            took,
            run.result.outcome
        );
    }
    text
}

/// What time it is here: near enough to Redis's clock for a sentence.
fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}
