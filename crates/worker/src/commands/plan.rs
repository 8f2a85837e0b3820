//! `worker plan FILE`: shows what `worker apply` of the same document would change.

use std::path::Path;

use mission_core::apply::Plan;
use mission_core::outcome::Failure;
use serde::Serialize;

use crate::commands::{applier, gateway_exit, next, read_job};
use crate::exit::Exit;
use crate::output::Output;
use crate::settings::Settings;

/// The JSON output of the command.
#[derive(Serialize)]
struct Answer<'a> {
    plan: Option<&'a Plan>,
    error: Option<&'a Failure>,
}

/// Plans the job document in `file`.
pub async fn run(settings: &Settings, output: Output, file: &Path) -> Result<(), Exit> {
    let job = read_job(file)?;
    let planned = Box::pin(applier(settings)?.plan(&job)).await;
    let (plan, error) = match &planned {
        Ok(plan) => (Some(plan), None),
        Err(outcome) => (None, outcome.failure()),
    };
    output.print(&Answer { plan, error }, || match (plan, error) {
        (Some(plan), _) => for_people(plan),
        (None, None) => String::new(),
        (None, Some(failure)) => format!("{}{}", failure.message, next(failure)),
    });
    gateway_exit(error)
}

fn for_people(plan: &Plan) -> String {
    let mut lines = vec![plan.summary.clone()];
    for change in &plan.changes {
        lines.push(format!("  write    {}", change.what));
        lines.extend(change.diff.lines().map(|line| format!("    {line}")));
    }
    lines.extend(
        plan.skipped.iter().map(|skipped| format!("  skip     {}: {}", skipped.what, skipped.why)),
    );
    lines.join("\n")
}
