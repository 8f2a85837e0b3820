//! Repairs keys of the queue that were removed or spoilt, by hand, by eviction or by a fault.
//!
//! Workers heal a part by themselves; see `heal` in `upkeep.lua`. This goes through all keys in
//! small steps, each of which is one call of `repair.lua`.

use std::collections::{BTreeMap, HashMap, HashSet};

use redis::ToRedisArgs;
use serde::Serialize;
use uuid::Uuid;

use crate::envelope::Envelope;
use crate::queue::admin::actor::Author;
use crate::queue::error::QueueError;
use crate::queue::redis::scripts::{Scripts, lua};
use crate::queue::{Queue, State};
use crate::seal::Keyring;

/// The most calls for each part while nothing is repaired. A call looks at about 100 entries.
const MOST_LOOKS: usize = 100;
/// The most documents of one gateway that are searched for its connection, the newest first.
const MOST_DOCUMENTS: usize = 10;
/// The most documents that are read at once.
const AT_ONCE: usize = 50;
/// The most jobs of a gateway that are counted, which happens in one call.
const MOST_COUNTED: usize = 10_000;
/// The lease in ms of running jobs that are missing in the list of these.
const LEASE: u64 = 20_000;

/// The hashes whose entries are read, before the jobs.
const HASHES: [&str; 8] =
    ["gateway", "line", "agents", "connections", "failures", "workers", "paused", "more"];

/// The wounds of a queue: keys and entries that are missing, of a wrong type, or not readable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Wounds {
    /// The number of wounds by kind. [`Self::in_words`] describes the kinds.
    pub found: BTreeMap<String, u64>,
    /// The keys of a wrong type, with their types, and the names of entries that cannot be read.
    pub about: Vec<String>,
    /// The gateways that have too many jobs for these to be counted.
    pub uncounted: Vec<String>,
    /// `false` if only a part of the queue was looked at.
    pub complete: bool,
}

/// A job without records: its number, its id, its gateway, and what is missing.
type Lost = (u64, String, String, String);

/// The answer of `repair.lua`; see there.
type Step = (String, Vec<String>, Vec<String>, Vec<String>);

/// A walk through the keys.
struct Walk<'a> {
    scripts: &'a Scripts,
    keyring: &'a Keyring,
    /// The author of the repair; none if nothing is changed.
    by: Option<&'a Author>,
    wounds: Wounds,
}

impl Wounds {
    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Describes the wounds, one sentence for each kind that was found.
    #[must_use]
    pub fn in_words(&self) -> Vec<String> {
        let words = |(kind, count): (&String, &u64)| format!("{}: {count}", meaning(kind));
        self.found.iter().map(words).collect()
    }
}

/// Returns the words for a kind of wounds.
fn meaning(kind: &str) -> &str {
    match kind {
        "types" => "keys of a wrong type",
        "layout" => "layout missing or spoilt",
        "unreadable" => "entries that cannot be read",
        "states" => "jobs missing in the list of their state",
        "lines" => "jobs missing in the line of their agent",
        "later" => "scheduled jobs missing in the list of their agent",
        "expiry" => "jobs missing in the list of those that expire",
        "blocked" => "refused jobs missing in the list of their gateway",
        "offers" => "ready jobs that are not offered to workers",
        "groups" => "failed jobs missing in their group of failures",
        "gateways" => "gateways missing in the list of gateways",
        "agents" => "agents missing in the list of their gateway",
        "runs" => "gateways with a wrong number of running jobs",
        "numbers" => "gateways with wrong numbers of jobs",
        "records" => "missing records of gateways and agents",
        "strays" => "list entries without what they stand for",
        other => other,
    }
}

impl Queue {
    /// Counts the wounds of the queue without changing anything. Looks at some thousand entries of
    /// each key at most.
    pub async fn wounds(&self) -> Result<Wounds, QueueError> {
        self.go_through_all(None).await
    }

    /// Repairs what can be derived from other keys, and moves out of the way what cannot be read,
    /// with all that it holds. Workers may run meanwhile. Returns what was repaired.
    pub async fn repair(&self, by: &Author) -> Result<Wounds, QueueError> {
        self.shards.repair_count().await?;
        self.shards.check(false).await?;
        self.go_through_all(Some(by)).await
    }

    async fn go_through_all(&self, by: Option<&Author>) -> Result<Wounds, QueueError> {
        let mut all = Wounds { complete: true, ..Wounds::default() };
        for shard in self.shards.all() {
            let wounds = go_through(shard, &self.keyring, by).await?;
            for (kind, count) in wounds.found {
                *all.found.entry(kind).or_default() += count;
            }
            all.about.extend(wounds.about);
            all.uncounted.extend(wounds.uncounted);
            all.complete &= wounds.complete;
        }
        Ok(all)
    }
}

/// Goes through all keys. Repairs them if somebody is given.
pub(crate) async fn go_through(
    scripts: &Scripts,
    keyring: &Keyring,
    by: Option<&Author>,
) -> Result<Wounds, QueueError> {
    let mut walk = Walk { scripts, keyring, by, wounds: Wounds::default() };
    walk.wounds.complete = true;
    walk.step("keys", "0", scripts.keys.with_types()).await?;
    if by.is_none() && walk.wounds.found.contains_key("types") {
        // Nothing can be read from such a key.
        walk.wounds.complete = false;
        return Ok(walk.wounds);
    }
    for hash in HASHES {
        walk.all(hash).await?;
    }
    let (mut of_lanes, mut lost) = (HashMap::<String, Vec<String>>::new(), Vec::new());
    for job in walk.all("job").await?.chunks_exact(4) {
        let [id, lane, seq, missing] = job else { continue };
        of_lanes.entry(lane.clone()).or_default().push(id.clone());
        if !missing.is_empty() {
            let seq = seq.parse().unwrap_or_default();
            lost.push((seq, id.clone(), lane.clone(), missing.clone()));
        }
    }
    walk.record(lost).await?;
    for part in State::ALL.map(State::as_str).into_iter().chain(["groups"]) {
        walk.all(part).await?;
    }
    for lane in walk.all("listed").await? {
        of_lanes.entry(lane).or_default();
    }
    // Only who knows all jobs can count them.
    if walk.wounds.complete {
        for (lane, ids) in of_lanes {
            if ids.len() > MOST_COUNTED {
                walk.wounds.uncounted.push(lane);
            } else {
                walk.step("numbers", "0", (lane, ids)).await?;
            }
        }
    }
    if by.is_some() {
        walk.step("end", "0", None::<&str>).await?;
    }
    Ok(walk.wounds)
}

impl Walk<'_> {
    /// Runs one step. Returns where to go on, and the rows that it returned.
    async fn step(
        &mut self,
        part: &str,
        place: &str,
        own: impl ToRedisArgs,
    ) -> Result<(String, Vec<String>), QueueError> {
        let nobody = Author::new("", "");
        let why = if part == "end" { self.wounds.in_words().join("; ") } else { String::new() };
        let args = (u8::from(self.by.is_some()), part, place, LEASE, own);
        let (rest, counts, about, rows): Step =
            self.scripts.act(lua::repair, self.by.unwrap_or(&nobody), &why, args).await?;
        for pair in counts.chunks_exact(2) {
            let count: u64 = pair[1].parse().unwrap_or_default();
            *self.wounds.found.entry(pair[0].clone()).or_default() += count;
        }
        self.wounds.about.extend(about);
        Ok((rest, rows))
    }

    /// Runs all steps of a part, or the first of them if nothing is repaired.
    async fn all(&mut self, part: &str) -> Result<Vec<String>, QueueError> {
        let (mut place, mut all) = ("0".to_owned(), Vec::new());
        for steps in 1.. {
            let (rest, rows) = self.step(part, &place, None::<&str>).await?;
            all.extend(rows);
            place = rest;
            if place == "-1" {
                break;
            }
            if self.by.is_none() && steps == MOST_LOOKS {
                self.wounds.complete = false;
                break;
            }
        }
        Ok(all)
    }

    /// Makes missing records from the documents of jobs, in the order in which they came.
    async fn record(&mut self, mut lost: Vec<Lost>) -> Result<(), QueueError> {
        lost.sort_unstable();
        let mut of_lanes = HashMap::<String, usize>::new();
        lost.reverse();
        lost.retain(|(_, _, lane, missing)| {
            let seen = of_lanes.entry(lane.clone()).or_default();
            *seen += 1;
            missing != "c" || *seen <= MOST_DOCUMENTS
        });
        lost.reverse();
        for some in lost.chunks(AT_ONCE) {
            let named = |(_, id, lane, _): &Lost| Some((lane.clone(), id.parse::<Uuid>().ok()?));
            let named: HashSet<_> = some.iter().filter_map(named).collect();
            let documents = self.scripts.documents(named).await?;
            let mut values = Vec::new();
            for (_, id, _, missing) in some {
                let document = id.parse().ok().and_then(|id: Uuid| documents.get(&id));
                let Some(job) = document.and_then(|document| self.read(document)) else { continue };
                let number =
                    |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
                let numbers = (number(job.generation), number(job.revision));
                let heartbeats = job.heartbeats.clone().unwrap_or_default();
                let fingerprint = job.fingerprint.expose().to_vec();
                values.push((id, missing, job.parts.clone(), numbers, heartbeats, fingerprint));
            }
            self.step("record", "0", values).await?;
        }
        Ok(())
    }

    /// Reads a document; none if it cannot be opened here or is not valid.
    fn read(&self, document: &[u8]) -> Option<Envelope> {
        let opened = self.keyring.open(document).ok()?;
        Some(Envelope::new(&opened).ok()?.sealed(self.keyring))
    }
}
