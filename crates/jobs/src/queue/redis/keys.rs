//! The keys in Redis. This is the only place that spells them: the scripts get theirs from here as
//! well.
//!
//! All keys of a queue begin with `{<queue>}`, so that they live in one hash slot of a cluster and
//! one script may touch any of them.

use std::fmt::Write;

/// What a script calls a key, and how it goes on after `{<queue>}:`. A name that ends in `:` needs
/// something after it.
const NAMES: &[(&str, &str)] = &[
    // HASH: one job. `job` is a MessagePack map of most that is known of it, `payload` its
    // document, `report` JSON, `history` its last runs, a line of JSON each, oldest first; see
    // docs/protocol.md.
    ("job", "job:"),
    // ZSET per state: ids of the jobs in it. Score: when due (waiting states), when the lease ends
    // (running), when it got there (the rest); milliseconds since 1970.
    ("state", "state:"),
    // STRING: version of this layout.
    ("layout", "layout"),
    // Counters: order of jobs, turns of lanes, lease tokens.
    ("seq", "seq"),
    ("turn", "turn"),
    ("token", "token"),
    // ZSET per subject: its jobs that have been due and have not ended, by order; those that have
    // not been due yet. STRING with expiry: the order of its newest job and, behind a space, the id
    // of the one that was enqueued last, where the chain of `before` begins.
    ("subject", "subject:"),
    ("later", "later:"),
    ("latest", "latest:"),
    // ZSET per lane: those of its jobs that can run now, which are the first of their subjects, as
    // id and subject without anything between them; by rank.
    ("lane", "lane:"),
    // HASH: per lane a MessagePack map of what is known of the gateway: owner, merging (running
    // jobs that merge), failures in a row, held_until, reached_at, failed_at, failure (JSON),
    // restarted_at, about (JSON: what the document of the last run says of it), facts (JSON: what
    // it said of itself), recent, slot, slot_done and slot_failed (how runs ended, see ack.lua),
    // and by state how many jobs it has. ZSET: all lanes, by when a job last came for them.
    ("gateway", "gateway"),
    ("gateways", "gateways"),
    // ZSET: lanes without an owner that have something to run, by turn, which counts down. ZSET per
    // worker: the same for lanes it owns. ZSET: lanes that are left alone, by until when.
    ("lanes", "lanes"),
    ("own", "own:"),
    ("held", "held"),
    // ZSET per lane: jobs that its gateway turned away, by since when. ZSET per lane: agents that
    // were cleaned up, by the order of the cleanup; with expiry.
    ("blocked", "blocked:"),
    ("gone", "gone:"),
    // ZSET per group of failures (`<lane>|<code>|<method>`): the jobs that have not got past it, by
    // when they failed so last. ZSET: these groups, by when a job failed so last. HASH: per group a
    // MessagePack map: first_at, last_at, message, action, sample (a job's id).
    ("group", "group:"),
    ("groups", "groups"),
    ("failures", "failures"),
    // ZSET with expiry: restarts of gateways that jobs met, as lane and time, by time.
    ("restarts", "restarts"),
    // ZSET: jobs that expire, by when.
    ("expiry", "expiry"),
    // HASH: what is paused (`all`, `kind:…`, `gateway:…`), and by whom and why as JSON. ZSET per
    // kind: subjects put aside because their first job's kind is paused, by rank.
    ("paused", "paused"),
    ("parked", "parked:"),
    // STRING with expiry: the job of an idempotency key.
    ("idem", "idem:"),
    // LIST of at most one token: something to look at for any worker, or with a worker's name for
    // that one.
    ("wake", "wake"),
    // STRING: when a worker last looked for lost leases; until when no lease is taken back.
    ("pulse", "pulse"),
    ("calm", "calm"),
    // STREAM: every transition, see docs/protocol.md.
    ("events", "events"),
    // STREAM: what people did, capped; see docs/protocol.md.
    ("audit", "audit"),
    // HASH: by name a MessagePack map of what each worker told of itself with its last beat, and
    // whether it is draining.
    ("workers", "workers"),
    // ZSET: workers, by when they were last heard of.
    ("beats", "beats"),
    // HASH per minute since 1970, with expiry: `<kind>|<what>` → how often.
    ("minute", "minute:"),
    // HASH per quarter and per hour since 1970, with expiry: the same, of the minutes up to the one
    // that `rolled` holds.
    ("quarter", "quarter:"),
    ("hour", "hour:"),
    ("rolled", "rolled"),
];

/// The keys of one queue.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(queue: &str) -> Self {
        Self { prefix: format!("{{{queue}}}") }
    }

    /// What all keys begin with, and the one key that is passed to each script.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The hash of a job. For tools that look into Redis; use [`crate::queue::Queue`] for everything else.
    #[must_use]
    pub fn job(&self, id: &str) -> String {
        format!("{}:job:{id}", self.prefix)
    }

    /// The stream of events.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}:events", self.prefix)
    }

    pub(crate) fn paused(&self) -> String {
        format!("{}:paused", self.prefix)
    }

    /// The counters of one minute since 1970.
    pub(crate) fn minute(&self, minute: u64) -> String {
        format!("{}:minute:{minute}", self.prefix)
    }

    /// The counters of some minutes that are kept as one: of a quarter, or of an hour.
    pub(crate) fn span(&self, minutes: u64, number: u64) -> String {
        let name = if minutes == 15 { "quarter" } else { "hour" };
        format!("{}:{name}:{number}", self.prefix)
    }

    /// Up to which minute they have been added up.
    pub(crate) fn rolled(&self) -> String {
        format!("{}:rolled", self.prefix)
    }

    pub(crate) fn audit(&self) -> String {
        format!("{}:audit", self.prefix)
    }

    pub(crate) fn restarts(&self) -> String {
        format!("{}:restarts", self.prefix)
    }

    /// Where any idle worker is woken.
    pub(crate) fn wake_any(&self) -> String {
        format!("{}:wake", self.prefix)
    }

    /// Where one idle worker is woken.
    pub(crate) fn wake_one(&self, worker: &str) -> String {
        format!("{}:wake:{worker}", self.prefix)
    }
}

/// The table `K` of a script, with the keys whose names it uses.
pub(crate) fn lua(uses: impl Fn(&str) -> bool) -> String {
    let mut table = String::from("local K = {\n");
    for (name, rest) in NAMES.iter().filter(|(name, _)| uses(name)) {
        writeln!(table, "  {name} = KEYS[1] .. ':{rest}',").expect("a String takes any text");
    }
    table + "}\n"
}
