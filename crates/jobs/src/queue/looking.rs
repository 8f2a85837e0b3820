//! What people and programs look at.

#![expect(clippy::unused_async, reason = "what is not stored yet is empty")]

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::error::QueueError;
use super::search::{Cursor, Found, Search};
use super::{
    AuditEntry, Filter, GatewayRecord, Group, JobRecord, MAX_PAGE, Minute, Queue, State, Summary, WorkerRecord,
};

impl Queue {
    /// The jobs that are looked for, at most that many (1 to [`MAX_PAGE`]): those that need somebody first, then the other
    /// live ones, then the ended ones, latest first.
    pub async fn search(&self, search: &Search, after: Option<&Cursor>, limit: usize) -> Result<Found, QueueError> {
        let _ = after;
        let states = if search.states.is_empty() { &State::ALL[..] } else { &search.states };
        let mut found = Found { jobs: Vec::new(), next: None, looked_at: 0 };
        for state in states {
            let left = limit.clamp(1, MAX_PAGE).saturating_sub(found.jobs.len());
            let filter = Filter { kind: search.kind, lane: search.gateway, limit: left.max(1), ..Filter::new(*state) };
            found.jobs.extend(self.list(&filter).await?.jobs.into_iter().take(left));
        }
        Ok(found)
    }

    /// The jobs of an agent, the one that was enqueued last first.
    pub async fn agent_jobs(&self, _: Uuid, _: Uuid, _: usize) -> Result<Vec<JobRecord>, QueueError> {
        Ok(Vec::new())
    }

    /// Failures that jobs have not got past, the latest first, at most that many (1 to [`MAX_PAGE`]).
    pub async fn groups(&self, _: usize) -> Result<Vec<Group>, QueueError> {
        Ok(Vec::new())
    }

    /// What people did, newest first: before that entry, or the latest.
    pub async fn audit(&self, _: Option<&str>, _: usize) -> Result<Vec<AuditEntry>, QueueError> {
        Ok(Vec::new())
    }

    /// The workers that have been heard of in the last hour.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, QueueError> {
        Ok(Vec::new())
    }

    /// The queue at a glance.
    pub async fn summary(&self) -> Result<Summary, QueueError> {
        Ok(Summary { counts: self.counts().await?, paused: self.paused().await?, ..Summary::default() })
    }

    /// What happened in the last hours, the present one included, oldest first; 168 at most.
    pub async fn hours(&self, _: u64) -> Result<Vec<Minute>, QueueError> {
        Ok(Vec::new())
    }

    /// One gateway; none if no job has come for it.
    pub async fn gateway(&self, id: Uuid) -> Result<Option<GatewayRecord>, QueueError> {
        Ok(self.gateways(MAX_PAGE).await?.into_iter().find(|gateway| gateway.id == id))
    }

    /// Where the stream of events ends now: what comes later comes after this.
    pub async fn latest_event(&self) -> Result<String, QueueError> {
        Ok("0-0".to_owned())
    }

    /// The events after that one, some hundreds at most. If there are none, waits so long for the first. Meant for one
    /// reader in a process, because those who wait do so one after the other.
    pub async fn events(&self, _: &str, wait: Duration) -> Result<Vec<(String, Value)>, QueueError> {
        tokio::time::sleep(wait).await;
        Ok(Vec::new())
    }
}
