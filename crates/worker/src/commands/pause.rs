//! `worker pause` and `worker resume`: stop all workers from taking some jobs, or let them go on.

use mission_jobs::queue::{Pause, Scope};
use serde_json::json;

use crate::cli::{ApiTarget, PauseScope};
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::queue_client::{Console, ConsoleError};
use crate::settings::Settings;

/// Pauses, or resumes.
pub async fn run(
    settings: &Settings,
    output: Output,
    at: &ApiTarget,
    what: &PauseScope,
    reason: &str,
    pause: bool,
) -> Result<(), Exit> {
    let scope: Scope = match (&what.kind, &what.gateway) {
        (Some(kind), _) => format!("kind:{kind}").parse().or_usage()?,
        (_, Some(gateway)) => format!("gateway:{gateway}").parse().or_usage()?,
        _ => Scope::All,
    };
    let console = Console::open(settings, at.api.as_deref()).await?;
    let done = console.pause(&scope, pause, reason).await;
    console.close().await;
    let changed = done.map_err(ConsoleError::exit)?;
    output.print(&json!({ "scope": scope, "paused": pause, "changed": changed }), || {
        match (pause, changed) {
            (true, _) => format!("{scope} is paused: running jobs go on, no new ones are taken"),
            (false, true) => format!("{scope} is resumed"),
            (false, false) => format!("{scope} was not paused"),
        }
    });
    Ok(())
}

/// A pause in one line, with the command that ends it.
pub fn in_words(pause: &Pause) -> String {
    let Pause { scope, by, reason, .. } = pause;
    let end = match scope {
        Scope::All => "worker resume".to_owned(),
        Scope::Kind(kind) => format!("worker resume --kind {kind}"),
        Scope::Gateway(id) => format!("worker resume --gateway {id}"),
    };
    format!("{scope} is paused by {by}: {reason}; `{end}` lets it go on")
}
