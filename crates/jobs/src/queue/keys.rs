//! The keys in Redis. This is the only place that spells them: the scripts get theirs from here as well.
//!
//! All keys of a queue begin with `{<queue>}`, so that they live in one hash slot of a cluster and one script may
//! touch any of them.

use std::fmt::Write;

/// What a script calls a key, and how it goes on after `{<queue>}:`. A name that ends in `:` needs something after it.
const NAMES: [(&str, &str); 17] = [
    // HASH: one job, see `record.rs`. LIST: its last runs as JSON, oldest first.
    ("job", "job:"),
    ("history", "history:"),
    // ZSET per state: ids of the jobs in it. Score: when due (waiting states), when the lease ends (running), when it
    // got there (the rest); milliseconds since 1970.
    ("state", "state:"),
    // HASH: how many jobs are in each state.
    ("counts", "counts"),
    // Counters: order of jobs, turns of lanes, lease tokens.
    ("seq", "seq"),
    ("turn", "turn"),
    ("token", "token"),
    // ZSET per subject: its ready jobs, by order. HASH: the running job of each subject that has one.
    ("subject", "subject:"),
    ("holders", "holders"),
    // ZSET per lane: its subjects that could run a job now, by the order of that job.
    ("lane", "lane:"),
    // ZSET: lanes without an owner that have something to run, by turn. ZSET per worker: the same for lanes it owns.
    ("lanes", "lanes"),
    ("own", "own:"),
    // HASH: the worker that owns each lane with running jobs. HASH: how many jobs each such lane runs.
    ("owners", "owners"),
    ("busy", "busy"),
    // LIST of at most one token: something to look at for any worker, or with a worker's name for that one.
    ("wake", "wake"),
    // STRING: when a worker last looked for lost leases. STRING with expiry: no lease is taken back while it exists.
    ("pulse", "pulse"),
    ("calm", "calm"),
];

/// The keys of one queue.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(queue: &str) -> Self {
        Self { prefix: format!("{{{queue}}}") }
    }

    /// What all keys begin with, and the one key that is passed to each script.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The hash of a job. For tools that look into Redis; use [`super::Queue`] for everything else.
    #[must_use]
    pub fn job(&self, id: &str) -> String {
        format!("{}:job:{id}", self.prefix)
    }

    pub(super) fn counts(&self) -> String {
        format!("{}:counts", self.prefix)
    }

    /// Where any idle worker is woken.
    pub(super) fn wake_any(&self) -> String {
        format!("{}:wake", self.prefix)
    }

    /// Where one idle worker is woken.
    pub(super) fn wake_one(&self, worker: &str) -> String {
        format!("{}:wake:{worker}", self.prefix)
    }
}

/// The table `K` of the scripts.
pub(super) fn lua() -> String {
    let mut table = String::from("local K = {\n");
    for (name, rest) in NAMES {
        writeln!(table, "  {name} = KEYS[1] .. ':{rest}',").expect("a String takes any text");
    }
    table + "}\n"
}
