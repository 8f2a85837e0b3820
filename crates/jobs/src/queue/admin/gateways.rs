//! The connections of gateways, which producers and people store without a job.

use mission_core::Job;
use mission_core::model::DocumentError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::envelope::Envelope;
use crate::queue::Queue;
use crate::queue::admin::actor::Author;
use crate::queue::error::QueueError;
use crate::queue::redis::scripts::{id_or_empty, lua};

/// A valid connection of a gateway on its way into the queue: what job documents have as `gateway`.
#[derive(Debug, Clone)]
pub struct GatewayConnection(Envelope);

/// The result of storing a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StoredConnection {
    /// `false` if a newer revision is in force, so that nothing was stored.
    pub stored: bool,
    /// `true` if the gateway has another address, token or way of checking its certificate now. Its
    /// blocked jobs are tried again.
    pub changed: bool,
    /// The revision that is in force now, if the producer counts.
    pub revision: Option<u64>,
}

impl GatewayConnection {
    /// Checks the `gateway` of a job document, which must have a url.
    pub fn new(gateway: &Value) -> Result<Self, DocumentError> {
        // A sync without agents has nothing else that could be wrong.
        let document =
            json!({ "version": 1, "kind": "heartbeat-sync", "gateway": gateway, "agents": [] });
        Envelope::new(document.to_string().as_bytes()).map(Self)
    }

    /// Reads the JSON of the `gateway` of a job document. Does not check it further.
    pub fn read_json(text: &[u8]) -> Result<Value, DocumentError> {
        Job::read_json(text).map_err(|mut error| {
            for problem in error.problems.iter_mut().filter(|problem| problem.path != "$") {
                problem.path = format!("gateway.{}", problem.path);
            }
            error
        })
    }

    /// Returns the gateway's id.
    #[must_use]
    pub const fn gateway(&self) -> Uuid {
        self.0.lane
    }
}

/// The most steps in which a gateway is forgotten. A step takes a hundred jobs or agents.
const MOST_STEPS: usize = 100_000;

/// The thing that keeps a gateway from being forgotten, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InUse {
    /// Running jobs.
    #[error(
        "{} running; pause the gateway, then wait until they have ended, or cancel them",
        of_its(*.0, "job")
    )]
    Running(u64),
    /// Agents that are not deleted.
    #[error(
        "{} not deleted; enqueue a cleanup for each, or use force (`--force`) to forget them \
         without removing them from the gateway",
        of_its(*.0, "agent")
    )]
    Agents(u64),
    /// Jobs that have not ended.
    #[error(
        "{} waiting; let them end, or use force (`--force`) to cancel them",
        of_its(*.0, "job")
    )]
    Waiting(u64),
}

impl Queue {
    /// Stores the connection of a gateway. All of its jobs use it from then on, and documents may
    /// name the gateway by its id alone. If it is another connection than before, blocked jobs of
    /// the gateway are tried again, each once.
    pub async fn put_gateway(
        &self,
        connection: &GatewayConnection,
        by: &Author,
        why: &str,
    ) -> Result<StoredConnection, QueueError> {
        let Envelope { id, lane, revision, fingerprint, payload, .. } =
            connection.0.sealed(&self.keyring);
        let revision = revision.map(|revision| revision.to_string()).unwrap_or_default();
        let ids = (id_or_empty(Some(lane)), id_or_empty(Some(id)));
        let own = (ids, revision, fingerprint.expose(), payload.expose());
        self.shards.check(true).await?;
        let shard = self.shards.of_lane(lane).await?;
        let (result, revision): (String, String) = shard.act(lua::connection, by, why, own).await?;
        Ok(StoredConnection {
            stored: result != "outdated",
            changed: result == "changed",
            revision: revision.parse().ok(),
        })
    }

    /// Forgets a gateway: its connection, its agents and its figures. Nothing is changed on the
    /// gateway itself.
    ///
    /// Refused with [`QueueError::GatewayInUse`] while jobs of it run and, without `force`, while
    /// jobs of it wait or agents are recorded on it. With `force`, waiting jobs are cancelled.
    pub async fn forget_gateway(
        &self,
        id: Uuid,
        force: bool,
        by: &Author,
        why: &str,
    ) -> Result<(), QueueError> {
        let script = lua::forget;
        let shard = self.shards.of_lane(id).await?;
        let mut from = String::new();
        for _ in 0..MOST_STEPS {
            let own = (id.to_string(), force, &from);
            let (result, rest): (String, String) = shard.act(script, by, why, own).await?;
            let count = || rest.parse().unwrap_or_default();
            let what = match result.as_str() {
                "forgotten" => return Ok(()),
                "unknown" => return Err(QueueError::UnknownGateway { id }),
                "running" => InUse::Running(count()),
                "agents" => InUse::Agents(count()),
                "jobs" => InUse::Waiting(count()),
                _ => {
                    from = rest;
                    continue;
                }
            };
            return Err(QueueError::GatewayInUse { id, what });
        }
        let reason = "jobs of the gateway keep coming".to_owned();
        Err(QueueError::Script { script: script.name, reason })
    }
}

/// Returns the beginning of a sentence, such as `1 of its agents is`.
fn of_its(number: u64, what: &str) -> String {
    format!("{number} of its {what}s {}", if number == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_in_use_is_and_several_are() {
        let [one, two] = [1, 2].map(|number| InUse::Agents(number).to_string());
        assert!(one.starts_with("1 of its agents is not deleted; enqueue"), "{one}");
        assert!(two.starts_with("2 of its agents are not deleted; enqueue"), "{two}");
        assert!(InUse::Running(1).to_string().contains("pause the gateway"));
    }
}
