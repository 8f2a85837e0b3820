//! Makes what a queue of layout 1 lacks from its documents: the records of gateways and agents, and
//! secrets that are sealed for their gateway in place of their job.

use mission_core::{Kind, json, records};
use redis::{RedisResult, cmd, pipe};
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::AT_ONCE;
use crate::queue::error::QueueError;
use crate::queue::redis::scripts::lua;
use crate::queue::{Queue, State};
use crate::seal::{Keyring, OpenError, fingerprint};

/// The number of a job, of all that its map has.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// The values of a job for `migrate.lua`: parts, heartbeats, fingerprint, and its document if it
/// was sealed anew.
type Recorded = (String, String, String, Vec<u8>);

impl Queue {
    /// Returns the jobs that may still run, in the order of their numbers. Fails if the document of
    /// one of them is sealed with a key that is not known here.
    pub(super) async fn unended(&self) -> Result<Vec<String>, QueueError> {
        let mut found = Vec::new();
        for state in State::ALL.into_iter().filter(|state| may_run(*state)) {
            let key = self.keys().state(state);
            for first in (0_usize..).step_by(AT_ONCE) {
                let mut page = cmd("ZRANGE");
                page.arg(&key).arg(first).arg(first + AT_ONCE - 1);
                let ids: Vec<String> = self.first().await?.read("migrate", &page).await?;
                let heads = self.old_fields(&ids, "job").await?;
                let documents = self.old_fields(&ids, "payload").await?;
                for ((id, head), document) in ids.iter().zip(heads).zip(documents) {
                    recorded(self.keyring(), id, document)?;
                    if let Some(head) = head.as_deref().and_then(numbered) {
                        found.push((head.seq, id.clone()));
                    }
                }
                if ids.len() < AT_ONCE {
                    break;
                }
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// Makes the records of these jobs.
    pub(super) async fn record_unended(&self, ids: &[String]) -> Result<(), QueueError> {
        for some in ids.chunks(AT_ONCE) {
            let documents = self.old_fields(some, "payload").await?;
            let mut jobs = Vec::with_capacity(some.len());
            for (id, document) in some.iter().zip(documents) {
                jobs.extend(recorded(self.keyring(), id, document)?.map(|values| (id, values)));
            }
            self.first().await?.run::<()>(lua::migrate, ("record", jobs)).await?;
        }
        Ok(())
    }

    /// Reads a field of the keys of jobs. It is missing in a key that is no hash, which `migrate.lua`
    /// names.
    async fn old_fields(
        &self,
        ids: &[String],
        field: &str,
    ) -> Result<Vec<Option<Vec<u8>>>, QueueError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = pipe();
        for id in ids {
            commands.hget(self.keys().old_job(id), field);
        }
        commands.ignore_errors();
        let found: Vec<RedisResult<_>> = self.first().await?.read_all("migrate", &commands).await?;
        let fields = found.into_iter().map(|field| match field {
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
            field => field.map_err(|error| QueueError::from_redis("migrate", &error)),
        });
        fields.collect()
    }
}

/// Returns whether a job in this state runs, or can run again.
fn may_run(state: State) -> bool {
    !state.is_terminal() || state == State::Dead
}

fn numbered(packed: &[u8]) -> Option<Numbered> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(packed).with_human_readable();
    Numbered::deserialize(&mut reader).ok()
}

/// Returns what a document says for the records; none if there is none, or if it cannot be read.
fn recorded(
    keyring: &Keyring,
    id: &str,
    document: Option<Vec<u8>>,
) -> Result<Option<Recorded>, QueueError> {
    let Some(document) = document.map(Zeroizing::new) else { return Ok(None) };
    let (opened, anew) = match keyring.open_of_job(id, &document) {
        Ok(Some(opened)) => {
            let anew = keyring.seal(&opened).unwrap_or_default();
            (opened, anew)
        }
        Ok(None) => (document, Vec::new()),
        // It was sealed anew before the move was cut off, or nobody can open it.
        Err(OpenError::Corrupt { .. }) => (keyring.open(&document).unwrap_or(document), Vec::new()),
        Err(reason) => {
            let id = id.parse::<Uuid>().unwrap_or_default();
            return Err(QueueError::Sealed { id, reason });
        }
    };
    let Ok(content) = json::read(&opened) else { return Ok(None) };
    let is_sync = content["kind"] == Kind::HeartbeatSync.as_str();
    let heartbeats = records::heartbeats(&content);
    let heartbeats = if is_sync && !heartbeats.is_empty() {
        json!(heartbeats).to_string()
    } else {
        String::new()
    };
    let fingerprint = keyring.fingerprint(fingerprint::of(&content).as_bytes());
    Ok(Some((records::parts(&content), heartbeats, fingerprint, anew)))
}
