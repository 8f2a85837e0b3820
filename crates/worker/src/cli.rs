//! The command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::environment;
use crate::settings::Sources;

/// Provisions AI agents on OpenClaw gateways from jobs in Redis.
///
/// Exit status: 0 ok; 1 the job or check failed; 2 usage or configuration; 3 Redis or a gateway not reachable.
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
        let flags: BTreeMap<_, _> = flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
        // A variable that is not text cannot be one of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources { file: self.config.clone(), environment: std::env::vars_os().filter_map(text).collect(), flags }
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
    },
    /// Run one job document now, without the queue.
    Apply {
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
    #[command(subcommand)]
    Jobs(Jobs),
    /// Ask the worker of these settings whether it takes jobs; for health checks.
    Health,
    /// Show the settings in force and where each came from.
    Config,
    /// Show all four kinds of job at work on simulated gateways.
    Demo {
        /// Stop when all jobs are settled; status 0 if all went as intended.
        #[arg(long)]
        exit: bool,
    },
}

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs: blocked ones first, ended ones last.
    List {
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
    },
}
