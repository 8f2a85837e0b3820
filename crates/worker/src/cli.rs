//! Defines the command line: commands, arguments, and the help text of each.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mission_jobs::envelope::{MAX_TIME, PRIORITY_DEFAULT, PRIORITY_LAST};
use mission_jobs::queue::MAX_REPLICAS;

use crate::environment;
use crate::settings::{Flags, Sources};
use mission_bench::Measure;
use mission_http::permissions::Role;

/// Provisions AI agents on OpenClaw gateways from jobs in Redis.
///
/// Exit status: 0 success; 1 the job or check failed; 2 wrong usage or configuration; 3 Redis or a
/// gateway is unreachable.
#[derive(Debug, Parser)]
#[command(name = "worker", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Holds the options that every command accepts.
#[derive(Debug, Args)]
pub struct Global {
    /// Read settings from this configuration file.
    #[arg(long, global = true, value_name = "FILE", env = environment::CONFIG)]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Print JSON, even on a terminal.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Global {
    /// Returns all sources of settings: the file, the environment and the options.
    pub fn sources(&self) -> Sources {
        // A variable that is not text cannot be one of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().filter_map(text).collect(),
            flags: self.flags.by_key(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run jobs; serve the dashboard, the API, health checks and metrics.
    Run {
        /// Stop when no job is left to run; status 1 if a job died or is blocked.
        #[arg(long)]
        until_idle: bool,
    },
    /// Validate job documents and enqueue them; if one is invalid, nothing is enqueued.
    Enqueue {
        /// Files with one JSON document, or one document per line; `-` is standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        options: EnqueueOptions,
    },
    /// Run one job document now, without the queue.
    Apply {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
    },
    /// Show what `apply` would change; reads from the gateway but writes nothing.
    Plan {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
    },
    /// Show the keys, values and files derived from a job document; works offline.
    Explain {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
        /// Print secrets instead of masking them.
        #[arg(long)]
        reveal: bool,
    },
    /// Write the files of a first provisioning to a local directory; works offline.
    Render {
        /// File with a JSON document; `-` is standard input.
        file: PathBuf,
        /// Write to this directory; it is created if missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// List jobs, show one, and retry, snooze, cancel or discard jobs.
    Jobs {
        #[command(flatten)]
        at: ApiTarget,
        #[command(subcommand)]
        command: Jobs,
    },
    /// Show blocked jobs, gateways, job kinds and events, updated live.
    Top(ApiTarget),
    /// List known gateways with their job counts, reachability and version; show one, store its
    /// connection, or forget it.
    Gateways {
        #[command(flatten)]
        at: ApiTarget,
        #[command(subcommand)]
        command: Option<Gateways>,
    },
    /// List the workers that sent a heartbeat in the last hour.
    Workers(ApiTarget),
    /// Stop a worker from claiming jobs; running jobs continue.
    Drain(OneWorker),
    /// Let a drained worker claim jobs again.
    Undrain(OneWorker),
    /// List the actions of operators, newest first.
    Audit {
        #[command(flatten)]
        at: ApiTarget,
        /// Show at most this many entries.
        #[arg(long, default_value_t = 50,
              value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Stop workers from claiming jobs, or jobs of one kind or gateway; running jobs continue.
    Pause {
        #[command(flatten)]
        at: ApiTarget,
        #[command(flatten)]
        scope: PauseTarget,
        /// Reason, shown to everyone while the pause lasts and recorded in the audit.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let workers claim paused jobs again.
    Resume {
        #[command(flatten)]
        at: ApiTarget,
        #[command(flatten)]
        scope: PauseTarget,
        #[command(flatten)]
        why: Reason,
    },
    /// Create a key for the secrets of jobs, or reseal all jobs with a new key.
    #[command(subcommand)]
    Key(Key),
    /// Move the queue of an older version to the present layout of its keys, after all older
    /// workers and producers were stopped; if it is cut off, run it again.
    Migrate {
        /// Only show what would be moved, or why that cannot be done now.
        #[arg(long)]
        dry_run: bool,
    },
    /// Check the configuration, Redis, the queue and gateways, and suggest remedies.
    Doctor {
        /// First repair keys of the queue that were removed or spoilt; workers may run meanwhile.
        #[arg(long)]
        repair: bool,
    },
    /// Check whether the worker with these settings is ready; for container health checks.
    Health,
    /// Create a token for the dashboard and the API, or show the local admin token.
    Token(Token),
    /// Show the effective settings and the source of each.
    Config,
    /// Benchmark the queue on this machine with a separate Redis; without a subcommand, run all
    /// benchmarks in small sizes.
    Bench {
        #[command(subcommand)]
        measure: Option<Measure>,
    },
    /// Run all four kinds of job against simulated gateways.
    Demo {
        /// Stop when all jobs have ended; status 0 if the demo succeeded.
        #[arg(long)]
        exit: bool,
    },
}

/// Selects between Redis and the HTTP API of a worker as the way to the queue.
#[derive(Debug, Args)]
pub struct ApiTarget {
    /// Use the HTTP API of a worker instead of Redis, such as `http://127.0.0.1:8787`, with the
    /// token of `http.api_token` or, on this machine, of the data directory.
    #[arg(long, global = true, value_name = "URL")]
    pub api: Option<String>,
}

/// Holds the reason for an action.
#[derive(Debug, Args)]
pub struct Reason {
    /// Reason, recorded in the audit.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Selects a worker to drain or undrain.
#[derive(Debug, Args)]
pub struct OneWorker {
    #[command(flatten)]
    pub at: ApiTarget,
    /// Name of the worker, as shown by `worker workers`.
    pub name: String,
    #[command(flatten)]
    pub why: Reason,
}

/// Selects the jobs to cancel or discard.
#[derive(Debug, Args)]
pub struct SeveralJobs {
    /// Ids of the jobs.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub why: Reason,
}

/// Holds the scheduling options of newly enqueued jobs.
#[derive(Debug, Args)]
pub struct EnqueueOptions {
    /// Wait at least this long before the first run, such as 90s, 10m or 2h; at most 30 days.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub delay: Option<Duration>,
    /// Priority among the jobs of a gateway: 0 runs first, 9 last.
    #[arg(long, value_name = "NUMBER", default_value_t = PRIORITY_DEFAULT,
          value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_LAST)))]
    pub priority: u8,
    /// Give up jobs that are not done within this time; at most 30 days.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires_in: Option<Duration>,
    /// Unique name of this request: for 24 hours, a second request with the same key enqueues
    /// nothing and returns the id of the first job.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait until this many replicas of Redis have the jobs, a second at most. If fewer have them,
    /// the command fails although the jobs are stored.
    #[arg(long, value_name = "NUMBER", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_REPLICAS)))]
    pub replicas: u8,
}

/// Selects the jobs to pause or resume; all jobs if neither option is given.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct PauseTarget {
    /// Only jobs of this kind.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only jobs of the gateway with this id.
    #[arg(long, value_name = "ID")]
    pub gateway: Option<String>,
}

/// Parses a duration such as `90s` or `2h`, from 1 ms to [`MAX_TIME`].
fn time(text: &str) -> Result<Duration, String> {
    let time =
        text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    let fits = time.filter(|time| *time >= Duration::from_millis(1) && *time <= MAX_TIME);
    fits.ok_or_else(|| "use a duration such as 90s, 10m or 2h, at most 720h".to_owned())
}

/// Holds the arguments of `worker token`, which either creates a token or runs a subcommand.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Token {
    /// Name of the owner, as recorded in the audit.
    #[arg(required = true)]
    pub name: Option<String>,
    /// Permissions of the token: viewer, operator or admin.
    #[arg(long, default_value_t = Role::Viewer)]
    pub role: Role,
    #[command(subcommand)]
    pub command: Option<Show>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Show {
    /// Show the local admin token, which is valid over loopback only; created if missing.
    Show,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Print a new key for `secrets.key` (`MISSION_SECRET_KEY`).
    New,
    /// Seal the secrets of all jobs with the first key, including those that are not sealed yet or
    /// are sealed with another key.
    Reseal,
}

#[derive(Debug, Subcommand)]
pub enum Gateways {
    /// Show a gateway, the connection that its jobs use, and the agents recorded on it.
    Show {
        /// Id of the gateway.
        id: String,
    },
    /// Store the connection of a gateway without a job; its blocked jobs are tried again if it is
    /// another one than before.
    Put {
        /// File with the `gateway` of a job document; `-` is standard input.
        file: PathBuf,
        #[command(flatten)]
        why: Reason,
    },
    /// Forget a gateway: its connection, its agents and its figures; the gateway itself is left
    /// alone.
    Forget {
        /// Id of the gateway.
        id: String,
        /// Also forget agents that are not deleted, and cancel waiting jobs.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        why: Reason,
    },
}

#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs, blocked jobs first and ended jobs last.
    List {
        /// Search query: state:blocked,dead kind:KIND gateway:ID agent:ID board:ID error:CODE id:ID
        /// and free words.
        #[arg(value_name = "QUERY")]
        query: Vec<String>,
        /// Only jobs in this state.
        #[arg(long)]
        state: Option<String>,
        /// Show at most this many jobs.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show all details of a job; secrets are masked.
    Show {
        /// Id of the job.
        id: String,
    },
    /// Run a dead, blocked or waiting job again now.
    Retry {
        /// Id of the job.
        id: String,
        /// Retry even if this would undo newer jobs of the same agent.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        why: Reason,
    },
    /// Run a blocked job again now, after its cause is fixed.
    Unblock {
        /// Id of the job.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Postpone a ready or waiting job.
    Snooze {
        /// Id of the job.
        id: String,
        /// Time to wait, such as 90s, 10m or 2h; at most 30 days.
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Duration,
        #[command(flatten)]
        why: Reason,
    },
    /// List current failures, grouped by gateway, code and method.
    Failures,
    /// Cancel jobs; a running job is stopped within seconds.
    Cancel(SeveralJobs),
    /// Discard dead jobs: they become cancelled and are never retried.
    Discard(SeveralJobs),
}
