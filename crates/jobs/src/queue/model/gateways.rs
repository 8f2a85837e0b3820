//! The actions on whole gateways: their connections, pauses, and what it means to forget them.

use uuid::Uuid;

use super::Checked;
use super::case::{BY, Case, WHY};
use super::compare::same;
use super::machine::{Lane, Model, More};
use super::operations::{GATEWAYS, Put, gateway};
use super::records::Connection;
use crate::queue::redis::scripts::lua;
use crate::queue::{Author, PauseScope, State};

impl Model {
    /// Applies a connection that was enqueued or stored. Returns whether it is in force.
    pub(super) fn connect(&mut self, lane: Uuid, mut new: Connection) -> bool {
        let known = self.records.connections.get(&lane);
        let before = known.cloned().unwrap_or_default();
        new.revision = new.revision.or(before.revision);
        if (new.revision, new.seq) < (before.revision, before.seq) {
            return false;
        }
        if new.fingerprint.is_empty() {
            new.fingerprint = before.fingerprint;
        }
        new.changed = before.changed;
        if new.fingerprint != before.fingerprint {
            self.reconnected.insert(lane);
            new.changed = self.now;
        }
        self.records.connections.insert(lane, new);
        true
    }

    /// Lets the lanes of gateways with other connections try again, and all jobs that these had
    /// refused.
    pub(super) fn free_reconnected(&mut self) {
        for lane in std::mem::take(&mut self.reconnected) {
            *self.lane(lane) = Lane::default();
            let refused = self.jobs.values().filter(|job| job.lane == lane && job.freeable);
            for id in refused.map(|job| job.id).collect::<Vec<_>>() {
                self.job(id).freed = false;
                self.go(id, State::Ready, More::default());
            }
        }
    }

    /// Returns the answer of the call.
    fn put_gateway(&mut self, put: &Put, document: Uuid) -> (String, String) {
        let lane = gateway(put.gateway);
        let connection = Connection {
            revision: put.revision,
            seq: self.number(),
            document,
            fingerprint: put.fingerprint,
            ..Connection::default()
        };
        let is_new = !self.records.connections.contains_key(&lane);
        let result = match self.connect(lane, connection) {
            false => "outdated",
            true if is_new || self.reconnected.contains(&lane) => "changed",
            true => "same",
        };
        self.free_reconnected();
        let revision = self.records.connections.get(&lane).and_then(|known| known.revision);
        let revision = revision.map(|revision| revision.to_string()).unwrap_or_default();
        (result.to_owned(), revision)
    }

    /// Returns the answer of the last call.
    fn forget(&mut self, lane: Uuid, force: bool) -> (&'static str, String) {
        let of_lane = |subject: &String| subject.starts_with(&lane.to_string());
        let agents = self.records.agents.iter().filter(|(subject, _)| of_lane(subject));
        let wanted = agents.filter(|(_, record)| record.phase != Some("deleted")).count();
        let waiting = self.jobs.values().filter(|job| job.lane == lane && job.waits());
        let waiting: Vec<Uuid> = waiting.map(|job| job.id).collect();
        let running = self.running(lane).count();
        if running > 0 {
            return ("running", running.to_string());
        }
        if !force && wanted > 0 {
            return ("agents", wanted.to_string());
        }
        if !force && !waiting.is_empty() {
            return ("jobs", waiting.len().to_string());
        }
        for id in waiting {
            let why = format!("cancelled by {BY}: its gateway is forgotten: {WHY}");
            let by = Some(BY.to_owned());
            self.go(id, State::Cancelled, More { by, ..More::reason(&why) });
        }
        let known = self.records.agents.keys().filter(|subject| of_lane(subject)).cloned();
        for subject in known.chain([format!("{lane}/heartbeats")]).collect::<Vec<_>>() {
            self.latest.remove(&subject);
            self.newest.remove(&subject);
        }
        self.records.agents.retain(|subject, _| !of_lane(subject));
        self.records.applied.retain(|subject, _| !of_lane(subject));
        self.records.heartbeats.retain(|(of, _), _| *of != lane);
        self.records.connections.remove(&lane);
        self.lanes.remove(&lane);
        self.windows.remove(&lane);
        ("forgotten", String::new())
    }
}

impl Case<'_> {
    pub(super) async fn put_gateway(&mut self, put: &Put) -> Checked {
        let document = self.new_id();
        let revision = put.revision.map(|revision| revision.to_string()).unwrap_or_default();
        let ids = (gateway(put.gateway).to_string(), document.to_string());
        let own = (ids, revision, put.fingerprint, "{}");
        let scripts = &self.bench.scripts;
        let answer: (String, String) = scripts.act(lua::connection, &author(), WHY, own).await?;
        same("put", &answer, &self.model.put_gateway(put, document))
    }
    pub(super) async fn pause(&mut self, pause: bool, scope: u8) -> Checked {
        let mut scopes = vec![PauseScope::All];
        scopes.extend(mission_core::Kind::ALL.map(PauseScope::Kind));
        scopes.extend((0..GATEWAYS).map(|number| PauseScope::Gateway(gateway(number))));
        let scope = scopes[usize::from(scope)].to_string();
        let (scripts, action) = (&self.bench.scripts, if pause { "pause" } else { "resume" });
        let answer = scripts.act(lua::pause, &author(), WHY, (action, &scope)).await?;
        same("pause", &answer, &self.model.pause(pause, &scope, BY, WHY))
    }

    pub(super) async fn forget(&mut self, number: u8, force: bool) -> Checked {
        let lane = gateway(number);
        let mut from = String::new();
        let answer: (String, String) = loop {
            let scripts = &self.bench.scripts;
            let own = (lane.to_string(), force, &from);
            let answer: (String, String) = scripts.act(lua::forget, &author(), WHY, own).await?;
            if answer.0 != "more" {
                break answer;
            }
            from = answer.1;
        };
        // Nothing is known of a gateway only if the model knows nothing of it either.
        if answer.0 == "unknown" {
            let has_jobs = self.model.jobs.values().any(|job| job.lane == lane && job.waits());
            let is_connected = self.model.records.connections.contains_key(&lane);
            return same("forget", &(has_jobs || is_connected), &false);
        }
        let (result, rest) = self.model.forget(lane, force);
        same("forget", &answer, &(result.to_owned(), rest))
    }
}

/// Returns the author of all actions.
pub(super) fn author() -> Author {
    Author::new(BY, "a test")
}
