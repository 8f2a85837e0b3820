//! The worker's processes, on its private Redis.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::gateway::print_end;
use crate::processes::binary;

/// How long a command of the worker may take. A gateway that has to restart itself needs a minute.
const PATIENCE: Duration = Duration::from_secs(400);

/// A queue whose worker runs only while there is something to do.
pub struct Queue {
    data: PathBuf,
    document: PathBuf,
    log: PathBuf,
}

impl Queue {
    /// A new queue that keeps its things in `folder`.
    pub fn new(folder: &Path) -> Self {
        let data = folder.join("worker");
        fs::create_dir_all(&data).unwrap();
        Self { data, document: folder.join("job.json"), log: folder.join("worker.log") }
    }

    /// Enqueues a document, works until nothing is left to do, and returns the job's record.
    pub async fn carry_out(&self, document: &Value) -> Value {
        fs::write(&self.document, document.to_string()).unwrap();
        let enqueued = self.worker(&["enqueue", self.document.to_str().unwrap()]).await;
        let id = enqueued["id"].as_str().expect("enqueue prints the job's id");
        self.worker(&["run", "--until-idle"]).await;
        self.worker(&["jobs", "show", id]).await
    }

    /// Runs a command; what it prints.
    async fn worker(&self, arguments: &[&str]) -> Value {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(binary("worker"));
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("MISSION_DATA_DIR", &self.data).env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        command.env("MISSION_BASE_URL", "https://mission.example");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let output = timeout(PATIENCE, command.spawn().unwrap().wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?} takes more than {PATIENCE:?}")).unwrap();
        // `run` says by its status that a job failed; the record says more about it.
        let is_run = arguments[0] == "run" && output.status.code() == Some(1);
        assert!(output.status.success() || is_run, "{arguments:?} ended with {}", output.status);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Prints the end of the worker's log.
    pub fn print_log(&self) {
        print_end(&self.log);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // A worker stops its Redis itself; one that was killed could not.
        if let Ok(mut redis) = UnixStream::connect(self.data.join("redis/redis.sock")) {
            let _ = redis.write_all(b"SHUTDOWN NOSAVE\r\n");
            let _ = redis.read_to_end(&mut Vec::new());
        }
    }
}
