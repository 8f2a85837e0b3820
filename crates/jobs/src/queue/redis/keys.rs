//! The keys in Redis. Only this file spells them; the scripts get theirs from here as well.
//!
//! All keys of a shard begin with `{<queue>}`, those of later shards with `{<queue>/<number>}`, so
//! that they share one hash slot of a cluster and one script may access any of them. No queue has a
//! name with `/`.

use std::fmt::Write;

use crate::queue::State;

/// The name of each key in the scripts, and its text after `{<queue>}:`. A name that ends in `:`
/// needs a suffix.
const NAMES: &[(&str, &str)] = &[
    // HASH: by job its head, which is binary; a MessagePack map of the fields that its head does not
    // have, if there are any; its report and its last runs, each one line of JSON, oldest first. HASH
    // per lane: by job its document. See docs/protocol.md.
    ("job", "job"),
    ("more", "more"),
    ("out", "out"),
    ("document", "document:"),
    // ZSET per state: ids of the jobs in it. Score: the due time (waiting states), the end of the
    // lease (running), the time of the transition (the rest); milliseconds since 1970.
    ("state", "state:"),
    // STRING: the version of this layout.
    ("layout", "layout"),
    // Counters: the order of jobs, the turns of lanes, the lease tokens.
    ("seq", "seq"),
    ("turn", "turn"),
    ("token", "token"),
    // HASH: by subject its entry, which is binary; see lines.lua. ZSET per subject: its jobs that have
    // been due and have not ended, by order, if they are several; its jobs that have not been due
    // yet.
    ("line", "line"),
    ("subject", "subject:"),
    ("later", "later:"),
    // ZSET per lane: its jobs that can run now, which are the first of their subjects, by rank. A
    // member is the id followed directly by the subject.
    ("lane", "lane:"),
    // HASH: per lane a MessagePack map of the state of the gateway: owner, merging (running jobs
    // that merge), failures in a row, held_until, reached_at, failed_at, failure (JSON),
    // restarted_at, about (JSON: the gateway as the document of the last run describes it), facts
    // (JSON: the gateway's own description), recent, slot, slot_done and slot_failed (how runs
    // ended, see ack.lua), and the number of jobs by state. ZSET: all lanes, by the time of the
    // last job for them.
    ("gateway", "gateway"),
    ("gateways", "gateways"),
    // ZSET: lanes without an owner that have something to run, by turn, which counts down. ZSET per
    // worker: the same for the lanes that it owns. ZSET: lanes that are left alone, by the end of
    // that time.
    ("lanes", "lanes"),
    ("own", "own:"),
    ("held", "held"),
    // ZSET per lane: jobs that its gateway refused, by the time of the refusal. ZSET: lanes whose
    // gateways have got another connection while more jobs were refused than one call frees, by the
    // time of the change.
    ("blocked", "blocked:"),
    ("reconnected", "reconnected"),
    // HASH: per subject the record of an agent, which is binary (see docs/protocol.md): seq and job
    // (the number and the id of the newest job whose document was merged into it), generation,
    // observed (the seq that a run has proven), phase (`deleting` or `deleted`; absent while the
    // agent is wanted), while it is to be deleted since (the seq to which a cancellation returns)
    // and gone (if it was deleted already), and ids of jobs whose documents have a part of it:
    // desired, token, and what is owed once: f (force the bootstrap), r (reset the session), w
    // (wake), p (provision). ZSET: the deleted ones, by the time of the deletion. ZSET: those whose
    // records are gone, but not their lines, by the time when they went. ZSET per lane: ids of its
    // agents with a record, by phase: 0 deleting, 1 wanted, 2 deleted.
    ("agents", "agents"),
    ("deleted", "deleted"),
    ("remembered", "remembered"),
    ("listed", "agents:"),
    // HASH: per lane the record of a gateway's connection, which is binary: revision, seq, the
    // document that has it and its subject, at (the time when it came), fingerprint, and changed (the
    // time when that became another one).
    ("connections", "connections"),
    // HASH per lane: by agent the newest heartbeat of a heartbeat-sync, as the number of its job, a
    // space, and JSON.
    ("heartbeats", "heartbeats:"),
    // HASH: per subject JSON, what the last run that was done has applied to an agent; see
    // docs/protocol.md.
    ("applied", "applied"),
    // ZSET per group of failures (`<lane>|<code>|<method>`): the jobs that still have this failure,
    // by the time when they last had it. ZSET: these groups, by the time of their last failure.
    // HASH: per group a MessagePack map: first_at, last_at, message, action, remedy (JSON), sample
    // (a job's id).
    ("group", "group:"),
    ("groups", "groups"),
    ("failures", "failures"),
    // ZSET with expiry: restarts of gateways that jobs met, as lane and time, by time.
    ("restarts", "restarts"),
    // ZSET: jobs that expire, by that time.
    ("expiry", "expiry"),
    // HASH: the paused scopes (`all`, `kind:…`, `gateway:…`), with author and reason as JSON. ZSET
    // per kind: subjects put aside because the kind of their first job is paused, by rank.
    // STRING: the version of these, a time; later shards copy both from the first.
    ("paused", "paused"),
    ("pauses", "pauses"),
    ("parked", "parked:"),
    // ZSET: ready jobs that lost their worker and are to run alone, each as its id and its subject,
    // by rank. STRING: a MessagePack map of whose turn it is to run one of them; see alone.lua.
    ("suspects", "suspects"),
    ("alone", "alone"),
    // STRING with expiry: the job of an idempotency key.
    ("idem", "idem:"),
    // LIST of at most one token, which wakes any worker, or with a worker's name that one.
    ("wake", "wake"),
    // STRING: the time when a worker last looked for lost leases; that of the last look for jobs to
    // heal, with the cursor; the time before which no lease is
    // taken back.
    ("pulse", "pulse"),
    ("healed", "healed"),
    ("calm", "calm"),
    // What was in the way: keys of a wrong type, with the time when they were moved; HASH: entries
    // that could not be read, by the name of their key, a space, and their field.
    ("wrong", "wrong:"),
    ("unreadable", "unreadable"),
    // STREAM: every transition; see docs/protocol.md.
    ("events", "events"),
    // STREAM: the actions of people, capped; see docs/protocol.md.
    ("audit", "audit"),
    // HASH: by name a MessagePack map of the values in each worker's last heartbeat, and whether it
    // is draining.
    ("workers", "workers"),
    // ZSET: workers, by the time of their last heartbeat.
    ("beats", "beats"),
    // HASH per minute since 1970, with expiry: `<kind>|<what>` → how often.
    ("minute", "minute:"),
    // HASH per quarter and per hour since 1970, with expiry: the sums of the minutes up to the one
    // in `rolled`.
    ("quarter", "quarter:"),
    ("hour", "hour:"),
    ("rolled", "rolled"),
    // Of layouts 1 and 2, for migrate.lua. HASH per job: `job`, a MessagePack map; `payload`,
    // `report`, `history`. STRING per subject with expiry: the order of its newest job and, after
    // a space, the id of the job that was enqueued last. All jobs of a line were in its ZSET.
    // ZSET per lane with expiry, of layout 1: agents that were cleaned up, by the order of the
    // cleanup.
    ("old_job", "job:"),
    ("latest", "latest:"),
    ("gone", "gone:"),
];

/// The types of the keys that a queue has once, as Redis names them. Those of one gateway, agent or
/// worker are moved out of the way by the scripts that find them in a wrong type.
const TYPES: &[(&str, &[&str])] = &[
    (
        "hash",
        &[
            "job",
            "more",
            "out",
            "line",
            "gateway",
            "agents",
            "connections",
            "applied",
            "failures",
            "paused",
            "workers",
            "unreadable",
        ],
    ),
    (
        "zset",
        &[
            "gateways",
            "lanes",
            "held",
            "reconnected",
            "deleted",
            "remembered",
            "groups",
            "restarts",
            "expiry",
            "suspects",
            "beats",
        ],
    ),
    (
        "string",
        &[
            "layout", "shards", "seq", "turn", "token", "pauses", "alone", "pulse", "healed",
            "calm", "rolled",
        ],
    ),
    ("list", &["wake"]),
    ("stream", &["events", "audit"]),
];

/// The keys of one queue.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Returns the keys of a shard of a queue.
    pub(crate) fn of(queue: &str, shard: usize) -> Self {
        let number = if shard == 0 { String::new() } else { format!("/{shard}") };
        Self { prefix: format!("{{{queue}{number}}}") }
    }

    /// Returns the keys of another shard of the queue whose first shard this is.
    pub(crate) fn of_shard(&self, shard: usize) -> Self {
        Self::of(self.prefix.trim_matches(['{', '}']), shard)
    }

    /// Returns the prefix of all keys, which is also the only key that is passed to a script.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the key of the hash with the documents of a gateway's jobs. It is for tools that
    /// inspect Redis; use [`crate::queue::Queue`] for everything else.
    #[must_use]
    pub fn documents(&self, gateway: &str) -> String {
        format!("{}:document:{gateway}", self.prefix)
    }

    /// Returns the keys that a queue has once, each with its type.
    pub(crate) fn with_types(&self) -> Vec<(String, &'static str)> {
        let states = State::ALL.into_iter().map(|state| (self.state(state), "zset"));
        let named = TYPES.iter().flat_map(|(kind, names)| names.iter().map(|name| (*name, *kind)));
        named.map(|(name, kind)| (format!("{}:{name}", self.prefix), kind)).chain(states).collect()
    }

    /// Returns the key of a job's hash in layouts 1 and 2.
    pub(crate) fn old_job(&self, id: &str) -> String {
        format!("{}:job:{id}", self.prefix)
    }

    pub(crate) fn state(&self, state: State) -> String {
        format!("{}:state:{state}", self.prefix)
    }

    /// Returns the key of the hash with the heads of jobs.
    #[must_use]
    pub fn jobs(&self) -> String {
        format!("{}:job", self.prefix)
    }

    /// Returns the key of the stream of events.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}:events", self.prefix)
    }

    /// Returns the key of the records of agents.
    pub(crate) fn agents(&self) -> String {
        format!("{}:agents", self.prefix)
    }

    /// Returns the key of the list of a gateway's agents.
    pub(crate) fn listed(&self, lane: &str) -> String {
        format!("{}:agents:{lane}", self.prefix)
    }

    /// Returns the key of the records of connections.
    pub(crate) fn connections(&self) -> String {
        format!("{}:connections", self.prefix)
    }

    /// Returns the key of the heartbeats of a gateway's agents.
    pub(crate) fn heartbeats(&self, lane: &str) -> String {
        format!("{}:heartbeats:{lane}", self.prefix)
    }

    /// Returns the key of the number of shards, in the first of several.
    pub(crate) fn shards(&self) -> String {
        format!("{}:shards", self.prefix)
    }

    /// Returns the key of the version of the layout.
    pub(crate) fn layout(&self) -> String {
        format!("{}:layout", self.prefix)
    }

    /// Returns the key of an idempotency key of a queue with several shards.
    pub(crate) fn idempotency(&self, key: &str) -> String {
        format!("{}:key:{key}", self.prefix)
    }

    /// Returns the key that is written behind new jobs whose replicas are waited for.
    pub(crate) fn confirmed(&self) -> String {
        format!("{}:confirmed", self.prefix)
    }

    pub(crate) fn pauses(&self) -> String {
        format!("{}:pauses", self.prefix)
    }

    pub(crate) fn paused(&self) -> String {
        format!("{}:paused", self.prefix)
    }

    /// Returns the key of the counters of a minute, a quarter (15 minutes) or an hour since 1970.
    pub(crate) fn span(&self, minutes: u64, number: u64) -> String {
        let name = match minutes {
            1 => "minute",
            15 => "quarter",
            _ => "hour",
        };
        format!("{}:{name}:{number}", self.prefix)
    }

    /// Returns the key of the minute up to which minutes have been added up.
    pub(crate) fn rolled(&self) -> String {
        format!("{}:rolled", self.prefix)
    }

    pub(crate) fn audit(&self) -> String {
        format!("{}:audit", self.prefix)
    }

    pub(crate) fn restarts(&self) -> String {
        format!("{}:restarts", self.prefix)
    }

    /// Returns the key of the list that wakes any idle worker.
    pub(crate) fn wake_any(&self) -> String {
        format!("{}:wake", self.prefix)
    }

    /// Returns the key of the list that wakes one idle worker.
    pub(crate) fn wake_one(&self, worker: &str) -> String {
        format!("{}:wake:{worker}", self.prefix)
    }
}

/// Returns the table `K` of the scripts with the keys whose names they use, and the function
/// `name_keys`, which fills it from the prefix of a queue.
pub(crate) fn lua(uses: impl Fn(&str) -> bool) -> String {
    let mut text = String::from(
        "local K, queue
local named = {}
local function name_keys(prefix)
  if queue == prefix then return end
  queue, K = prefix, named[prefix]
  if K then return end
  K = {\n",
    );
    for (name, rest) in NAMES.iter().filter(|(name, _)| uses(name)) {
        writeln!(text, "    {name} = prefix .. ':{rest}',").expect("a String takes any text");
    }
    text + "  }\n  named[prefix] = K\nend\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_a_queue_has_once_has_a_type() {
        let typed: Vec<&str> = TYPES.iter().flat_map(|(_, names)| *names).copied().collect();
        for (name, rest) in NAMES.iter().filter(|(_, rest)| !rest.ends_with(':')) {
            assert!(typed.contains(rest), "{name}");
        }
    }
}
