//! `worker pause` and `worker resume`: stop all workers from taking some jobs, or let them go on.

use mission_jobs::queue::{Pause, Scope};
use serde_json::json;

use crate::cli::What;
use crate::commands::{author, queue_error};
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::private_redis::Use;
use crate::settings::Settings;
use crate::store::Store;

/// Pauses, or resumes.
pub async fn run(settings: &Settings, output: Output, what: &What, reason: &str, pause: bool) -> Result<(), Exit> {
    let scope: Scope = match (&what.kind, &what.gateway) {
        (Some(kind), _) => format!("kind:{kind}").parse().or_usage()?,
        (_, Some(gateway)) => format!("gateway:{gateway}").parse().or_usage()?,
        _ => Scope::All,
    };
    let store = Store::open(settings, Use::Command).await?;
    let done = if pause {
        store.queue.pause(&scope, &author(), reason).await.map(|()| true)
    } else {
        store.queue.resume(&scope, &author(), reason).await
    };
    store.close().await;
    let changed = done.map_err(queue_error)?;
    output.print(&json!({ "scope": scope, "paused": pause, "changed": changed }), || match (pause, changed) {
        (true, _) => format!("{scope} is paused: running jobs go on, no new ones are taken"),
        (false, true) => format!("{scope} is resumed"),
        (false, false) => format!("{scope} was not paused"),
    });
    Ok(())
}

/// A pause in one line.
pub fn in_words(pause: &Pause) -> String {
    let Pause { scope, by, reason, .. } = pause;
    format!("{scope} is paused by {by}: {reason}; `worker resume` lets it go on")
}
