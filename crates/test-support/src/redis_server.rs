//! A private `redis-server` for one test.

use std::fs;
use std::future::ready;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use mission_jobs::Queue;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use uuid::Uuid;

/// Names another program to test with, for example a `valkey-server`.
const PROGRAM: &str = "MISSION_TEST_REDIS_SERVER";

/// Sets the number of shards of the queues that tests open.
const SHARDS: &str = "MISSION_TEST_SHARDS";

/// Changes one field of a job.
const CHANGE: &str = "local job = read(ARGV[1])
job[ARGV[2]] = tonumber(ARGV[3]) or ARGV[3]
save(job)";

/// A server on a unix socket in a directory of its own, which is killed when it is dropped.
pub struct RedisServer {
    directory: TempDir,
    options: Vec<String>,
    port: u16,
    child: Child,
}

impl RedisServer {
    /// Starts a server, and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with(|_| Vec::new()).await
    }

    /// Starts a server with options that may use a free port of the loopback interface. It also
    /// listens on its socket, without TLS.
    pub async fn start_with(options: impl Fn(u16) -> Vec<String>) -> Self {
        // Another process may take the port before the server does, which then ends.
        for _ in 0..10 {
            let directory = TempDir::new().expect("a temporary directory");
            fs::write(directory.path().join("redis.conf"), "").expect("it can be written to");
            let port = free_port();
            let options = options(port);
            let child = spawn(&directory, &options);
            let mut server = Self { directory, options, port, child };
            if server.becomes_ready().await {
                return server;
            }
        }
        panic!("redis-server did not become ready");
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server was running");
        self.child.wait().expect("redis-server is a child");
    }

    /// Stops the process without ending it, so that it takes connections and never answers.
    pub fn freeze(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-STOP", &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill is on the PATH");
    }

    /// Starts it on the same data, after [`Self::kill`].
    pub async fn restart(&mut self) {
        self.child = spawn(&self.directory, &self.options);
        assert!(self.becomes_ready().await, "redis-server did not become ready again");
    }

    /// Opens the queue `test` on the server.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.queue_named("test")
    }

    /// Opens a queue on the server.
    #[must_use]
    pub fn queue_named(&self, name: &str) -> Queue {
        let shards = std::env::var(SHARDS).map_or(1, |count| count.parse().unwrap());
        Queue::open(&self.url(), name).unwrap().with_shards(shards).unwrap()
    }

    /// Connects to the server.
    pub async fn connect(&self) -> MultiplexedConnection {
        self.client().get_multiplexed_async_connection().await.unwrap()
    }

    /// Changes a job without its queue.
    pub async fn change(&self, queue: &Queue, job: Uuid, field: &str, value: &str) {
        let prefix = format!("{{{}}}", queue.name());
        change(&mut self.connect().await, &prefix, job, field, value).await;
    }

    /// Sends a command that is written as one line.
    pub async fn tell<T: redis::FromRedisValue>(&self, line: &str) -> T {
        let words: Vec<_> = line.split(' ').collect();
        let mut command = redis::cmd(words[0]);
        let answer = command.arg(&words[1..]).query_async(&mut self.connect().await).await;
        answer.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Waits, at most about 30 s, until this number of workers are idle: each blocks on its own
    /// connection.
    pub async fn has_idle(&self, workers: usize) {
        let blocked = format!("blocked_clients:{workers}\r\n");
        let mut connection = self.connect().await;
        for _ in 0..6000 {
            let info: String =
                redis::cmd("INFO").arg("clients").query_async(&mut connection).await.unwrap();
            if info.contains(&blocked) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not in time: {workers} idle workers");
    }

    /// Starts to record every command that the server executes.
    pub async fn monitor(&self) -> Monitor {
        let lines = self.client().get_async_monitor().await.unwrap();
        Monitor { lines, connection: self.connect().await }
    }

    /// Returns a client of the server.
    #[must_use]
    pub fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }

    /// Returns the url of the server's socket.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.directory.path().join("redis.sock").display())
    }

    /// Returns the directory with its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the port that its options were given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it is ready. Returns `false` if it ended instead.
    async fn becomes_ready(&mut self) -> bool {
        for _ in 0..2000 {
            if let Ok(mut connection) = self.client().get_multiplexed_async_connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return true;
            }
            if self.child.try_wait().expect("redis-server is a child").is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

/// The commands that a server executes, see [`RedisServer::monitor`].
pub struct Monitor {
    lines: redis::aio::Monitor,
    connection: MultiplexedConnection,
}

impl Monitor {
    /// Returns the commands executed so far, in order:
    /// `<time> [0 <client, or lua>] "<command>" "<argument>" …`.
    pub async fn so_far(mut self) -> Vec<String> {
        redis::cmd("ECHO").arg("that is all").exec_async(&mut self.connection).await.unwrap();
        let is_more = |line: &String| ready(!line.contains("that is all"));
        self.lines.into_on_message::<String>().take_while(is_more).collect().await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // The test may have killed it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port on which nobody listens at the moment.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Changes a field of a job of the queue whose keys have this prefix.
pub async fn change(
    connection: &mut MultiplexedConnection,
    prefix: &str,
    job: Uuid,
    field: &str,
    value: &str,
) {
    let script = redis::Script::new(&mission_jobs::queue::test_script(CHANGE));
    let mut call = script.key(prefix);
    call.arg(job.to_string()).arg(field).arg(value);
    call.invoke_async::<()>(connection).await.unwrap();
}

fn spawn(directory: &TempDir, options: &[String]) -> Child {
    let program = std::env::var(PROGRAM).unwrap_or_else(|_| "redis-server".to_owned());
    Command::new(program)
        .args(["redis.conf", "--bind", "127.0.0.1", "--port", "0", "--unixsocket", "redis.sock"])
        // With `everysec`, a server that is killed while the disk is slow loses what it held back
        // meanwhile.
        .args(["--appendonly", "yes", "--appendfsync", "no", "--save", ""])
        .arg("--dir")
        .arg(directory.path())
        .args(options)
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server on the PATH; install the package of that name")
}
