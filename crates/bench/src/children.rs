//! `worker run` as a separate process on the Redis of the arena.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStderr, Command};
use tokio::time::timeout;

use super::arena::Arena;

/// The time within which a process must start, with many others beside it.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Makes the command that starts a worker process.
pub type Launch = fn(&WorkerProcess<'_>) -> std::io::Result<Command>;

/// The settings that a worker process is started with.
#[derive(Debug)]
pub struct WorkerProcess<'a> {
    /// The configuration file.
    pub config: &'a Path,
    /// The data directory.
    pub data_dir: &'a Path,
    /// The name of the queue.
    pub queue: &'a str,
    /// The url of the Redis.
    pub redis_url: &'a str,
}

/// A worker process with default settings. Killed when dropped.
pub struct Child {
    process: Process,
    /// The process id.
    pub pid: u32,
}

impl Child {
    /// Starts a process, and waits until it claims jobs.
    pub async fn start(arena: &Arena, number: usize, concurrency: usize) -> anyhow::Result<Self> {
        let dir = arena.dir.path().join(format!("worker-{number}"));
        std::fs::create_dir_all(&dir)?;
        let config = dir.join("worker.toml");
        let settings = format!("[worker]\nconcurrency = {concurrency}\n[log]\nformat = \"json\"\n");
        std::fs::write(&config, settings)?;
        let process = WorkerProcess {
            config: &config,
            data_dir: &dir,
            queue: arena.queue.name(),
            redis_url: &arena.url,
        };
        let mut command = (arena.launch)(&process)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().context("worker run")?;
        let pid = process.id().expect("it has not been waited for");
        let mut log = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        timeout(START_WITHIN, started(&mut log)).await.context("worker run does not start")??;
        // A log that nobody reads would stop it one day.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Ok(Self { process, pid })
    }

    /// Kills the process with `kill -9`.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("kill a worker")
    }
}

async fn started(log: &mut Lines<BufReader<ChildStderr>>) -> anyhow::Result<()> {
    let mut last = String::new();
    while let Some(line) = log.next_line().await? {
        if line.contains("worker started") {
            return Ok(());
        }
        last = line;
    }
    bail!("worker run ended at once: {last}")
}
