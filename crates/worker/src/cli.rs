//! The command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mission_jobs::envelope::{MAX_TIME, PRIORITY_DEFAULT, PRIORITY_LAST};

use crate::commands::bench::Measure;
use crate::environment;
use crate::http::permissions::Role;
use crate::settings::Sources;

/// Provisions AI agents on OpenClaw gateways from jobs in Redis.
///
/// Exit status: 0 ok; 1 the job or check failed; 2 usage or configuration; 3 Redis or a gateway not
/// reachable.
#[derive(Debug, Parser)]
#[command(name = "worker", version, propagate_version = true)]
pub struct Cli {
    /// Settings that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", env = environment::CONFIG)]
    config: Option<PathBuf>,
    /// Where Redis is; without any, a private one is started.
    #[arg(long, global = true, value_name = "URL")]
    redis_url: Option<String>,
    /// Name of the queue.
    #[arg(long, global = true, value_name = "NAME")]
    queue: Option<String>,
    /// Folder for what the worker keeps.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where to listen for HTTP.
    #[arg(long, global = true, value_name = "ADDR")]
    http_addr: Option<String>,
    /// Print JSON, even on a terminal.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Global {
    /// All sources of settings.
    pub fn sources(&self) -> Sources {
        let flags = [
            ("redis.url", &self.redis_url),
            ("redis.queue", &self.queue),
            ("data.dir", &self.data_dir),
            ("http.addr", &self.http_addr),
        ];
        let flags: BTreeMap<_, _> =
            flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
        // A variable that is not text cannot be one of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().filter_map(text).collect(),
            flags,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Work on jobs; serve health and metrics.
    Run {
        /// Stop when nothing is left to do; status 1 if something died or is blocked.
        #[arg(long)]
        until_idle: bool,
    },
    /// Check job documents and put them on the queue; a bad one enqueues nothing.
    Enqueue {
        /// Files with a JSON document, or one per line; `-` is standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// How they are to be run.
        #[command(flatten)]
        how: EnqueueOptions,
    },
    /// Run one job document now, without the queue.
    Apply {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
    },
    /// Show what running one job document now would change; reads the gateway and writes nothing.
    Plan {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
    },
    /// Show what a job document means, offline.
    Explain {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
        /// Show secrets.
        #[arg(long)]
        reveal: bool,
    },
    /// Write the files that a fresh provisioning would write, offline.
    Render {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
        /// Folder to write to; made if missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Look at jobs and act on them.
    Jobs {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
        /// What to do.
        #[command(subcommand)]
        command: Jobs,
    },
    /// Show the queue live: what is blocked and why, gateways, kinds of jobs, what happens.
    Top {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
    },
    /// List the gateways that jobs came for: how their jobs fare, and what they said of themselves.
    Gateways {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
    },
    /// List the workers that have been heard of in the last hour.
    Workers {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
    },
    /// Have a worker take no more jobs; running ones go on.
    Drain {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
        /// The worker's name, as `worker workers` shows it.
        name: String,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Have a drained worker take jobs again.
    Undrain {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
        /// The worker's name, as `worker workers` shows it.
        name: String,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Show what people did by hand, newest first.
    Audit {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
        /// Most entries shown.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Stop all workers from taking jobs: all, those of a kind, or those of a gateway. Running ones
    /// go on.
    Pause {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
        /// Which jobs.
        #[command(flatten)]
        what: PauseScope,
        /// Why, for those who wonder.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let workers take jobs again that were paused.
    Resume {
        /// Where.
        #[command(flatten)]
        at: ApiTarget,
        /// Which jobs.
        #[command(flatten)]
        what: PauseScope,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Keys that the secrets of jobs are sealed with.
    #[command(subcommand)]
    Key(Key),
    /// Check configuration, Redis, queue and gateways, and say what to do.
    Doctor,
    /// Ask the worker of these settings whether it takes jobs; for health checks.
    Health,
    /// Make a token for the dashboard and the API, and its entry for `http.tokens`; or show that of
    /// this machine.
    Token(Token),
    /// Show the settings in force and where each came from.
    Config,
    /// Measure the queue on this machine, on a Redis of its own; all of it in small sizes unless
    /// one thing is named.
    Bench {
        /// What to measure.
        #[command(subcommand)]
        measure: Option<Measure>,
    },
    /// Show all four kinds of job at work on simulated gateways.
    Demo {
        /// Stop when all jobs are settled; status 0 if all went as intended.
        #[arg(long)]
        exit: bool,
    },
}

/// Where the queue is looked for.
#[derive(Debug, Args)]
pub struct ApiTarget {
    /// Ask the worker that serves the API there instead of Redis, such as `http://127.0.0.1:8787`.
    /// The token is that of the setting `http.api_token`; without one, and if the worker is on this
    /// machine, that in the data directory.
    #[arg(long, global = true, value_name = "URL")]
    pub api: Option<String>,
}

/// How enqueued jobs are to be run.
#[derive(Debug, Args)]
pub struct EnqueueOptions {
    /// Run them after this time at the earliest, such as 90s, 10m, 2h; 30 days at most.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub delay: Option<Duration>,
    /// Which jobs of a gateway come first: 0 comes first, 9 last.
    #[arg(long, value_name = "NUMBER", default_value_t = PRIORITY_DEFAULT,
          value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_LAST)))]
    pub priority: u8,
    /// Give them up if they are not done after this time; 30 days at most.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires_in: Option<Duration>,
    /// Name of the request: within a day, the same name stores nothing and answers the first job's
    /// id.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// Which jobs to pause or resume; all, if it does not say.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct PauseScope {
    /// Those of a kind.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Those of a gateway.
    #[arg(long, value_name = "ID")]
    pub gateway: Option<String>,
}

/// Reads a time such as `90s` or `2h`.
fn time(text: &str) -> Result<Duration, String> {
    let time =
        text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    let fits = time.filter(|time| *time >= Duration::from_millis(1) && *time <= MAX_TIME);
    fits.ok_or_else(|| "use a time such as 90s, 10m or 2h, at most 720h".to_owned())
}

/// A token to be made, or that of this machine.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Token {
    /// Whose it is, as the audit shows.
    #[arg(required = true)]
    pub name: Option<String>,
    /// What it allows: viewer, operator or admin.
    #[arg(long, default_value_t = Role::Viewer)]
    pub role: Role,
    /// What else can be done.
    #[command(subcommand)]
    pub command: Option<Show>,
}

/// What can be done with the token of this machine.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Show {
    /// Show the token of this machine, which lets an admin in over loopback; it is made if there is
    /// none yet.
    Show,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Print a new key for secrets.key (`MISSION_SECRET_KEY`).
    New,
    /// Seal the secrets of all jobs with the first key: those that are not sealed, and those sealed
    /// with another key.
    Reseal,
}

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs: blocked ones first, ended ones last.
    List {
        /// What to look for: state:blocked,dead kind:KIND gateway:ID agent:ID board:ID error:CODE
        /// id:ID, and words.
        #[arg(value_name = "QUERY")]
        query: Vec<String>,
        /// Only jobs in this state.
        #[arg(long)]
        state: Option<String>,
        /// Most jobs shown.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show everything about one job; secrets are masked.
    Show {
        /// The job's id.
        id: String,
    },
    /// Run a dead, blocked or waiting job again now.
    Retry {
        /// The job's id.
        id: String,
        /// Even if newer jobs of the same agent have come since, which it would undo.
        #[arg(long)]
        force: bool,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Run a blocked job again now, when what blocked it is mended.
    Unblock {
        /// The job's id.
        id: String,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Let a job wait that is ready, or waits already.
    Snooze {
        /// The job's id.
        id: String,
        /// For how long, such as 90s, 10m, 2h; 30 days at most.
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Duration,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Show what goes wrong: jobs that failed in the same way count together.
    Failures,
    /// End jobs that are not wanted any more. A running one is stopped within seconds.
    Cancel {
        /// The jobs' ids.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Take dead jobs off the list.
    Discard {
        /// The jobs' ids.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Why, for the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}
