//! A private `redis-server` for one test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mission_jobs::Queue;
use tempfile::TempDir;

/// Runs on a unix socket in a directory of its own, and is killed when dropped.
pub(crate) struct RedisServer {
    directory: TempDir,
    child: Child,
}

impl RedisServer {
    pub(crate) async fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let child = spawn(&directory);
        let server = Self { directory, child };
        server.wait_until_ready().await;
        server
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("redis-server was running");
        self.child.wait().expect("redis-server is a child");
    }

    /// On the same data, after [`Self::kill`].
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.directory);
        self.wait_until_ready().await;
    }

    pub(crate) fn queue(&self) -> Queue {
        self.queue_named("test")
    }

    pub(crate) fn queue_named(&self, name: &str) -> Queue {
        Queue::open(&self.url(), name).unwrap()
    }

    pub(crate) async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    async fn wait_until_ready(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        for _ in 0..2000 {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("redis-server did not become ready");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "redis.sock", "--appendonly", "yes", "--save", ""])
        .arg("--dir")
        .arg(directory.path())
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server on the PATH; install the package of that name")
}
