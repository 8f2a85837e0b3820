//! A private Redis: when no `redis.url` is set, the worker starts a `redis-server` or
//! `valkey-server` of its own.
//!
//! It listens on a unix socket that only the worker's user can open, keeps an append-only file in
//! the data directory, is started again should it end by itself, and is stopped cleanly with the
//! worker. Short commands use the one of a running worker, or start it for a moment. One that
//! outlived its worker (killed, out of memory) is taken over by the next.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

/// Servers that serve, best first.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];
/// How long a server may take to read its append-only file.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long a server may take to write its last data and end.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long after its end a server is started again.
const RESTART_AFTER: Duration = Duration::from_millis(500);
/// Longest path of a unix socket, less the end mark.
const MAX_SOCKET_PATH: usize = 107;

/// Why there is no private Redis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateRedisError {
    /// No server is installed.
    #[error(
        "no redis.url is set and neither redis-server nor valkey-server is installed; run `apt \
            install redis-server`, or set MISSION_REDIS_URL"
    )]
    NotInstalled,
    /// Another worker uses the data directory.
    #[error(
        "another worker runs a private Redis in {dir}; set MISSION_REDIS_URL to let workers share \
            a Redis, or another data directory"
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The socket's path is too long for the system.
    #[error(
        "{path} is too long for a socket ({MAX_SOCKET_PATH} bytes); set a shorter data directory"
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The server ended or never answered.
    #[error("the private Redis does not start; see {log}")]
    NotStarted {
        /// Its log.
        log: PathBuf,
    },
    /// The directory cannot be used.
    #[error("private Redis in {dir}: {source}; give the worker's user access to it")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Who asks for the Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisRole {
    /// A worker: needs it for itself for as long as it runs.
    Worker,
    /// A short command: that of a running worker will do.
    Command,
}

/// A private Redis in use.
#[derive(Debug)]
pub struct PrivateRedis {
    socket: PathBuf,
    /// What this process started or took over, and has to stop; none if it is another's.
    owned: Option<Owned>,
}

#[derive(Debug)]
struct Owned {
    /// Set to true to end `keeping`.
    closing: watch::Sender<bool>,
    /// Starts the server again should it end by itself; ends when the server has been stopped.
    keeping: JoinHandle<()>,
    /// Held for as long as the server is this process's.
    _lock: File,
}

impl PrivateRedis {
    /// Starts, takes over or finds the private Redis of a data directory.
    pub async fn open(data_dir: &Path, purpose: RedisRole) -> Result<Self, PrivateRedisError> {
        let dir = data_dir.join("redis");
        let io = |source| PrivateRedisError::Io { dir: dir.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io)?;
        let dir = fs::canonicalize(&dir).map_err(io)?;
        let socket = dir.join("redis.sock");
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(PrivateRedisError::PathTooLong { path: socket });
        }
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"));
        let lock = file.map_err(|source| PrivateRedisError::Io { dir: dir.clone(), source })?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock)
                    if purpose == RedisRole::Command && answers(&socket).await =>
                {
                    return Ok(Self { socket, owned: None });
                }
                // Its owner is starting or stopping; a short command is soon done.
                Err(TryLockError::WouldBlock) if began.elapsed() < Duration::from_secs(5) => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(TryLockError::WouldBlock) => return Err(PrivateRedisError::InUse { dir }),
                Err(TryLockError::Error(source)) => {
                    return Err(PrivateRedisError::Io { dir, source });
                }
            }
        }
        let server = if answers(&socket).await {
            warn!(dir = %dir.display(), "took over a private Redis that outlived its worker");
            None
        } else {
            Some(start(&dir, &socket).await?)
        };
        let (closing, closes) = watch::channel(false);
        let keeping = tokio::spawn(keep(dir, socket.clone(), server, closes));
        Ok(Self { socket, owned: Some(Owned { closing, keeping, _lock: lock }) })
    }

    /// Where it is, as a url.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Stops the server if it is this process's; it writes all data first.
    pub async fn close(self) {
        let Some(owned) = self.owned else { return };
        owned.closing.send_replace(true);
        if tokio::time::timeout(STOP_WITHIN, owned.keeping).await.is_err() {
            warn!(socket = %self.socket.display(), "the private Redis does not stop; it is left \
                running");
        }
    }
}

/// Keeps a server running until told to stop it. `server` is none if it was taken over.
async fn keep(
    dir: PathBuf,
    socket: PathBuf,
    mut server: Option<Child>,
    mut closes: watch::Receiver<bool>,
) {
    loop {
        let closing = tokio::select! {
            // The sender is dropped with the process only.
            told = closes.wait_for(|closing| *closing) => { drop(told); true }
            () = ended(server.as_mut(), &socket) => false,
        };
        if closing {
            // The answer to a successful SHUTDOWN is the end of the connection.
            let _ = command(&socket, &["SHUTDOWN"]).await;
            return ended(server.as_mut(), &socket).await;
        }
        warn!(socket = %socket.display(), "the private Redis ended by itself; starting it again");
        sleep(RESTART_AFTER).await;
        match start(&dir, &socket).await {
            Ok(child) => server = Some(child),
            Err(error) => error!(%error, "the private Redis is not back; trying again"),
        }
    }
}

/// Waits for the end of a server.
async fn ended(server: Option<&mut Child>, socket: &Path) {
    match server {
        Some(server) => drop(server.wait().await),
        None => {
            while answers(socket).await {
                sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

async fn start(dir: &Path, socket: &Path) -> Result<Child, PrivateRedisError> {
    let log = dir.join("redis.log");
    for server in SERVERS {
        let mut command = Command::new(server);
        command.args(["--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--save", ""]);
        command.args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--maxmemory-policy",
            "noeviction",
        ]);
        // Redis goes through short sorted sets from their beginning; that of running jobs grows at
        // its end.
        command.args(["--zset-max-listpack-entries", "32"]);
        command.arg("--unixsocket").arg(socket).arg("--dir").arg(dir).arg("--logfile").arg(&log);
        // A group of its own, so that Ctrl-C stops the worker first and the worker stops Redis.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(PrivateRedisError::Io { dir: dir.to_owned(), source }),
        };
        let began = Instant::now();
        while began.elapsed() < START_WITHIN {
            if answers(socket).await {
                debug!(server, socket = %socket.display(), "private Redis started");
                return Ok(child);
            }
            if !matches!(child.try_wait(), Ok(None)) {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        // It may have ended by itself.
        let _ = child.kill().await;
        return Err(PrivateRedisError::NotStarted { log });
    }
    Err(PrivateRedisError::NotInstalled)
}

/// Whether a server is there and has read its data.
async fn answers(socket: &Path) -> bool {
    command(socket, &["PING"]).await.is_ok()
}

async fn command(socket: &Path, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let client = redis::Client::open(format!("unix://{}", socket.display()))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut connection).await
}
