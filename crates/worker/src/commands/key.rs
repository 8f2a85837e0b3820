//! `worker key new` and `worker key reseal`: create a key for the secrets of jobs, and seal the
//! secrets of all jobs with it.

use anyhow::anyhow;
use mission_core::humanize::count;
use mission_jobs::queue::{Filter, MAX_PAGE};
use mission_jobs::{Keyring, Queue, State};
use serde_json::json;

use crate::cli::Key;
use crate::exit::Exit;
use crate::open_queue::with_store;
use crate::output::Output;
use crate::settings::Settings;
use mission_jobs::private_redis::RedisRole;

/// Limit of passes over all jobs. A job that moves during one pass is found by the next.
const ROUNDS: usize = 5;

/// Runs one of the subcommands; resealing fails if some jobs cannot be opened.
pub async fn run(settings: &Settings, output: Output, command: &Key) -> Result<(), Exit> {
    match command {
        Key::New => {
            let key = Keyring::generate();
            output.print(&json!({ "key": key.as_str() }), || key.to_string());
            Ok(())
        }
        Key::Reseal => {
            let first = settings.keyring.ids().next().ok_or_else(|| {
                Exit::usage(anyhow!("no key is configured; set secrets.key (MISSION_SECRET_KEY)"))
            })?;
            let role = RedisRole::Command;
            let (resealed, left) =
                with_store(settings, role, async |store| reseal(&store.queue).await).await?;
            output.print(&json!({ "key": first, "resealed": resealed, "left": left }), || {
                format!(
                    "Resealed {} with key {first}; {} sealed with keys that are not configured.",
                    count(resealed, "job"),
                    if left == 1 {
                        "1 job is".to_owned()
                    } else {
                        format!("{} are", count(left, "job"))
                    }
                )
            });
            if left == 0 { Ok(()) } else { Err(Exit::FAILED) }
        }
    }
}

/// Reseals all jobs. Returns how many were resealed and how many could not be opened.
async fn reseal(queue: &Queue) -> Result<(u64, u64), Exit> {
    let (mut resealed, mut left) = (0, 0);
    for _ in 0..ROUNDS {
        let before = resealed;
        left = 0;
        for state in State::ALL {
            let mut cursor = Some(Vec::new());
            while let Some(from) = cursor {
                let filter = Filter { cursor: from, limit: MAX_PAGE, ..Filter::new(state) };
                let page = queue.list(&filter).await?;
                for job in &page.jobs {
                    let gateway = job.lane.parse().unwrap_or_default();
                    resealed += u64::from(queue.reseal(gateway, job.id).await?);
                    left += u64::from(queue.document(job.id).await.is_err());
                }
                cursor = page.next;
            }
        }
        for (gateway, id) in queue.record_documents().await? {
            resealed += u64::from(queue.reseal(gateway, id).await?);
        }
        if resealed == before {
            break;
        }
    }
    Ok((resealed, left))
}
