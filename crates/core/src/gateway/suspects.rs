//! Agents that a gateway may find fault with, where it does not say with which of a write.
//!
//! Such a write is cut in halves until the agent is found that is at fault. Gateways take few
//! writes a minute, so what was learnt is kept: the next write leaves out the half that the fault
//! is in, and what is right is written although the fault is not found yet.

use std::collections::BTreeSet;

/// Most groups that are remembered; the oldest are forgotten first, which costs refused writes.
const MAX_GROUPS: usize = 64;

/// Groups of agents, by their ids on the gateway. Each has an agent at fault in it, as far as is
/// known.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    groups: Vec<BTreeSet<String>>,
}

impl Suspects {
    /// Picks what to write next: the agents that are not under suspicion, else the first group that
    /// has some of these agents.
    pub(crate) fn pick(&self, agents: &BTreeSet<String>) -> BTreeSet<String> {
        let trusted: BTreeSet<_> =
            agents.iter().filter(|agent| !self.has(agent)).cloned().collect();
        if !trusted.is_empty() {
            return trusted;
        }
        let groups = self.groups.iter().map(|group| group & agents);
        groups.into_iter().find(|group| !group.is_empty()).unwrap_or_default()
    }

    /// Remembers that a write of these agents was refused. Returns the agent that is at fault, if
    /// it was the only one; else they are in two groups from now on.
    pub(crate) fn refused(&mut self, agents: &BTreeSet<String>) -> Option<String> {
        self.clear(agents);
        if let (1, Some(agent)) = (agents.len(), agents.first()) {
            self.push(agents.clone());
            return Some(agent.clone());
        }
        let mut halves = [BTreeSet::new(), BTreeSet::new()];
        for (at, agent) in agents.iter().enumerate() {
            halves[usize::from(at >= agents.len() / 2)].insert(agent.clone());
        }
        for half in halves {
            self.push(half);
        }
        None
    }

    /// Remembers that a write of these agents was taken, or that they are as they should be.
    pub(crate) fn clear(&mut self, agents: &BTreeSet<String>) {
        for group in &mut self.groups {
            group.retain(|agent| !agents.contains(agent));
        }
        self.groups.retain(|group| !group.is_empty());
    }

    fn has(&self, agent: &str) -> bool {
        self.groups.iter().any(|group| group.contains(agent))
    }

    fn push(&mut self, group: BTreeSet<String>) {
        self.groups.push(group);
        if self.groups.len() > MAX_GROUPS {
            self.groups.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(agents: &[&str]) -> BTreeSet<String> {
        agents.iter().map(|agent| (*agent).to_owned()).collect()
    }

    /// Writes all agents, some of them at fault, and returns how many writes that took.
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
    fn halving_finds_each_agent_at_fault() {
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
    fn what_is_under_suspicion_is_written_last() {
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
