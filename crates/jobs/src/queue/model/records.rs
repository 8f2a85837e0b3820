//! The records of the model: what documents ask for, merged over all jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use mission_core::Kind;
use uuid::Uuid;

use super::job::{Job, Time};
use super::machine::Model;
use crate::queue::State;
use crate::queue::redis::claim::RawClaim;

/// The time for which a deleted agent is remembered.
const REMEMBERED: Time = 24 * 3_600_000;

/// The record of an agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Agent {
    generation: Option<u64>,
    seq: u64,
    job: Uuid,
    observed: Option<u64>,
    pub(super) phase: Option<&'static str>,
    deleted_at: Time,
    /// While it is to be deleted: the number to which a cancellation returns, and whether it was
    /// deleted already.
    since: u64,
    gone: bool,
    desired: Option<Uuid>,
    token: Option<Uuid>,
    owed: BTreeMap<char, Uuid>,
}

/// The record of a gateway's connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Connection {
    pub(super) revision: Option<u64>,
    pub(super) seq: u64,
    pub(super) document: Uuid,
    pub(super) fingerprint: &'static str,
    /// The time when it became another one.
    pub(super) changed: Time,
}

/// Returns the number of a heartbeat as the queue keeps it.
fn number_of(heartbeat: &str) -> u64 {
    heartbeat.split_once(' ').map_or(0, |(number, _)| number.parse().unwrap())
}

/// All records, by subject, lane, and lane with agent.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) agents: BTreeMap<String, Agent>,
    pub(super) connections: BTreeMap<Uuid, Connection>,
    pub(super) heartbeats: BTreeMap<(Uuid, String), (u64, String)>,
    pub(super) applied: BTreeMap<String, String>,
}

/// The part of an agent's record that a run got when it was claimed: its number and what it owed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) seq: Option<u64>,
    pub(super) owed: BTreeMap<char, Uuid>,
    /// The number of the newest heartbeat-sync.
    pub(super) synced: u64,
}

impl Used {
    /// Reads the part of the record that a claim returned.
    pub(super) fn of(raw: &RawClaim) -> Self {
        let record = raw.record();
        record.map_or_else(Self::default, |record| Self {
            seq: Some(record.seq),
            owed: record.owed(),
            synced: number_of(&raw.heartbeat),
        })
    }

    /// Returns the letters and ids of what was owed, as `ack.lua` takes them.
    pub(super) fn carried(&self) -> String {
        let owed = self.owed.iter().map(|(letter, id)| format!("{letter}{id}"));
        let synced = (self.synced > 0).then(|| format!("h{}", self.synced));
        owed.chain(synced).collect()
    }
}

impl Model {
    /// Applies a document that is enqueued. Returns the job that has replaced it if it is outdated.
    pub(super) fn record_document(&mut self, id: Uuid) -> Result<(), Uuid> {
        let job = self.job(id).clone();
        if job.parts.contains('c') {
            let connection = Connection {
                revision: job.revision,
                seq: job.seq,
                document: id,
                fingerprint: job.fingerprint,
                ..Connection::default()
            };
            self.connect(job.lane, connection);
        }
        if job.kind != Kind::HeartbeatSync {
            self.heed_scheduled_cleanup(&job)?;
        }
        if job.kind == Kind::Cleanup { Ok(()) } else { self.record_agent(id) }
    }

    /// Compares the generation of a document with those of the cleanups of its agent that are not
    /// due yet. A document without one takes the highest, as from a record.
    fn heed_scheduled_cleanup(&mut self, job: &Job) -> Result<(), Uuid> {
        let cleanups = self.jobs.values().filter(|other| {
            other.kind == Kind::Cleanup
                && other.state == State::Scheduled
                && other.subject == job.subject
                && other.id != job.id
        });
        let highest =
            cleanups.filter_map(|other| Some((other.generation?, other.seq, other.id))).max();
        let Some((seen, _, newer)) = highest else { return Ok(()) };
        let known = self.records.agents.get(&job.subject).and_then(|record| record.generation);
        let generation = job.generation.unwrap_or(seen.max(known.unwrap_or_default()));
        self.job(job.id).generation = Some(generation);
        if generation < seen { Err(newer) } else { Ok(()) }
    }

    /// Applies a document to the record of its agent: when it is enqueued, or a cleanup when it is
    /// due.
    pub(super) fn record_agent(&mut self, id: Uuid) -> Result<(), Uuid> {
        let job = self.job(id).clone();
        if job.kind == Kind::HeartbeatSync {
            for (agent, heartbeat) in &job.heartbeats {
                let known = self.records.heartbeats.entry((job.lane, agent.clone())).or_default();
                if known.0 < job.seq {
                    *known = (job.seq, heartbeat.clone());
                }
            }
            return Ok(());
        }
        let before = self.records.agents.get(&job.subject).cloned().unwrap_or_default();
        let generation = job.generation.or(before.generation);
        if (generation, job.seq) < (before.generation, before.seq) {
            return Err(before.job);
        }
        let mut record = Agent { generation, seq: job.seq, job: id, ..before.clone() };
        if job.kind == Kind::Cleanup {
            if before.phase != Some("deleting") {
                record.since = before.seq;
            }
            record.gone |= before.phase == Some("deleted");
            record.phase = Some("deleting");
        } else {
            if before.phase.is_some() {
                record = Agent { generation, seq: job.seq, job: id, ..Agent::default() };
            }
            record.desired = Some(id);
            if job.parts.contains('t') {
                record.token = Some(id);
            }
            for letter in job.parts.chars().filter(|letter| "frwp".contains(*letter)) {
                record.owed.insert(letter, id);
            }
        }
        self.records.agents.insert(job.subject, record);
        Ok(())
    }

    /// Returns what a run of this job gets from the records.
    pub(super) fn used(&self, job: &Job) -> Used {
        self.records.agents.get(&job.subject).map_or_else(Used::default, |record| Used {
            seq: Some(record.seq),
            owed: record.owed.clone(),
            synced: number_of(&self.heartbeat_and_connection(job).0),
        })
    }

    /// Returns the heartbeat and the connection that a run of this job gets, as `claim.lua` returns
    /// them.
    pub(super) fn heartbeat_and_connection(&self, job: &Job) -> (String, String) {
        let agent = job.subject.split_once('/').map(|(_, agent)| agent.to_owned());
        let heartbeat = agent
            .filter(|_| job.kind != Kind::HeartbeatSync)
            .and_then(|agent| self.records.heartbeats.get(&(job.lane, agent)))
            .map(|(seq, text)| format!("{seq} {text}"));
        let connection = self.records.connections.get(&job.lane);
        let connection = connection.map(|connection| connection.document.to_string());
        (heartbeat.unwrap_or_default(), connection.unwrap_or_default())
    }

    /// Returns what was last applied to the agent of a job, as `claim.lua` returns it.
    pub(super) fn applied(&self, job: &Job) -> String {
        let applied = self.records.applied.get(&job.subject);
        applied.filter(|_| job.kind != Kind::Cleanup).cloned().unwrap_or_default()
    }

    /// Applies the end of a run that is done, and that has applied this to its agent.
    pub(super) fn observe(&mut self, job: &Job, used: &Used, applied: String) {
        let now = self.now;
        let Some(seq) = used.seq else { return };
        if job.kind == Kind::Cleanup || !self.records.agents.contains_key(&job.subject) {
            self.records.applied.remove(&job.subject);
        } else if !applied.is_empty() {
            self.records.applied.insert(job.subject.clone(), applied);
        }
        let Some(record) = self.records.agents.get_mut(&job.subject) else { return };
        if job.kind != Kind::Cleanup {
            record.observed = Some(seq);
            record.owed.retain(|letter, id| used.owed.get(letter) != Some(id));
        } else if record.phase == Some("deleting") && record.seq == seq {
            *record = Agent {
                generation: record.generation,
                seq,
                job: record.job,
                phase: Some("deleted"),
                deleted_at: now,
                ..Agent::default()
            };
            let agent = job.subject.split_once('/').expect("an agent's subject").1.to_owned();
            self.records.heartbeats.remove(&(job.lane, agent));
        } else if record.phase == Some("deleting") && record.since < seq {
            let Agent { generation, seq, job, since, .. } = *record;
            let phase = Some("deleting");
            *record = Agent { generation, seq, job, since, phase, gone: true, ..Agent::default() };
        }
    }

    /// Returns whether a heartbeat-sync has come while this job ran.
    pub(super) fn is_overtaken(&self, job: &Job, used: &Used) -> bool {
        let provisions = matches!(job.kind, Kind::Provision | Kind::ProvisionMain);
        let record = self.records.agents.get(&job.subject).filter(|_| provisions);
        let newest = number_of(&self.heartbeat_and_connection(job).0);
        used.seq.is_some() && record.is_some_and(|record| newest > record.seq.max(used.synced))
    }

    /// Applies the cancellation of a job to the records.
    pub(super) fn withdraw(&mut self, job: &Job) {
        let now = self.now;
        let Some(record) = self.records.agents.get_mut(&job.subject) else { return };
        if job.kind == Kind::Cleanup {
            if record.job == job.id && record.phase == Some("deleting") {
                record.phase = record.gone.then_some("deleted");
                (record.seq, record.gone, record.deleted_at) = (record.since, false, now);
            }
        } else {
            record.owed.retain(|letter, id| *letter == 'p' || *id != job.id);
        }
    }

    /// Forgets agents that were deleted a day ago.
    pub(super) fn forget_agents(&mut self) {
        let now = self.now;
        self.records.agents.retain(|_, record| {
            record.phase != Some("deleted") || record.deleted_at + REMEMBERED > now
        });
    }

    /// Returns the jobs whose documents the records need.
    pub(super) fn documents(&self) -> BTreeSet<Uuid> {
        let agents = self.records.agents.values();
        let of_agents = agents.flat_map(|record| {
            [record.desired, record.token, record.owed.get(&'w').copied()].into_iter().flatten()
        });
        of_agents.chain(self.records.connections.values().map(|known| known.document)).collect()
    }

    /// Returns the records as `shown.lua` shows them.
    pub(super) fn records_text(&self) -> String {
        let mut lines = Vec::new();
        for (subject, record) in &self.records.agents {
            let mut line = format!("{subject} seq={} job={}", record.seq, record.job);
            let mut add = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    write!(line, " {name}={value}").unwrap();
                }
            };
            add("generation", record.generation.map(|number| number.to_string()));
            add("observed", record.observed.map(|seq| seq.to_string()));
            add("phase", record.phase.map(str::to_owned));
            let is_deleting = record.phase == Some("deleting");
            add("since", is_deleting.then(|| record.since.to_string()));
            add("gone", record.gone.then(|| "yes".to_owned()));
            add("desired", record.desired.map(|id| id.to_string()));
            add("token", record.token.map(|id| id.to_string()));
            for letter in "frwp".chars() {
                add(&letter.to_string(), record.owed.get(&letter).map(Uuid::to_string));
            }
            lines.push(line);
        }
        for (lane, connection) in &self.records.connections {
            let revision = connection.revision.map(|number| format!(" revision={number}"));
            let fingerprint = Some(connection.fingerprint).filter(|text| !text.is_empty());
            let fingerprint = fingerprint.map(|text| format!(" fingerprint={text}"));
            lines.push(format!(
                "{lane} seq={} document={}{}{}",
                connection.seq,
                connection.document,
                revision.unwrap_or_default(),
                fingerprint.unwrap_or_default()
            ));
        }
        lines
            .extend(self.records.applied.iter().map(|(subject, text)| format!("{subject} {text}")));
        for ((lane, agent), (seq, text)) in &self.records.heartbeats {
            lines.push(format!("{lane}/{agent} {seq} {text}"));
        }
        lines.sort();
        lines.join("\n")
    }
}
