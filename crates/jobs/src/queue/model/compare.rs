//! The comparison after an operation, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use uuid::Uuid;

use super::Checked;
use super::case::Case;
use super::events;
use super::job::Job;
use super::operations::{GATEWAYS, WORKERS, gateway};
use super::sleepers::name;
use crate::queue::State;

impl Case<'_> {
    /// Compares everything that is visible. Ended jobs that nothing should have happened to are
    /// compared at the end.
    pub(super) async fn compare(&mut self) -> Checked {
        let lanes: Vec<Uuid> = (0..GATEWAYS).map(gateway).collect();
        let mut call = self.bench.shown.prepare_invoke();
        call.key(self.bench.scripts.keys.prefix()).arg(&State::ALL.map(State::as_str)[..]).arg("");
        call.arg(lanes.iter().map(Uuid::to_string).collect::<Vec<_>>()).arg("");
        call.arg((0..WORKERS).map(|worker| format!("wake:{}", name(worker))).collect::<Vec<_>>())
            .arg("wake")
            .arg("");
        let live =
            self.model.jobs.values().filter(|job| !job.state.is_terminal()).map(|job| job.id);
        let looked_at: BTreeSet<Uuid> = live.chain(self.model.touched.iter().copied()).collect();
        call.arg(looked_at.iter().map(Uuid::to_string).collect::<Vec<_>>());
        let answer = call.invoke_async(&mut self.bench.connection).await.unwrap();
        let (changed, events): (Vec<String>, Vec<String>) = answer;
        self.shown.extend(changed.chunks(2).map(|part| (part[0].clone(), part[1].clone())));

        self.model.forget_groups();
        // The jobs that have changed on either side are compared.
        let mut jobs = std::mem::take(&mut self.model.touched);
        let mut expected = if jobs.is_empty() && changed.is_empty() {
            BTreeMap::new()
        } else {
            self.model.shown(&lanes)
        };
        jobs.extend(
            changed.iter().filter_map(|part| part.strip_prefix("job ")?.parse::<Uuid>().ok()),
        );
        for id in jobs {
            let text = self.model.jobs.get(&id).map(Job::text).unwrap_or_default();
            expected.insert(format!("job {id}"), text);
        }
        for (part, expected) in expected {
            let shown = self.shown.get(&part).map(String::as_str).unwrap_or_default();
            if shown != expected {
                Err(format!("{part} is\n{shown}\nand should be\n{expected}"))?;
            }
        }
        self.check_expiry()?;
        // The order of events of different jobs is free.
        let mut told =
            events.iter().map(|json| events::read(json)).collect::<Result<Vec<_>, _>>()?.concat();
        let mut expected = std::mem::take(&mut self.model.events);
        told.sort_by(|(a, _), (b, _)| a.cmp(b));
        expected.sort_by(|(a, _), (b, _)| a.cmp(b));
        same("events", &told, &expected)?;
        self.sleepers
            .check(&self.model, self.shown.get("wakes").map(String::as_str).unwrap_or_default())
    }

    /// Checks that jobs with an expiry are noted as long as they wait, and no longer than they
    /// live.
    fn check_expiry(&self) -> Checked {
        let noted = self.shown.get("expiry").map(String::as_str).unwrap_or_default();
        let noted: Vec<&str> = noted.split_whitespace().collect();
        for job in self.model.jobs.values() {
            let expires = job.expires_at.is_some();
            let is_noted = noted.contains(&job.name.as_str());
            if is_noted && (!expires || job.state.is_terminal())
                || !is_noted && expires && job.waits()
            {
                let (name, state) = (&job.name, job.state);
                Err(format!("{name} is {state} and should not be; noted to expire: {noted:?}"))?;
            }
        }
        Ok(())
    }

    /// Checks that Redis holds nothing but what is kept on purpose.
    pub(super) async fn check_nothing_is_left(&mut self) -> Checked {
        let prefix = self.bench.scripts.keys.prefix().to_owned();
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("*").query_async(&mut self.bench.connection).await.unwrap();
        let kept = "state:done state:dead state:superseded state:cancelled layout seq turn \
            token job more out line document: gateway gateways agents deleted remembered connections \
            heartbeats: applied idem: wake pulse healed alone calm minute: audit quarter: hour: rolled \
            group restarts failures pauses test-";
        let documents = self.model.documents();
        for key in keys {
            let name = key
                .strip_prefix(&format!("{prefix}:"))
                .ok_or_else(|| format!("{key} is not the queue's"))?;
            if name != "events" && !kept.split(' ').any(|kept| name.starts_with(kept)) {
                Err(format!("{key} is left"))?;
            }
        }
        let jobs: BTreeSet<Uuid> = self.model.jobs.keys().copied().collect();
        let all: BTreeSet<Uuid> = jobs.union(&documents).copied().collect();
        let mut stored = BTreeSet::new();
        for number in 0..GATEWAYS {
            let lane = gateway(number);
            stored.extend(self.fields(&self.bench.scripts.keys.documents(&lane.to_string())).await);
        }
        same("documents", &stored, &all)?;
        same("heads", &self.fields(&self.bench.scripts.keys.jobs()).await, &jobs)?;
        for key in ["more", "out"] {
            let left = self.fields(&format!("{prefix}:{key}")).await;
            if let Some(id) = left.difference(&jobs).next() {
                Err(format!("{key} of {id} is left"))?;
            }
        }
        Ok(())
    }

    /// Returns the jobs that have an entry in a hash.
    async fn fields(&self, key: &str) -> BTreeSet<Uuid> {
        let mut connection = self.bench.connection.clone();
        let ids: Vec<String> =
            redis::cmd("HKEYS").arg(key).query_async(&mut connection).await.unwrap();
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }
}

pub(super) fn same<T: PartialEq + Debug>(what: &str, got: &T, expected: &T) -> Checked {
    if got == expected {
        Ok(())
    } else {
        Err(format!("{what}: got\n{got:?}\nand should have got\n{expected:?}").into())
    }
}
