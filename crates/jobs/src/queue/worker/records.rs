//! Reads the records of claimed jobs, and the documents of other jobs that they name.
//!
//! Scripts never look into a document, so `claim.lua` returns the record of the agent as it is and
//! the id of the document that has the gateway's connection. In the usual case all of them name the
//! job itself, and nothing more is read.

use std::collections::{HashMap, HashSet};

use mission_core::applied::Applied;
use mission_core::json::{read as read_json, read_to_show};
use mission_core::model::HeartbeatSync;
use mission_core::records::{AgentParts, Records, has_connection, read_heartbeat};
use mission_core::{Failure, Job, Outcome, Remedy};
use redis::cmd;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::queue::error::QueueError;
use crate::queue::redis::binary::{AgentRecord, ConnectionRecord};
use crate::queue::redis::claim::RawClaim;
use crate::queue::redis::scripts::Scripts;
use crate::seal::{self, Keyring, OpenError};

/// The most fields of one read, so that other clients are served in between.
const AT_ONCE: usize = 500;
/// The largest stored document in bytes: the largest document of all, sealed. `enqueue.lua` has the
/// same limit.
const MAX_DOCUMENT: usize = 1088 * 1024;
/// Returns the jobs whose documents these records of agents and connections need, as lanes and ids.
/// The records are given by subject and by lane.
pub(crate) fn documents_of(
    agents: &[(String, Vec<u8>)],
    connections: &[(String, Vec<u8>)],
) -> HashSet<(Uuid, Uuid)> {
    let lane = |name: &str| name.split('/').next()?.parse().ok();
    let of_agents = agents.iter().filter_map(|(subject, packed)| {
        Some((lane(subject)?, AgentRecord::read(packed)?.documents().collect::<Vec<_>>()))
    });
    let of_connections = connections.iter().filter_map(|(name, packed)| {
        Some((lane(name)?, vec![ConnectionRecord::read(packed)?.document]))
    });
    let all = of_agents.chain(of_connections);
    all.flat_map(|(lane, ids)| ids.into_iter().map(move |id| (lane, id))).collect()
}

/// The records of claimed jobs, and the documents of other jobs that they name.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    documents: HashMap<Uuid, Vec<u8>>,
    /// The agents that each heartbeat-sync must not write, by the id of the job: a cleanup removes
    /// or has removed them, or a newer job decides about them.
    left_out: HashMap<String, HashSet<Uuid>>,
}

/// The reasons why a job cannot be composed from its records.
pub(crate) enum Incomplete {
    /// A document is sealed with a key that this worker does not have.
    Sealed(OpenError),
    /// The same of the document with the gateway's connection.
    SealedConnection(OpenError),
    /// The document with the gateway's connection is missing or spoilt, and the job has none.
    UnknownConnection,
    /// The agent's token is sealed, but the newest connection of the gateway is neither sealed nor
    /// leads to the place that the token was sealed for. Somebody who can write to Redis may have
    /// made it up.
    UnsealedConnection,
}

impl Incomplete {
    /// Returns the end of the run: blocked until somebody acts.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Sealed(error) => error.outcome(),
            Self::SealedConnection(error) => {
                let mut failure = error.failure().of_gateway();
                failure.remedy.text.push_str(
                    ", or store the gateway's connection again (`worker gateways put`) with a key \
                     that they have",
                );
                Outcome::Blocked(failure)
            }
            Self::UnknownConnection => {
                let what = "the document with the gateway's connection is not in Redis, or is not \
                    valid any more";
                let remedy = "store the gateway's connection again (`worker gateways put`), or \
                    enqueue any of its jobs with its url and token";
                let remedy = Remedy::connection(remedy);
                let failure = Failure::new("connection_unknown", what).of_gateway();
                Outcome::Blocked(failure.with_remedy(remedy))
            }
            Self::UnsealedConnection => {
                let what = "the gateway's newest connection is not sealed, but the agent's token \
                    is, and was sealed for another address";
                let remedy = Remedy::connection(
                    "give the producers the key (MISSION_SECRET_KEY), and store the gateway's \
                     connection again (`worker gateways put`), or enqueue this agent with its token",
                );
                let failure = Failure::new("unsealed_connection", what).of_gateway();
                Outcome::Blocked(failure.with_remedy(remedy))
            }
        }
    }
}

impl Loaded {
    /// Reads the documents of these jobs, and those that their records name.
    pub(crate) async fn load(scripts: &Scripts, jobs: &[RawClaim]) -> Result<Self, QueueError> {
        let named = jobs.iter().flat_map(|job| {
            let record = job.record();
            let of_agent = record.iter().flat_map(AgentRecord::documents).collect::<Vec<_>>();
            let all = of_agent.into_iter().chain(job.connection).chain(job.id.parse());
            all.map(|id| (job.lane.clone(), id)).collect::<Vec<_>>()
        });
        let named: HashSet<(String, Uuid)> = named.collect();
        let mut documents = scripts.documents(named).await?;
        // Only somebody who writes to Redis can have stored a larger one.
        documents.values_mut().filter(|it| it.len() > MAX_DOCUMENT).for_each(Vec::clear);
        let mut loaded = Self { documents, ..Self::default() };
        for job in jobs.iter().filter(|job| job.kind == "heartbeat-sync") {
            let left_out = left_out(scripts, job, loaded.own(&job.id).unwrap_or_default()).await?;
            loaded.left_out.insert(job.id.clone(), left_out);
        }
        Ok(loaded)
    }

    /// Returns the document of a job, which is empty if it is too large; none if it is missing.
    pub(crate) fn own(&self, id: &str) -> Option<&[u8]> {
        let document = id.parse().ok().and_then(|id: Uuid| self.documents.get(&id));
        document.map(Vec::as_slice)
    }

    /// Returns the documents that a job is composed of besides its own. A document that is missing
    /// or spoilt does not stop the job, which then means its own document instead. The same holds
    /// for one of another agent or gateway, which only somebody who writes to Redis can have put
    /// there.
    pub(crate) fn records(
        &self,
        raw: &RawClaim,
        own: &Value,
        keyring: &Keyring,
    ) -> Result<Records, Incomplete> {
        let part = |id: Option<Uuid>, parts: &[&str]| {
            let Some(id) = id else { return Ok(None) };
            if id.to_string() == raw.id {
                return Ok(Some(own.clone()));
            }
            let stored = self.documents.get(&id).map(|stored| keyring.open(stored));
            if let Some(Err(error @ OpenError::UnknownKey { .. })) = stored {
                return Err(Incomplete::Sealed(error));
            }
            let document = stored.and_then(|text| read_json(&text.ok()?).ok());
            let document = document.filter(|document: &Value| {
                parts.iter().all(|part| id_of(document, part) == id_of(own, part))
                    && is_valid(document, parts, own)
            });
            if document.is_none() {
                tracing::error!(job = raw.id, missing = %id, "record incomplete");
            }
            Ok(document)
        };
        let of_agent = |id: Option<Uuid>| part(id, &["gateway", "agent"]);
        let agent = raw.record().map(|record| {
            let heartbeat = raw.heartbeat.split_once(' ');
            let heartbeat =
                heartbeat.filter(|(seq, _)| seq.parse().is_ok_and(|seq: u64| seq > record.seq));
            Ok::<_, Incomplete>(AgentParts {
                desired: of_agent(record.desired.filter(|id| id.to_string() != raw.id))?,
                token: of_agent(record.token)?,
                wake: of_agent(record.wake)?,
                heartbeat: heartbeat.and_then(|(_, kept)| read_heartbeat(kept)),
                force_bootstrap: record.force_bootstrap.is_some(),
                reset_session: record.reset_session.is_some(),
                provision: record.provision.is_some(),
                applied: Applied::read(&raw.applied),
            })
        });
        let connection = part(raw.connection, &["gateway"]);
        let connection = connection.map_err(|incomplete| match incomplete {
            Incomplete::Sealed(error) => Incomplete::SealedConnection(error),
            other => other,
        })?;
        if connection.is_none() && raw.connection.is_some() && !has_connection(own) {
            return Err(Incomplete::UnknownConnection);
        }
        let records = Records { connection, agent: agent.transpose()? };
        self.check_destination(raw, own, &records)?;
        Ok(records)
    }

    /// Checks that a sealed token of the agent goes only to the place that it was sealed for, or to
    /// one whose own token is sealed. This looks at every document that can have the token, and at
    /// the one whose gateway is used, whatever the records say.
    fn check_destination(
        &self,
        raw: &RawClaim,
        own: &Value,
        records: &Records,
    ) -> Result<(), Incomplete> {
        let record = raw.record();
        let text = |id: Option<Uuid>| id.map(|id| id.to_string());
        let desired = text(record.as_ref().and_then(|record| record.desired));
        let token = text(record.as_ref().and_then(|record| record.token));
        let parts = records.agent.as_ref();
        let own = (raw.id.as_str(), own);
        let desired = desired.as_deref().zip(parts.and_then(|parts| parts.desired.as_ref()));
        let token = token.as_deref().zip(parts.and_then(|parts| parts.token.as_ref()));
        let connection = text(raw.connection);
        let connection = connection.as_deref().zip(records.connection.as_ref());
        let (used_id, used) = connection.or(desired).unwrap_or(own);
        let goes_elsewhere =
            [Some(own), desired, token].into_iter().flatten().any(|(id, document)| {
                self.is_sealed(id, "/auth_token") && destination(document) != destination(used)
            });
        if goes_elsewhere && !self.is_sealed(used_id, "/gateway/token") {
            return Err(Incomplete::UnsealedConnection);
        }
        Ok(())
    }

    /// Returns whether a field of a job's document is sealed in Redis.
    fn is_sealed(&self, id: &str, field: &str) -> bool {
        let document = self.own(id).and_then(|own| read_json(own).ok());
        let field = document.as_ref().and_then(|document| document.pointer(field)?.as_str());
        field.is_some_and(seal::is_sealed)
    }

    /// Leaves the agents out of a heartbeat-sync that it must not write.
    pub(crate) fn leave_out(&self, raw: &RawClaim, job: &mut HeartbeatSync) {
        if let Some(left_out) = self.left_out.get(&raw.id) {
            job.leave_out(left_out);
        }
    }
}

/// Returns whether the parts of a document are valid for this worker. One that a newer producer has
/// sent may not be.
fn is_valid(document: &Value, parts: &[&str], own: &Value) -> bool {
    if parts.contains(&"agent") {
        return Job::from_value(document.clone()).is_ok();
    }
    let gateway = &document["gateway"];
    let agent = json!({ "id": own["gateway"]["id"], "name": "" });
    let alone = json!({ "version": 1, "kind": "cleanup", "gateway": gateway, "agent": agent });
    Job::from_value(alone).is_ok_and(|job| job.gateway().is_some())
}

/// Returns the parts of a connection that decide where a token is sent.
fn destination(document: &Value) -> (Option<&str>, bool, Option<&str>) {
    let gateway = &document["gateway"];
    let any_certificate = gateway["allow_insecure_tls"].as_bool() == Some(true);
    (gateway["url"].as_str(), any_certificate, gateway["tls_fingerprint"].as_str())
}

fn id_of(document: &Value, part: &str) -> Option<Uuid> {
    document[part]["id"].as_str()?.parse().ok()
}

/// Returns the agents that a heartbeat-sync must not write.
async fn left_out(
    scripts: &Scripts,
    job: &RawClaim,
    document: &[u8],
) -> Result<HashSet<Uuid>, QueueError> {
    let document = read_to_show(document);
    let agents = document["agents"].as_array().into_iter().flatten();
    let agents: Vec<Uuid> = agents.filter_map(|agent| agent["id"].as_str()?.parse().ok()).collect();
    let mut left_out = HashSet::new();
    for agents in agents.chunks(AT_ONCE) {
        let (mut records, mut heartbeats) = (cmd("HMGET"), cmd("HMGET"));
        records.arg(scripts.keys.agents());
        heartbeats.arg(scripts.keys.heartbeats(&job.lane));
        for agent in agents {
            records.arg(format!("{}/{agent}", job.lane));
            heartbeats.arg(agent.to_string());
        }
        let records: Vec<Option<Vec<u8>>> = scripts.read("agents", &records).await?;
        let heartbeats: Vec<Option<Vec<u8>>> = scripts.read("heartbeats", &heartbeats).await?;
        for ((agent, record), heartbeat) in agents.iter().zip(records).zip(heartbeats) {
            let record = record.as_deref().and_then(AgentRecord::read);
            let newest = heartbeat.and_then(|kept| {
                String::from_utf8_lossy(&kept).split_once(' ')?.0.parse::<u64>().ok()
            });
            let is_unwanted = record.as_ref().is_some_and(|record| record.phase.is_some());
            if is_unwanted || record.map(|record| record.seq).max(newest) > Some(job.seq) {
                left_out.insert(*agent);
            }
        }
    }
    Ok(left_out)
}
