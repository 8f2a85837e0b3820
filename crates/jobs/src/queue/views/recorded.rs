//! The records of a gateway and its agents, as people may see them.

use mission_core::Job;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::Queue;
use crate::queue::error::QueueError;
use crate::queue::redis::binary::{AgentRecord, ConnectionRecord, Phase};
use crate::queue::views::gateway_view::{GatewayRecord, shown_name, shown_url};

/// The most agents on one page.
pub const MAX_AGENTS: usize = 100;

/// The records of a gateway: its connection, and how many agents it should have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Recorded {
    /// The connection that all jobs of the gateway use; none if no document has had one.
    pub connection: Option<RecordedConnection>,
    /// The number of its agents in each phase.
    pub agents: AgentCounts,
}

/// A gateway and its records.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GatewayDetails {
    /// The gateway, whose fields stand beside those of its records in JSON.
    #[serde(flatten)]
    pub gateway: GatewayRecord,
    /// Its records.
    #[serde(flatten)]
    pub records: Recorded,
}

/// The connection that all jobs of a gateway use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RecordedConnection {
    /// The main backend's number of the connection, if it counts.
    pub revision: Option<u64>,
    /// The time when the connection came, in milliseconds since 1970 by Redis's clock.
    pub at_ms: Option<u64>,
    /// The id of the document that it came with: of a job, which may be gone, unless it was stored
    /// alone.
    pub document: Uuid,
    /// `true` if it was stored without a job.
    pub stored_alone: bool,
    /// The gateway's name; none if it is empty or the document cannot be opened here.
    pub name: Option<String>,
    /// The url, without secrets; none if the document cannot be opened here.
    pub url: Option<String>,
}

/// The number of agents in each phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentCounts {
    /// Agents that the gateway should have.
    pub wanted: u64,
    /// Agents that a cleanup is to remove.
    pub deleting: u64,
    /// Agents that were removed within the last day.
    pub deleted: u64,
}

/// An agent as the newest documents want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RecordedAgent {
    /// The agent's id.
    pub id: Uuid,
    /// The phase of its life.
    pub phase: AgentPhase,
    /// The main backend's number of its newest state, if it counts.
    pub generation: Option<u64>,
    /// `true` if a run has proven its newest state on the gateway.
    pub observed: bool,
    /// The things that a run still has to do once.
    pub owed: Vec<Owed>,
    /// The job of its newest document, which may be gone.
    pub job: Option<Uuid>,
}

/// The phase of an agent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AgentPhase {
    /// The gateway should have it.
    Wanted,
    /// A cleanup is to remove it.
    Deleting,
    /// It was removed; it is remembered for a day.
    Deleted,
}

/// A thing that a run has to do once for an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Owed {
    /// Write BOOTSTRAP.md.
    Bootstrap,
    /// Reset the session.
    Reset,
    /// Send the wake message.
    Wake,
    /// Provision it for the first time.
    Provision,
}

/// A page of the agents of a gateway: first those to be deleted, then those that are wanted, then
/// the deleted ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentPage {
    /// The agents.
    pub agents: Vec<RecordedAgent>,
    /// The place where the next page begins; none after the last. Agents that change meanwhile may
    /// appear twice or not at all.
    pub next: Option<u64>,
}

impl AgentPhase {
    /// Returns the name, such as `deleting`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

impl Owed {
    /// Returns the name, such as `wake`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Reset => "reset",
            Self::Wake => "wake",
            Self::Provision => "provision",
        }
    }

    const fn of(letter: char) -> Option<Self> {
        match letter {
            'f' => Some(Self::Bootstrap),
            'r' => Some(Self::Reset),
            'w' => Some(Self::Wake),
            'p' => Some(Self::Provision),
            _ => None,
        }
    }
}

impl RecordedAgent {
    fn of(id: Uuid, record: &AgentRecord) -> Self {
        Self {
            id,
            phase: match record.phase {
                None => AgentPhase::Wanted,
                Some(Phase::Deleting) => AgentPhase::Deleting,
                Some(Phase::Deleted) => AgentPhase::Deleted,
            },
            generation: record.generation,
            observed: record.phase.is_none() && record.observed == Some(record.seq),
            owed: record.owed().into_keys().filter_map(Owed::of).collect(),
            job: record.job,
        }
    }
}

impl Queue {
    /// Returns the records of a gateway.
    pub async fn recorded(&self, gateway: Uuid) -> Result<Recorded, QueueError> {
        let lane = gateway.to_string();
        let shard = self.shards.of_lane(gateway).await?;
        let record = shard.connection_record(&lane).await?;
        let connection = match record.as_deref().and_then(ConnectionRecord::read) {
            Some(record) => Some(self.recorded_connection(gateway, record).await?),
            None => None,
        };
        let [deleting, wanted, deleted] = shard.agent_counts(&lane).await?;
        Ok(Recorded { connection, agents: AgentCounts { wanted, deleting, deleted } })
    }

    /// Returns a gateway with its records; none if nothing is known of it.
    pub async fn gateway_details(&self, id: Uuid) -> Result<Option<GatewayDetails>, QueueError> {
        let Some(gateway) = self.gateway(id).await? else { return Ok(None) };
        Ok(Some(GatewayDetails { gateway, records: self.recorded(id).await? }))
    }

    async fn recorded_connection(
        &self,
        gateway: Uuid,
        record: ConnectionRecord,
    ) -> Result<RecordedConnection, QueueError> {
        let id = record.document;
        let job = self.connection_document(gateway, id).await?;
        let gateway = job.as_ref().and_then(Job::gateway);
        Ok(RecordedConnection {
            revision: record.revision,
            at_ms: Some(record.at_ms),
            document: id,
            stored_alone: record.subject.ends_with("/connection"),
            name: gateway.and_then(|gateway| shown_name(&gateway.name)),
            url: gateway.map(shown_url),
        })
    }

    async fn connection_document(
        &self,
        gateway: Uuid,
        id: Uuid,
    ) -> Result<Option<Job>, QueueError> {
        let shard = self.shards.of_lane(gateway).await?;
        let document = shard.documents([(gateway.to_string(), id)].into()).await?.remove(&id);
        let opened = document.and_then(|document| self.keyring.open(&document).ok());
        Ok(opened.and_then(|document| Job::parse(&document).ok()))
    }

    /// Returns a document with the connection that all jobs of the gateway use, which contains its
    /// address and token; none if there is none, or it cannot be opened here.
    pub async fn connection_in_force(&self, gateway: Uuid) -> Result<Option<Job>, QueueError> {
        let shard = self.shards.of_lane(gateway).await?;
        let record = shard.connection_record(&gateway.to_string()).await?;
        match record.as_deref().and_then(ConnectionRecord::read) {
            Some(record) => self.connection_document(gateway, record.document).await,
            None => Ok(None),
        }
    }

    /// Returns the agents that are recorded on a gateway, from a place on; at most `limit` (1 to
    /// [`MAX_AGENTS`]).
    pub async fn recorded_agents(
        &self,
        gateway: Uuid,
        from: u64,
        limit: usize,
    ) -> Result<AgentPage, QueueError> {
        let limit = limit.clamp(1, MAX_AGENTS);
        let shard = self.shards.of_lane(gateway).await?;
        let (listed, records) = shard.listed_agents(&gateway.to_string(), from, limit).await?;
        let next = (listed.len() == limit).then_some(from + limit as u64);
        let agents = listed.iter().zip(&records);
        let agents = agents.filter_map(|(id, record)| {
            let record = AgentRecord::read(record.as_deref()?)?;
            Some(RecordedAgent::of(id.parse().ok()?, &record))
        });
        Ok(AgentPage { agents: agents.collect(), next })
    }

    /// Returns the number of gateways and of agents that records hold documents of, with their
    /// tokens.
    pub async fn record_counts(&self) -> Result<(u64, u64), QueueError> {
        let counts = self.shards.ask(|shard| async move { shard.record_counts().await }).await?;
        Ok(counts.iter().fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1)))
    }
}
