//! The agents that a gateway may have rejected, if it does not name the rejected agent of a write.
//!
//! Such a write is halved until the faulty agent is found. Gateways accept few writes a minute, so
//! the knowledge is kept: the next write leaves out the half with the fault, and the other agents
//! are written before the fault is found.

use std::collections::BTreeSet;

/// The most groups that are remembered; the oldest are forgotten first, which costs refused writes.
const MAX_GROUPS: usize = 64;

/// Groups of agents, by their ids on the gateway. As far as is known, each group contains a faulty
/// agent.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    groups: Vec<BTreeSet<String>>,
}

impl Suspects {
    /// Returns the agents to write next: those not under suspicion, otherwise the first group that
    /// contains some of the given agents.
    pub(crate) fn pick(&self, agents: &BTreeSet<String>) -> BTreeSet<String> {
        let has = |agent: &String| self.groups.iter().any(|group| group.contains(agent));
        let trusted: BTreeSet<_> = agents.iter().filter(|agent| !has(agent)).cloned().collect();
        if !trusted.is_empty() {
            return trusted;
        }
        let mut groups = self.groups.iter().map(|group| group & agents);
        groups.find(|group| !group.is_empty()).unwrap_or_default()
    }

    /// Records that a write of these agents was refused. Returns the faulty agent if it was the
    /// only one; otherwise splits the agents into two groups.
    pub(crate) fn refused(&mut self, agents: &BTreeSet<String>) -> Option<String> {
        self.clear(agents);
        let mut rest = agents.iter().cloned();
        let half: BTreeSet<_> = rest.by_ref().take(agents.len() / 2).collect();
        let halves = [half, rest.collect()];
        self.groups.extend(halves.into_iter().filter(|half| !half.is_empty()));
        self.groups.drain(..self.groups.len().saturating_sub(MAX_GROUPS));
        agents.first().filter(|_| agents.len() == 1).cloned()
    }

    /// Records that a write of these agents succeeded, or that they are as desired.
    pub(crate) fn clear(&mut self, agents: &BTreeSet<String>) {
        for group in &mut self.groups {
            group.retain(|agent| !agents.contains(agent));
        }
        self.groups.retain(|group| !group.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(agents: &[&str]) -> BTreeSet<String> {
        agents.iter().map(|agent| (*agent).to_owned()).collect()
    }

    /// Writes all agents, some of them faulty, and returns the number of writes and the agents
    /// found.
    fn write_all(
        agents: &BTreeSet<String>,
        faulty: &BTreeSet<String>,
    ) -> (usize, BTreeSet<String>) {
        let (mut suspects, mut left, mut found, mut writes) =
            (Suspects::default(), agents.clone(), BTreeSet::new(), 0);
        while !left.is_empty() {
            writes += 1;
            let group = suspects.pick(&left);
            assert!(!group.is_empty() && writes < 100);
            if group.is_disjoint(faulty) {
                suspects.clear(&group);
                left.retain(|agent| !group.contains(agent));
            } else if let Some(agent) = suspects.refused(&group) {
                left.remove(&agent);
                found.insert(agent);
            }
        }
        (writes, found)
    }

    #[test]
    fn halving_finds_each_faulty_agent() {
        let names: Vec<String> = (0..50).map(|n| format!("agent-{n:02}")).collect();
        let all: BTreeSet<_> = names.iter().cloned().collect();
        for faulty in
            [set(&["agent-07"]), set(&["agent-00", "agent-49"]), set(&["agent-10", "agent-11"])]
        {
            let (writes, found) = write_all(&all, &faulty);
            assert_eq!(found, faulty);
            assert!(writes <= 13 * faulty.len(), "{writes}");
        }
        assert_eq!(write_all(&all, &BTreeSet::new()), (1, BTreeSet::new()));
    }

    #[test]
    fn agents_under_suspicion_are_written_last() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.refused(&set(&["a", "b", "c", "d"])), None);
        assert_eq!(suspects.pick(&set(&["a", "c", "e"])), set(&["e"]));
        assert_eq!(suspects.pick(&set(&["a", "c"])), set(&["a"]));
        suspects.clear(&set(&["a", "b"]));
        assert_eq!(suspects.pick(&set(&["a", "c"])), set(&["a"]));
        assert_eq!(suspects.refused(&set(&["c"])), Some("c".to_owned()));
        assert_eq!(suspects.pick(&set(&["c", "x"])), set(&["x"]));
    }
}
