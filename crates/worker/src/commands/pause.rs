//! `worker pause` and `worker resume`: stop workers from claiming jobs, or let them claim again.

use mission_jobs::queue::{Pause, Scope};
use serde_json::json;

use crate::cli::{ApiTarget, PauseScope};
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::queue_client::with_client;
use crate::settings::Settings;

/// Pauses a scope, or resumes it.
pub async fn run(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    scope: &PauseScope,
    reason: &str,
    pause: bool,
) -> Result<(), Exit> {
    let scope: Scope = match (&scope.kind, &scope.gateway) {
        (Some(kind), _) => format!("kind:{kind}").parse().or_usage()?,
        (_, Some(gateway)) => format!("gateway:{gateway}").parse().or_usage()?,
        _ => Scope::All,
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
        Scope::All => "worker resume".to_owned(),
        Scope::Kind(kind) => format!("worker resume --kind {kind}"),
        Scope::Gateway(id) => format!("worker resume --gateway {id}"),
    };
    format!("{scope} paused by {by}: {reason} (resume with `{end}`)")
}
