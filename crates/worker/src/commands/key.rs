//! `worker key new|reseal`: keys that the secrets of jobs are sealed with.

use anyhow::anyhow;
use mission_jobs::queue::{Filter, MAX_PAGE};
use mission_jobs::{Keyring, Queue, State};
use serde_json::json;

use crate::cli::Key;
use crate::commands::queue_error;
use crate::exit::{Exit, OrExit};
use crate::open_queue::Store;
use crate::output::Output;
use crate::private_redis::RedisRole;
use crate::settings::Settings;

/// How often all jobs are gone through: those that move meanwhile are met the next time.
const ROUNDS: usize = 5;

/// Runs the command.
pub async fn run(settings: &Settings, output: Output, command: &Key) -> Result<(), Exit> {
    match command {
        Key::New => {
            let key = Keyring::generate();
            output.print(&json!({ "key": key.as_str() }), || key.to_string());
            Ok(())
        }
        Key::Reseal => {
            if settings.keyring.is_empty() {
                return Err(anyhow!(
                    "there is no key to seal with; set secrets.key (MISSION_SECRET_KEY)"
                ))
                .or_usage();
            }
            let store = Store::open(settings, RedisRole::Command).await?;
            let resealed = reseal(&store.queue).await;
            store.close().await;
            let (resealed, left) = resealed?;
            let first = settings.keyring.ids().next().unwrap_or_default();
            output.print(&json!({ "key": first, "resealed": resealed, "left": left }), || {
                format!(
                    "{resealed} jobs sealed anew with key {first}; {left} are sealed with \
                    keys that are not here"
                )
            });
            if left == 0 { Ok(()) } else { Err(Exit::FAILED) }
        }
    }
}

/// How many jobs were sealed anew, and how many could not be opened.
async fn reseal(queue: &Queue) -> Result<(u64, u64), Exit> {
    let (mut resealed, mut left) = (0, 0);
    for _ in 0..ROUNDS {
        let before = resealed;
        left = 0;
        for state in State::ALL {
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                let page = queue
                    .list(&Filter { cursor: from, limit: MAX_PAGE, ..Filter::new(state) })
                    .await;
                let page = page.map_err(queue_error)?;
                for job in &page.jobs {
                    resealed += u64::from(queue.reseal(job.id).await.map_err(queue_error)?);
                    left += u64::from(queue.document(job.id).await.is_err());
                }
                cursor = page.next;
            }
        }
        if resealed == before {
            break;
        }
    }
    Ok((resealed, left))
}
