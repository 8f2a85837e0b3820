//! The reads of records, which need no script.

use redis::cmd;

use super::Scripts;
use crate::queue::error::QueueError;

impl Scripts {
    /// Returns the record of a gateway's connection, as it is stored.
    pub(crate) async fn connection_record(
        &self,
        lane: &str,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        self.read("connections", cmd("HGET").arg(self.keys.connections()).arg(lane)).await
    }

    /// Returns the number of a gateway's agents that are to be deleted, are wanted and are deleted.
    pub(crate) async fn agent_counts(&self, lane: &str) -> Result<[u64; 3], QueueError> {
        let mut counts = [0; 3];
        for (score, count) in counts.iter_mut().enumerate() {
            let mut command = cmd("ZCOUNT");
            command.arg(self.keys.listed(lane)).arg(score).arg(score);
            *count = self.read("agents", &command).await?;
        }
        Ok(counts)
    }

    /// Returns the ids of a gateway's agents from a place on, and their records as they are stored.
    pub(crate) async fn listed_agents(
        &self,
        lane: &str,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<String>, Vec<Option<Vec<u8>>>), QueueError> {
        let mut list = cmd("ZRANGE");
        list.arg(self.keys.listed(lane)).arg(from).arg(from.saturating_add(limit as u64 - 1));
        let ids: Vec<String> = self.read("agents", &list).await?;
        if ids.is_empty() {
            return Ok((ids, Vec::new()));
        }
        let mut records = cmd("HMGET");
        records.arg(self.keys.agents());
        for id in &ids {
            records.arg(format!("{lane}/{id}"));
        }
        let records = self.read("agents", &records).await?;
        Ok((ids, records))
    }

    /// Returns the number of records of connections and of agents.
    pub(crate) async fn record_counts(&self) -> Result<(u64, u64), QueueError> {
        let count = async |key| self.read("records", cmd("HLEN").arg(key)).await;
        Ok((count(self.keys.connections()).await?, count(self.keys.agents()).await?))
    }
}
