//! The processes of the worker, on its private Redis.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Deserializer, Value};
use tokio::process::Command;
use tokio::time::timeout;

use super::gateway::print_end;
use crate::processes::binary;

/// The maximum time for a command of the worker. Some gateways allow three writes a minute.
const PATIENCE: Duration = Duration::from_secs(900);

/// A queue whose worker runs only while there is something to do.
pub struct Queue {
    data: PathBuf,
    documents: PathBuf,
    log: PathBuf,
}

impl Queue {
    /// Returns a new queue whose data directory is in `folder`.
    pub fn new(folder: &Path) -> Self {
        let data = folder.join("worker");
        fs::create_dir_all(&data).unwrap();
        Self { data, documents: folder.join("jobs.json"), log: folder.join("worker.log") }
    }

    /// Enqueues documents, runs the worker until it is idle, and returns the records of the jobs.
    pub async fn carry_out(&self, documents: &[Value]) -> Vec<Value> {
        let ids = self.enqueue(documents).await;
        self.work().await;
        self.records(&ids).await
    }

    /// Enqueues documents and returns the ids of the jobs.
    pub async fn enqueue(&self, documents: &[Value]) -> Vec<String> {
        let lines: Vec<_> = documents.iter().map(Value::to_string).collect();
        fs::write(&self.documents, lines.join("\n")).unwrap();
        let enqueued = self.worker(&["enqueue", self.documents.to_str().unwrap()]).await;
        enqueued
            .iter()
            .map(|job| job["id"].as_str().expect("enqueue prints the job's id").to_owned())
            .collect()
    }

    /// Runs the worker until it is idle.
    pub async fn work(&self) {
        self.worker(&["run", "--until-idle"]).await;
    }

    /// Returns the rendered texts of a document's agent, by file name.
    pub async fn render(&self, document: &Value) -> Vec<(String, String)> {
        fs::write(&self.documents, document.to_string()).unwrap();
        let out = tempfile::tempdir().unwrap();
        self.worker(&[
            "render",
            self.documents.to_str().unwrap(),
            "--out",
            out.path().to_str().unwrap(),
        ])
        .await;
        let files = fs::read_dir(out.path()).unwrap().map(|file| file.unwrap());
        let text = |file: fs::DirEntry| {
            (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())
        };
        files.map(text).collect()
    }

    /// Makes a waiting job ready again.
    pub async fn retry(&self, id: &str) {
        self.worker(&["jobs", "retry", id]).await;
    }

    /// Returns the records of jobs.
    pub async fn records(&self, ids: &[String]) -> Vec<Value> {
        let mut records = Vec::new();
        for id in ids {
            records.push(self.worker(&["jobs", "show", id]).await.remove(0));
        }
        records
    }

    /// Runs a command and returns what it prints.
    async fn worker(&self, arguments: &[&str]) -> Vec<Value> {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(binary("worker"));
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("MISSION_DATA_DIR", &self.data).env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        command.env("MISSION_BASE_URL", "https://mission.example");
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.spawn().unwrap().wait_with_output()).await;
        let output = output
            .unwrap_or_else(|_| panic!("{arguments:?} takes more than {PATIENCE:?}"))
            .unwrap();
        // `run` reports a failed job by its exit status; the record has the details.
        let is_run = arguments[0] == "run" && output.status.code() == Some(1);
        assert!(output.status.success() || is_run, "{arguments:?} ended with {}", output.status);
        Deserializer::from_slice(&output.stdout)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap_or_default()
    }

    /// Prints the end of the worker's log.
    pub fn print_log(&self) {
        print_end(&self.log);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // A worker stops its Redis when it ends, but not if it was killed.
        if let Ok(mut redis) = UnixStream::connect(self.data.join("redis/redis.sock")) {
            let _ = redis.write_all(b"SHUTDOWN NOSAVE\r\n");
            let _ = redis.read_to_end(&mut Vec::new());
        }
    }
}
