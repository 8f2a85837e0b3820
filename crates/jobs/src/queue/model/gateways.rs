//! The actions on whole gateways: their connections.

use uuid::Uuid;

use super::Checked;
use super::case::{Case, WHY, author};
use super::compare::same;
use super::machine::{Lane, Model, More};
use super::operations::{Put, gateway};
use super::records::Connection;
use crate::queue::State;
use crate::queue::redis::scripts::lua;

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
        } else if new.fingerprint != before.fingerprint {
            self.reconnected.insert(lane);
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
}

impl Case<'_> {
    pub(super) async fn put_gateway(&mut self, put: &Put) -> Checked {
        let document = self.new_id();
        let revision = put.revision.map(|revision| revision.to_string()).unwrap_or_default();
        let ids = (gateway(put.gateway).to_string(), document.to_string());
        let own = (ids, revision, put.fingerprint, "{}");
        let scripts = &self.bench.scripts;
        let answer: (String, String) =
            scripts.act(lua::connection, &author(), WHY, own).await?;
        same("put", &answer, &self.model.put_gateway(put, document))
    }
}
