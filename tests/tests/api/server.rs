//! A worker that serves HTTP, with a Redis of its own, and a client that sends exactly the given
//! requests.

use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use mission_jobs::Queue;
use mission_test_support::RedisServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::processes::{Started, Worker, most_resident, resident};

const PATIENCE: Duration = Duration::from_secs(60);

/// A worker that serves HTTP.
pub struct Server {
    /// The address at which the worker listens.
    pub addr: SocketAddr,
    /// The queue of the worker.
    pub queue: Queue,
    pub redis: RedisServer,
    folder: TempDir,
    pid: u32,
    _worker: Started,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The head, with header names in lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Returns the body as JSON, or null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Server {
    /// Starts a worker on loopback with these environment variables.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1:0", variables).await
    }

    /// Starts a worker that listens at `addr`. Requests go to its loopback address in any case.
    pub async fn start_at(addr: &str, variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        Self::start_as(Worker::new(folder.path()), folder, addr, variables).await
    }

    /// Starts a worker on loopback with at most `memory` KiB of address space.
    pub async fn start_within(memory: u64, variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        Self::start_as(Worker::within(folder.path(), memory), folder, "127.0.0.1:0", variables)
            .await
    }

    async fn start_as(
        worker: Worker,
        folder: TempDir,
        addr: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let redis = RedisServer::start().await;
        let log = File::create(folder.path().join("log")).unwrap();
        let worker = worker.env("MISSION_REDIS_URL", redis.url()).env("MISSION_QUEUE", "test");
        let worker = variables.iter().fold(worker, |worker, (name, value)| worker.env(name, value));
        let mut worker = worker.env("MISSION_HTTP_ADDR", addr).spawn_into(&["run"], log);
        let (queue, port) = (
            redis.queue(),
            timeout(PATIENCE, port(&folder)).await.expect("the worker listens in time"),
        );
        Self {
            addr: ([127, 0, 0, 1], port).into(),
            queue,
            folder,
            redis,
            pid: worker.pid().unwrap(),
            _worker: worker,
        }
    }

    /// Returns the header with the machine token, which the worker has created.
    pub fn bearer(&self) -> String {
        let token = std::fs::read_to_string(self.folder.path().join("http.token")).unwrap();
        format!("authorization: Bearer {token}")
    }

    /// Returns the data directory of the worker.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns the CPU time that the worker has used, in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        let ticks = after_name
            .split(' ')
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<f64>().unwrap())
            .sum::<f64>();
        // On all common machines the kernel reports CPU time in hundredths of a second.
        ticks / 100.0
    }

    /// Returns the memory of the worker, in KiB.
    pub fn memory(&self) -> u64 {
        resident(self.pid)
    }

    /// Returns the peak memory of the worker, in KiB.
    pub fn most_memory(&self) -> u64 {
        most_resident(self.pid)
    }

    /// Returns the log of the worker so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Sends a request and reads the answer to its end. The headers are lines; a host is added
    /// unless one is given.
    pub async fn send(&self, request: &str, headers: &[&str], body: &str) -> Answer {
        let host = format!("host: {}", self.addr);
        let host = if headers.iter().any(|line| line.starts_with("host:")) {
            None
        } else {
            Some(host.as_str())
        };
        let lines = headers
            .iter()
            .copied()
            .chain(host)
            .fold(String::new(), |lines, line| lines + line + "\r\n");
        let head = format!(
            "{request} HTTP/1.1\r\n{lines}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        self.send_raw(&(head + body)).await
    }

    /// Sends a request verbatim and reads the answer to its end.
    pub async fn send_raw(&self, request: &str) -> Answer {
        raw(self.addr, request).await
    }

    /// Gets a path with these headers.
    pub async fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.send(&format!("GET {path}"), headers, "").await
    }

    /// Posts a JSON body to a path.
    pub async fn post(&self, path: &str, headers: &[&str], body: &Value) -> Answer {
        let headers = [headers, &["content-type: application/json"]].concat();
        self.send(&format!("POST {path}"), &headers, &body.to_string()).await
    }
}

/// Sends a request verbatim, which must end the connection, and reads the answer to its end.
pub async fn raw(addr: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer in time").unwrap();
    read(&String::from_utf8(answer).unwrap())
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let lower = |line: &str| {
        line.split_once(": ").map(|(name, value)| format!("{}: {value}\n", name.to_lowercase()))
    };
    Answer { status, head: head.lines().filter_map(lower).collect(), body: body.to_owned() }
}

/// Waits for the port that the worker reports.
async fn port(folder: &TempDir) -> u16 {
    loop {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        let started = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let addr = started
            .filter(|line| line["message"] == "worker started")
            .find_map(|line| line["http"].as_str()?.parse::<SocketAddr>().ok());
        if let Some(addr) = addr {
            return addr.port();
        }
        sleep(Duration::from_millis(5)).await;
    }
}
