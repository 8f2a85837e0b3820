//! Runs the binaries of this workspace, each in an environment of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The maximum time of a command. No command of the tests takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the path of a binary of this workspace: two folders above the test executable,
/// `target/<profile>/NAME`.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(path.is_file(), "{} is missing; run `cargo build --workspace` first", path.display());
    path
}

/// A `worker` to run, with the given settings and no others.
pub struct Worker {
    command: Command,
}

/// The result of a `worker` command.
pub struct Ended {
    /// The exit status; none if a signal ended the process.
    pub status: Option<i32>,
    /// The document on standard output; null if there is none.
    pub answer: Value,
    /// The documents on standard output, if each is on a line of its own.
    pub answers: Vec<Value>,
    /// The text on standard error.
    pub said: String,
}

impl Ended {
    /// Returns the invalid paths of a document that was refused, one for each problem on standard
    /// error.
    pub fn refused_at(&self) -> String {
        let split = self.said.strip_prefix("worker: ").and_then(|said| said.split_once(": "));
        let (_file, problems) = split.unwrap_or_default();
        problems
            .lines()
            .filter_map(|line| Some(line.split_once(": ")?.0))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Worker {
    /// Returns a worker with `data` as its data directory.
    pub fn new(data: &Path) -> Self {
        Self::by(Command::new(binary("worker")), data)
    }

    fn by(mut command: Command, data: &Path) -> Self {
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("MISSION_DATA_DIR", data).stdin(Stdio::null()).kill_on_drop(true);
        Self { command }
    }

    /// Returns a worker with at most `memory` KiB of address space.
    pub fn within(data: &Path, memory: u64) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -v {memory} && exec \"$0\" \"$@\"")])
            .arg(binary("worker"));
        Self::by(command, data)
    }

    /// Sets an environment variable of the worker.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs the worker under a umask, such as `022`.
    pub fn with_umask(mut self, umask: &str) -> Self {
        let worker = self.command.as_std();
        let mut command = Command::new("sh");
        command
            .env_clear()
            .envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
            .arg("-c")
            .arg(format!("umask {umask}; exec \"$0\" \"$@\""))
            .arg(worker.get_program());
        command.stdin(Stdio::null()).kill_on_drop(true);
        self.command = command;
        self
    }

    pub async fn apply(self, file: &Path) -> Ended {
        self.run(&["apply", file.to_str().unwrap()]).await
    }

    /// Runs a command to its end.
    pub async fn run(mut self, arguments: &[&str]) -> Ended {
        let output = timeout(PATIENCE, self.command.args(arguments).output())
            .await
            .expect("the command ends in time");
        Ended::of(output.expect("the command can be started"))
    }

    /// Starts a command that runs until it is killed. Its output goes to a file, which has room for
    /// more than a pipe.
    pub fn spawn_into(mut self, arguments: &[&str], log: File) -> Started {
        let command = self.command.args(arguments).stdout(Stdio::null()).stderr(log);
        Started(command.spawn().expect("the command can be started"))
    }

    /// Starts a command on a terminal of its own, by `script` of util-linux. A file keeps what the
    /// terminal received.
    pub fn spawn_on_terminal(mut self, arguments: &[&str], screen: &Path) -> Started {
        let command =
            self.on_terminal(arguments, screen).stdout(Stdio::null()).stderr(Stdio::null());
        Started(command.spawn().expect("script can be started"))
    }

    /// Runs a command to its end on a terminal of its own. Returns what the terminal received, byte
    /// for byte.
    pub async fn run_on_terminal(mut self, arguments: &[&str]) -> String {
        let folder = tempfile::TempDir::new().unwrap();
        let screen = folder.path().join("screen");
        let command =
            self.on_terminal(arguments, &screen).stdout(Stdio::null()).stderr(Stdio::null());
        let ended = timeout(PATIENCE, command.status()).await.expect("the command ends in time");
        ended.expect("script can be started");
        String::from_utf8_lossy(&std::fs::read(&screen).unwrap()).into_owned()
    }

    fn on_terminal(&mut self, arguments: &[&str], screen: &Path) -> &mut Command {
        let worker = self.command.as_std();
        let mut command = Command::new("script");
        command
            .env_clear()
            .envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let words: Vec<String> = std::iter::once(worker.get_program().to_str().unwrap())
            .chain(arguments.iter().copied())
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        command
            .args(["--quiet", "--flush", "--return", "--command", &words.join(" "), "--log-out"])
            .arg(screen);
        self.command = command;
        self.command.env("TERM", "xterm").stdin(Stdio::null()).kill_on_drop(true)
    }

    /// Starts a command that runs until it is killed or terminated.
    pub fn spawn(mut self, arguments: &[&str]) -> Started {
        let command = self.command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Started(command.spawn().expect("the command can be started"))
    }
}

/// A running `worker`, which is killed when dropped.
pub struct Started(Child);

impl Started {
    /// Kills the process with SIGKILL.
    pub async fn kill(&mut self) -> std::io::Result<()> {
        self.0.kill().await
    }

    /// Returns the process id; none if the process has ended by itself.
    pub fn pid(&mut self) -> Option<u32> {
        self.0
            .try_wait()
            .expect("the process is a child of this one")
            .is_none()
            .then(|| self.0.id())
            .flatten()
    }

    /// Sends a signal by name, such as `STOP`.
    pub async fn signal(&self, name: &str) {
        let pid = self.0.id().expect("the process runs").to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().await.unwrap().success());
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(self) -> Ended {
        self.signal("TERM").await;
        let output =
            timeout(PATIENCE, self.0.wait_with_output()).await.expect("the worker ends in time");
        Ended::of(output.unwrap())
    }
}

impl Ended {
    fn of(Output { status, stdout, stderr }: Output) -> Self {
        Self {
            status: status.code(),
            answer: serde_json::from_slice(&stdout).unwrap_or_default(),
            answers: stdout
                .split(|byte| *byte == b'\n')
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect(),
            said: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

/// Returns the memory of a process, in KiB; 0 if it is gone.
pub fn resident(pid: u32) -> u64 {
    in_status(pid, "VmRSS:")
}

/// Returns the peak memory of a process, in KiB; 0 if it is gone.
pub fn most_resident(pid: u32) -> u64 {
    in_status(pid, "VmHWM:")
}

fn in_status(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))
        .unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}
