//! Runs a private Redis: without a `redis.url`, the worker starts its own `redis-server` or
//! `valkey-server`.
//!
//! The server listens on a unix socket that only the worker's user can open, and keeps an
//! append-only file in the data directory. It is restarted if it ends unexpectedly, and stopped
//! cleanly with the worker. Short commands use the server of a running worker, or start one for a
//! moment. A server that outlived its worker (killed, out of memory) is taken over by the next
//! worker.

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

/// The supported servers, in order of preference.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];
/// The options of a server. Redis searches small sorted sets from their beginning, but that of
/// running jobs grows at the end, hence the last option.
pub const OPTIONS: &str = "--port 0 --unixsocketperm 700 --daemonize no --appendonly yes \
    --appendfsync everysec --maxmemory-policy noeviction --zset-max-listpack-entries 32";
/// Time limit for a server to read its append-only file.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Time limit for a server to write its last data and end.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Delay before a server that ended is restarted.
const RESTART_AFTER: Duration = Duration::from_millis(500);
/// Maximum length of the path of a unix socket in bytes, without the terminating zero.
const MAX_SOCKET_PATH: usize = 107;

/// The reason why there is no private Redis.
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
        "another worker runs a private Redis in {dir}; to share a Redis between workers, set \
            MISSION_REDIS_URL, or else set another data directory"
    )]
    InUse {
        /// The data directory of the private Redis.
        dir: PathBuf,
    },
    /// The path of the socket is too long for the system.
    #[error(
        "{path} is too long for a socket (limit {MAX_SOCKET_PATH} bytes); set a shorter data \
            directory"
    )]
    PathTooLong {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The server ended or did not answer in time.
    #[error("the private Redis did not start; see {log}")]
    NotStarted {
        /// The log of the server.
        log: PathBuf,
    },
    /// The directory is not accessible.
    #[error("private Redis in {dir}: {source}; give the worker's user access to it")]
    Io {
        /// The data directory of the private Redis.
        dir: PathBuf,
        /// The underlying I/O error.
        source: io::Error,
    },
}

/// The kind of process that opens the private Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisRole {
    /// A worker, which needs the Redis for itself while it runs.
    Worker,
    /// A short command, which may use the Redis of a running worker.
    Command,
}

/// An open private Redis.
#[derive(Debug)]
pub struct PrivateRedis {
    socket: PathBuf,
    /// The server if this process started it or took it over, and has to stop it.
    owned: Option<Owned>,
}

#[derive(Debug)]
struct Owned {
    /// Set to `true`, it ends the task.
    closing: watch::Sender<bool>,
    /// The task that restarts the server, and ends when the server has been stopped.
    keeping: JoinHandle<()>,
    /// Locked while this process owns the server.
    _lock: File,
}

impl PrivateRedis {
    /// Starts, takes over or finds the private Redis of a data directory.
    pub async fn open(data_dir: &Path, role: RedisRole) -> Result<Self, PrivateRedisError> {
        let dir = data_dir.join("redis");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(io(&dir))?;
        let dir = fs::canonicalize(&dir).map_err(io(&dir))?;
        let socket = dir.join("redis.sock");
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(PrivateRedisError::PathTooLong { path: socket });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(dir.join("lock")).map_err(io(&dir))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock)
                    if role == RedisRole::Command && answers(&socket).await =>
                {
                    return Ok(Self { socket, owned: None });
                }
                // The owner is starting or stopping, or is a short command.
                Err(TryLockError::WouldBlock) if began.elapsed() < Duration::from_secs(5) => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(TryLockError::WouldBlock) => return Err(PrivateRedisError::InUse { dir }),
                Err(TryLockError::Error(source)) => return Err(io(&dir)(source)),
            }
        }
        let server = if answers(&socket).await {
            warn!(dir = %dir.display(), "private Redis taken over from an earlier worker");
            None
        } else {
            Some(start(&dir, &socket).await?)
        };
        let (closing, closes) = watch::channel(false);
        let keeping = tokio::spawn(keep(dir, socket.clone(), server, closes));
        Ok(Self { socket, owned: Some(Owned { closing, keeping, _lock: lock }) })
    }

    /// Returns the URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Stops the server if this process owns it. The server writes all data first.
    pub async fn close(self) {
        let Some(owned) = self.owned else { return };
        owned.closing.send_replace(true);
        if tokio::time::timeout(STOP_WITHIN, owned.keeping).await.is_err() {
            let socket = self.socket.display();
            warn!(%socket, "private Redis did not stop in time, left running");
        }
    }
}

fn io(dir: &Path) -> impl Fn(io::Error) -> PrivateRedisError {
    |source| PrivateRedisError::Io { dir: dir.to_owned(), source }
}

/// Keeps a server running until `closes` is true, then stops it. `server` is `None` for a server
/// that was taken over.
async fn keep(
    dir: PathBuf,
    socket: PathBuf,
    mut server: Option<Child>,
    mut closes: watch::Receiver<bool>,
) {
    loop {
        let closing = tokio::select! {
            // The sender is dropped only with the process.
            seen = closes.wait_for(|closing| *closing) => { drop(seen); true }
            () = ended(server.as_mut(), &socket) => false,
        };
        if closing {
            // The answer to a successful SHUTDOWN is the end of the connection.
            let _ = command(&socket, "SHUTDOWN").await;
            return ended(server.as_mut(), &socket).await;
        }
        warn!(socket = %socket.display(), "private Redis ended unexpectedly, restarting");
        sleep(RESTART_AFTER).await;
        match start(&dir, &socket).await {
            Ok(child) => server = Some(child),
            Err(error) => error!(%error, "private Redis failed to restart, retrying"),
        }
    }
}

/// Waits until a server has ended.
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
        command.args(OPTIONS.split(' ')).args(["--save", ""]);
        command.arg("--unixsocket").arg(socket).arg("--dir").arg(dir).arg("--logfile").arg(&log);
        // A separate process group: Ctrl-C stops the worker first, and the worker stops Redis.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(io(dir)(source)),
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
        // The process may have ended already.
        let _ = child.kill().await;
        return Err(PrivateRedisError::NotStarted { log });
    }
    Err(PrivateRedisError::NotInstalled)
}

/// Returns whether a server runs and has loaded its data.
async fn answers(socket: &Path) -> bool {
    command(socket, "PING").await.is_ok()
}

async fn command(socket: &Path, word: &str) -> redis::RedisResult<redis::Value> {
    let client = redis::Client::open(format!("unix://{}", socket.display()))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd(word).query_async(&mut connection).await
}
