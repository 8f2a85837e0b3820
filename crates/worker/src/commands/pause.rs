//! `worker pause` and `worker resume`: stop workers from claiming jobs, or let them claim again.

use mission_jobs::queue::{Pause, PauseScope};
use serde_json::json;

use crate::cli::{ApiTarget, PauseTarget};
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::queue_client::with_client;
use crate::settings::Settings;

/// Pauses a scope, or resumes it.
pub async fn run(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    target: &PauseTarget,
    reason: &str,
    pause: bool,
) -> Result<(), Exit> {
    let scope = match (&target.kind, &target.gateway) {
        (Some(kind), _) => format!("kind:{kind}").parse::<PauseScope>().or_usage()?,
        (_, Some(gateway)) => format!("gateway:{gateway}").parse().or_usage()?,
        _ => PauseScope::All,
    };
    let changed =
        with_client(settings, at, async |client| Ok(client.pause(&scope, pause, reason).await?))
            .await?;
    output.print(&json!({ "scope": scope, "paused": pause, "changed": changed }), || {
        match (pause, changed) {
            (true, _) => {
                format!("Paused {scope}. No new jobs are claimed; running jobs continue.")
            }
            (false, true) => format!("Resumed {scope}."),
            (false, false) => format!("{scope} was not paused."),
        }
    });
    Ok(())
}

/// Describes a pause in one line, with the command that ends it.
pub fn in_words(pause: &Pause) -> String {
    let Pause { scope, by, reason, .. } = pause;
    let end = match scope {
        PauseScope::All => "worker resume".to_owned(),
        PauseScope::Kind(kind) => format!("worker resume --kind {kind}"),
        PauseScope::Gateway(id) => format!("worker resume --gateway {id}"),
    };
    format!("{scope} paused by {by}: {reason} (resume with `{end}`)")
}
