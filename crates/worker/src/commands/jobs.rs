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
    with_client(settings, at, async |client| {
        let run = Run { client, output };
        match command {
            Jobs::List { query, state, limit } => {
                run.list(query, state.as_deref(), *limit as usize).await
            }
            Jobs::Show { id } => run.show(id).await,
            Jobs::Retry { id, force, why } => {
                run.act(id, JobAction::Retry { force: *force }, why).await
            }
            Jobs::Unblock { id, why } => run.act(id, JobAction::Unblock, why).await,
            Jobs::Snooze { id, time, why } => run.act(id, JobAction::Snooze(*time), why).await,
            Jobs::Cancel(jobs) => run.cancel(jobs, JobAction::Cancel).await,
            Jobs::Discard(jobs) => run.cancel(jobs, JobAction::Discard).await,
            Jobs::Failures => run.failures().await,
        }
    })
    .await
}

/// A subcommand with the queue and the output that it uses.
struct Run<'a> {
    client: &'a dyn QueueClient,
    output: Output,
}

impl Run<'_> {
    async fn list(&self, query: &[String], state: Option<&str>, limit: usize) -> Result<(), Exit> {
        let mut search: Search = query.join(" ").parse().or_usage()?;
        search.states.extend(state.map(known_state).transpose()?);
        for paused in &self.client.summary().await?.paused {
            say(&format!("worker: {}", pause::in_words(paused)));
        }
        let (mut left, mut after) = (limit, None);
        while left > 0 {
            let found = self.client.search(&search, after.as_ref(), left).await?;
            left = left.saturating_sub(found.jobs.len());
            self.output.print_all(&found.jobs, shown::line);
            let Some(next) = found.next else { break };
            after = Some(next);
        }
        Ok(())
    }

    async fn show(&self, id: &str) -> Result<(), Exit> {
        let job = self.client.job(parse(id)?).await?;
        let summary = self.client.summary().await?;
        self.output.print(&job, || shown::story(&job, &summary));
        Ok(())
    }

    /// Retries, unblocks or snoozes a job.
    async fn act(&self, id: &str, action: JobAction, why: &Reason) -> Result<(), Exit> {
        let id = parse(id)?;
        let was = match self.client.act(id, action, &why.reason).await {
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
        self.output.print(&json!({ "id": id, "was": was, "state": state }), || {
            format!("Job {id} was {was} and is {now}")
        });
        Ok(())
    }

    /// Cancels or discards jobs. A job that refuses does not stop the others, but the command
    /// fails.
    async fn cancel(&self, jobs: &SeveralJobs, action: JobAction) -> Result<(), Exit> {
        let ids: Vec<Uuid> = jobs.ids.iter().map(|id| parse(id)).collect::<Result<_, _>>()?;
        let mut refused = Ok(());
        for id in ids {
            match self.client.act(id, action, &jobs.why.reason).await {
                Ok(was) => self.output.print(&json!({ "id": id, "was": was }), || match was {
                    State::Running => format!(
                        "Job {id} is running and stops when its worker next renews the lease."
                    ),
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

    async fn failures(&self) -> Result<(), Exit> {
        let groups = self.client.failures().await?;
        let now = self.client.summary().await?.at_ms;
        self.output.print_all(&groups, |group| shown::group(group, now));
        if groups.is_empty() {
            say("worker: no current failures");
        }
        Ok(())
    }
}

fn known_state(name: &str) -> Result<State, Exit> {
    let names = || State::ALL.map(State::as_str).join(", ");
    State::from_name(name)
        .ok_or_else(|| anyhow!("`{name}` is not a state; use one of {}", names()))
        .or_usage()
}

fn parse(id: &str) -> Result<Uuid, Exit> {
    let wrong = |_| {
        anyhow!("`{}` is not a job id; `worker jobs list` shows the ids", one_line(id, MAX_QUOTE))
    };
    id.parse().map_err(wrong).or_usage()
}
