//! The slots of the workers: how many there are, and which gateways take them.

use mission_core::humanize::number;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::queue::states::State;
use crate::queue::{GatewayRecord, WorkerRecord};

/// The most gateways that are named.
const MOST: usize = 3;

/// The slots of all workers that take jobs, by their last heartbeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Slots {
    /// The number of jobs that these workers may run at once.
    pub all: u64,
    /// The number of jobs that they run.
    pub in_use: u64,
    /// `true` if each worker has at most the last tenth of its slots free, which is kept for
    /// gateways that run little.
    pub full: bool,
    /// The three gateways with the most running jobs, while the slots are full.
    pub busiest: Vec<Busy>,
}

/// A gateway with running jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Busy {
    /// The id of the gateway.
    pub gateway: Uuid,
    /// The name of the gateway, if it is known.
    pub name: Option<String>,
    /// The number of its jobs that run.
    pub running: u64,
}

impl Slots {
    pub(crate) fn of(workers: &[WorkerRecord]) -> Self {
        let workers = || workers.iter().filter(|worker| !worker.gone && !worker.draining);
        // A job that shares the run of another needs no slot.
        let running = |worker: &WorkerRecord| worker.running.min(worker.concurrency);
        let reserve = |slots: u64| if slots < 4 { 0 } else { (slots / 10).max(1) };
        let is_full = |worker: &WorkerRecord| {
            worker.running > 0
                && running(worker) + reserve(worker.concurrency) >= worker.concurrency
        };
        Self {
            all: workers().map(|worker| worker.concurrency).sum(),
            in_use: workers().map(running).sum(),
            full: workers().next().is_some() && workers().all(is_full),
            busiest: Vec::new(),
        }
    }

    /// Names the gateways with the most running jobs.
    pub(crate) fn by(mut self, gateways: &[GatewayRecord]) -> Self {
        let busy = |gateway: &GatewayRecord| Busy {
            gateway: gateway.id,
            name: gateway.name.clone(),
            running: gateway.jobs.of(State::Running),
        };
        self.busiest = gateways.iter().map(busy).filter(|busy| busy.running > 0).collect();
        self.busiest.sort_by_key(|busy| std::cmp::Reverse(busy.running));
        self.busiest.truncate(MOST);
        self
    }

    /// Says that the slots are full, and which gateways take most of them; none if some are free:
    /// `230 of 256 slots are taken, most by Acme (64) and Umbrella (64)`.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let in_words = |busy: &Busy| {
            let name = busy.name.clone().filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| busy.gateway.to_string()[..8].to_owned());
            format!("{name} ({})", number(busy.running))
        };
        let names: Vec<String> = self.busiest.iter().map(in_words).collect();
        let by = match &names[..] {
            [] => String::new(),
            [one] => format!(", most by {one}"),
            [others @ .., last] => format!(", most by {} and {last}", others.join(", ")),
        };
        let (in_use, all) = (number(self.in_use), number(self.all));
        self.full.then(|| format!("{in_use} of {all} slots are taken{by}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(running: u64, concurrency: u64) -> WorkerRecord {
        WorkerRecord {
            name: "w".to_owned(),
            host: "h".to_owned(),
            version: "1".to_owned(),
            pid: 1,
            started_at_ms: 0,
            seen_at_ms: 0,
            gone: false,
            running,
            concurrency,
            draining: false,
        }
    }

    #[test]
    fn slots_are_full_when_each_worker_has_only_its_reserve_left() {
        for (workers, full) in [
            (vec![], false),
            (vec![worker(0, 1)], false),
            (vec![worker(1, 1)], true),
            (vec![worker(229, 256)], false),
            (vec![worker(231, 256)], true),
            (vec![worker(231, 256), worker(3, 8)], false),
            (vec![worker(231, 256), worker(7, 8)], true),
            (vec![worker(256, 256), WorkerRecord { draining: true, ..worker(0, 8) }], true),
        ] {
            assert_eq!(Slots::of(&workers).full, full, "{workers:?}");
        }
    }

    #[test]
    fn full_slots_name_the_gateways_that_take_most() {
        let busy = |name: &str, running| Busy {
            gateway: Uuid::nil(),
            name: Some(name.to_owned()),
            running,
        };
        let busiest = vec![busy("Acme", 64), busy("Umbrella", 63)];
        let slots = Slots { busiest, ..Slots::of(&[worker(240, 256)]) };
        let expected = "240 of 256 slots are taken, most by Acme (64) and Umbrella (63)";
        assert_eq!(slots.in_words().as_deref(), Some(expected));
        assert_eq!(Slots::of(&[worker(2, 256)]).in_words(), None);
        let nameless = [None, Some(String::new())];
        let busiest = nameless.map(|name| Busy { name, ..busy("", 1) }).to_vec();
        let slots = Slots { busiest, ..Slots::of(&[worker(240, 256)]) };
        let expected = "240 of 256 slots are taken, most by 00000000 (1) and 00000000 (1)";
        assert_eq!(slots.in_words().as_deref(), Some(expected));
    }
}
