//! `worker apply FILE`: runs one job document now, without a queue.

use std::path::Path;
use std::sync::Arc;

use mission_core::Outcome;
use mission_core::outcome::{Failure, Report};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::commands::{applier, gateway_exit, next, parse_job, read_input};
use crate::exit::Exit;
use crate::output::Output;
use crate::settings::Settings;

/// The JSON output of the command.
#[derive(Serialize)]
struct Answer<'a> {
    outcome: &'static str,
    report: Option<&'a Report>,
    error: Option<&'a Failure>,
}

/// Runs the job document in `file`.
pub async fn run(settings: &Settings, output: Output, file: &Path) -> Result<(), Exit> {
    let text = read_input(file)?;
    let job = parse_job(file, &text)?;
    if settings.redis_url.is_some() {
        tracing::warn!(
            "applying without the lease of the gateway; no worker should run its jobs meanwhile"
        );
    }
    // No queue assigns an id, so the id is a hash: the same document is the same job.
    let id = Uuid::from_slice(&Sha256::digest(&text)[..16]).expect("a hash has more bytes");
    let run = applier(settings)?.apply(&id.to_string(), &job, &Arc::default()).await;
    let outcome = &run.outcome;
    let report = if let Outcome::Done(report) = outcome { Some(&**report) } else { None };
    let answer = Answer { outcome: outcome.name(), report, error: outcome.failure() };
    output.print(&answer, || for_people(outcome));
    gateway_exit(outcome.failure())
}

fn for_people(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    if let Outcome::Done(report) = outcome {
        lines.push(report.summary.clone());
        lines.extend(report.written.iter().map(|written| format!("  wrote    {written}")));
        lines.extend(
            report
                .skipped
                .iter()
                .map(|skipped| format!("  skipped  {}: {}", skipped.what, skipped.why)),
        );
    }
    if let Some(failure) = outcome.failure() {
        lines.push(format!("{}: {}{}", outcome.name(), failure.message, next(failure)));
    }
    lines.join("\n")
}
