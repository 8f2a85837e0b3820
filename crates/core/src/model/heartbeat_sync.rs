//! Merging heartbeat-syncs, and leaving agents out of one.

use std::collections::HashSet;

use uuid::Uuid;

use super::HeartbeatSync;

impl HeartbeatSync {
    /// Merges this sync with a newer one of the same gateway. The result has the newer gateway
    /// section and, for each agent, the newer entry.
    ///
    /// Agents that only the older sync names come first. Two agents can share a name on the
    /// gateway, and there the last entry counts; with this order the last entry is also the newest.
    #[must_use]
    pub fn merge(mut self, newer: Self) -> Self {
        let named: HashSet<Uuid> =
            newer.agents.iter().chain(&newer.left_out).map(|agent| agent.id).collect();
        self.agents.retain(|agent| !named.contains(&agent.id));
        self.left_out.retain(|agent| !named.contains(&agent.id));
        self.agents.extend(newer.agents);
        self.left_out.extend(newer.left_out);
        Self { gateway: newer.gateway, ..self }
    }

    /// Leaves out the agents with these ids: a cleanup removes or has removed them, or a newer job
    /// decides about their heartbeats. Call this before [merging](Self::merge), because a newer job
    /// may name them again.
    pub fn leave_out(&mut self, ids: &HashSet<Uuid>) {
        let left_out = self.agents.extract_if(.., |agent| ids.contains(&agent.id));
        self.left_out.extend(left_out);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Job;

    const ADA: Uuid = Uuid::from_u128(1);
    const BO: Uuid = Uuid::from_u128(2);
    const CY: Uuid = Uuid::from_u128(3);

    /// Returns a sync with the heartbeat interval `every` for these agents.
    fn sync(every: &str, agents: &[Uuid]) -> HeartbeatSync {
        let agent =
            |id: &Uuid| json!({ "id": id, "name": "x", "heartbeat_config": { "every": every } });
        let document = json!({
            "version": 1,
            "kind": "heartbeat-sync",
            "gateway": {
                "id": Uuid::from_u128(9), "name": every, "url": "ws://localhost",
                "workspace_root": "/w",
            },
            "agents": agents.iter().map(agent).collect::<Vec<_>>(),
        });
        match Job::from_value(document) {
            Ok(Job::HeartbeatSync(sync)) => *sync,
            other => panic!("{other:?}"),
        }
    }

    fn agents(sync: &HeartbeatSync) -> Vec<(Uuid, &Value)> {
        sync.agents.iter().map(|agent| (agent.id, &agent.heartbeat_config["every"])).collect()
    }

    fn left_out(sync: &HeartbeatSync) -> Vec<Uuid> {
        sync.left_out.iter().map(|agent| agent.id).collect()
    }

    #[test]
    fn the_newest_entry_of_each_agent_counts_and_comes_last() {
        let merged = sync("1m", &[ADA, BO]).merge(sync("2m", &[BO, CY])).merge(sync("3m", &[ADA]));
        assert_eq!(agents(&merged), [(BO, &json!("2m")), (CY, &json!("2m")), (ADA, &json!("3m"))]);
        assert_eq!(merged.gateway.name, "3m");
        assert_eq!(agents(&sync("1m", &[ADA]).merge(sync("2m", &[]))), [(ADA, &json!("1m"))]);
    }

    #[test]
    fn entries_within_one_job_stay_as_they_are() {
        let merged = sync("1m", &[ADA, ADA]).merge(sync("2m", &[BO, BO]));
        assert_eq!(
            agents(&merged).iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            [ADA, ADA, BO, BO]
        );
    }

    #[test]
    fn an_agent_that_was_cleaned_up_is_left_out_unless_a_newer_job_names_it() {
        let gone = HashSet::from([ADA, BO]);
        let mut older = sync("1m", &[ADA, BO, CY]);
        older.leave_out(&gone);
        assert_eq!((agents(&older), left_out(&older)), (vec![(CY, &json!("1m"))], vec![ADA, BO]));

        let merged = older.clone().merge(sync("2m", &[ADA]));
        assert_eq!(agents(&merged), [(CY, &json!("1m")), (ADA, &json!("2m"))]);
        assert_eq!(left_out(&merged), [BO]);
    }

    #[test]
    fn an_agent_that_the_newer_job_leaves_out_is_left_out_once() {
        let gone = HashSet::from([ADA]);
        let mut newer = sync("2m", &[ADA]);
        newer.leave_out(&gone);
        let mut older = sync("1m", &[ADA, BO]);
        assert_eq!(left_out(&older.clone().merge(newer.clone())), [ADA]);
        older.leave_out(&gone);
        let merged = older.merge(newer);
        assert_eq!((agents(&merged), left_out(&merged)), (vec![(BO, &json!("1m"))], vec![ADA]));
    }
}
