//! `worker enqueue FILE…`: validates job documents and enqueues them.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use mission_core::model::DocumentError;
use mission_jobs::queue::MAX_ENQUEUE;
use mission_jobs::{Enqueued, Envelope, IdempotencyKey, State};

use crate::cli::EnqueueOptions;
use crate::commands::{read_input, report_padded};
use crate::exit::{Exit, OrExit};
use crate::open_queue::with_store;
use crate::output::Output;
use crate::settings::Settings;
use mission_jobs::private_redis::RedisRole;

/// Enqueues the documents in `files`. All of them are read and checked before any is enqueued.
pub async fn run(
    settings: &Settings,
    output: Output,
    files: &[PathBuf],
    options: &EnqueueOptions,
) -> Result<(), Exit> {
    let mut jobs = Vec::new();
    for file in files {
        read_jobs(file, &read_input(file)?, &mut jobs).or_usage()?;
    }
    if options.idempotency_key.is_some() && jobs.len() != 1 {
        return Err(Exit::usage(anyhow!(
            "--idempotency-key applies to a single job, but there are {}; enqueue them one by one",
            jobs.len()
        )));
    }
    let jobs = jobs.into_iter().map(|job| with_options(job, options));
    let jobs = jobs.collect::<Result<Vec<_>, _>>().or_usage()?;
    if jobs.iter().any(Envelope::expires_too_soon) {
        return Err(Exit::usage(anyhow!(
            "--expires-in must be longer than --delay, or the job expires before it is due"
        )));
    }
    with_store(settings, RedisRole::Command, async |store| {
        for jobs in jobs.chunks(MAX_ENQUEUE) {
            let stored = store.queue.enqueue_to_replicas(jobs, options.replicas).await?;
            output.print_all(&stored, for_people);
            if let Some(first) = stored.iter().find(|job| job.other_document) {
                return Err(Exit::failed(anyhow!(
                    "this --idempotency-key belongs to job {}, which has another document, so \
                        nothing was enqueued; use another key",
                    first.id
                )));
            }
            let wanted = u64::from(options.replicas);
            if let Some(found) = stored.iter().filter_map(|job| job.replicas).min()
                && found < wanted
            {
                return Err(Exit::failed(anyhow!(
                    "the jobs are stored, but only {found} of {wanted} replicas have confirmed \
                        them, so a failover may lose them; check the replicas of Redis"
                )));
            }
        }
        Ok(())
    })
    .await
}

fn with_options(mut job: Envelope, options: &EnqueueOptions) -> anyhow::Result<Envelope> {
    job = job.with_priority(options.priority);
    if let Some(delay) = options.delay {
        job = job.with_delay(delay);
    }
    if let Some(expires_in) = options.expires_in {
        job = job.with_expiry(expires_in);
    }
    if let Some(key) = &options.idempotency_key {
        job = job.with_idempotency_key(IdempotencyKey::new(key.as_str())?);
    }
    Ok(job)
}

/// Reads one document, or one document per line, and appends the jobs.
fn read_jobs(file: &Path, text: &[u8], jobs: &mut Vec<Envelope>) -> anyhow::Result<()> {
    let whole = Envelope::new(text);
    let lines = (1..).zip(text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii));
    let filled: Vec<_> = lines.filter(|(_, line)| !line.is_empty()).collect();
    let is_lines = filled.len() > 1
        && filled.iter().all(|(_, line)| line.starts_with(b"{") && line.ends_with(b"}"));
    match whole {
        Ok(job) => {
            report_padded(&file.display().to_string(), text);
            jobs.push(job);
        }
        Err(_) if is_lines => {
            for (number, line) in filled {
                let place = || format!("{} line {number}", file.display());
                jobs.push(Envelope::new(line).map_err(indented).with_context(place)?);
                report_padded(&place(), line);
            }
        }
        Err(error) => return Err(indented(error)).with_context(|| file.display().to_string()),
    }
    Ok(())
}

/// Puts each of several problems on an indented line of its own.
fn indented(error: DocumentError) -> anyhow::Error {
    if error.problems.len() == 1 {
        error.into()
    } else {
        anyhow!("\n  {}", error.to_string().replace('\n', "\n  "))
    }
}

fn for_people(job: &Enqueued) -> String {
    let state = job.state.map_or("already removed", State::as_str);
    let replaced =
        job.superseded.iter().fold(String::new(), |text, id| format!("{text}, replaces {id}"));
    let earlier = if job.duplicate {
        ", the earlier job with this idempotency key; nothing was enqueued"
    } else {
        ""
    };
    format!("{} {state}{replaced}{earlier}", job.id)
}
