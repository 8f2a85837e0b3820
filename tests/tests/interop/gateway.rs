//! The process of a real gateway, started and stopped by the project's own script.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openclaw-gateway.sh");
/// The number of log lines that are printed when a case fails.
const LAST_LINES: usize = 60;

/// The interval at which the test checks whether the process is alive.
const LOOK: Duration = Duration::from_millis(500);

/// A running gateway, which is stopped when dropped.
///
/// It is started again when it dies, as service managers do: 2026.2.9 ends itself with "shutdown
/// timed out" if it is told to restart during a restart, which a few config writes within two
/// seconds cause.
pub struct Gateway {
    process: Arc<Process>,
    supervisor: JoinHandle<()>,
    pub url: String,
    pub token: String,
    /// The folder for the workspaces of agents.
    pub workspaces: PathBuf,
}

impl Gateway {
    /// Installs the version if necessary, and starts it.
    pub async fn start(version: &'static str, folder: &Path) -> Self {
        let process =
            Arc::new(Process { version, folder: folder.to_owned(), changing: Mutex::default() });
        // The value exists before the gateway is ready, so that a failed start stops the process as
        // well.
        let mut gateway = Self {
            supervisor: tokio::spawn(Arc::clone(&process).supervise()),
            process,
            url: String::new(),
            token: String::new(),
            workspaces: folder.join("workspaces"),
        };
        let changing = gateway.process.changing.lock().await;
        gateway.url = gateway.process.start().await;
        drop(changing);
        fs::read_to_string(folder.join("token")).unwrap().trim().clone_into(&mut gateway.token);
        gateway
    }

    /// Stops the process and starts another one on the same folder and address.
    pub async fn restart(&self) {
        let _changing = self.process.changing.lock().await;
        let stopped = Command::new(SCRIPT).arg("stop").arg(&self.process.folder).status().await;
        assert!(stopped.is_ok_and(|status| status.success()), "the gateway does not stop");
        assert_eq!(self.process.start().await, self.url, "the address has changed");
    }

    /// Returns the current text of the config's file.
    pub fn config_file(&self) -> String {
        fs::read_to_string(self.process.folder.join("openclaw.json")).unwrap_or_default()
    }

    /// Prints the end of its log.
    pub fn print_log(&self) {
        print_end(&self.process.folder.join("gateway.log"));
    }
}

/// Removes the installation of a version.
pub async fn remove(version: &str) {
    let removed = Command::new(SCRIPT).arg("remove").arg(version).status().await;
    assert!(
        removed.is_ok_and(|status| status.success()),
        "the installation of {version} is still there"
    );
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.supervisor.abort();
        let stopped =
            std::process::Command::new(SCRIPT).arg("stop").arg(&self.process.folder).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the gateway in {} may still run", self.process.folder.display());
        }
    }
}

/// The current process of a gateway.
struct Process {
    version: &'static str,
    folder: PathBuf,
    /// The lock is held while the process is started or stopped.
    changing: Mutex<()>,
}

impl Process {
    async fn start(&self) -> String {
        let mut script = Command::new(SCRIPT);
        script
            .arg("start")
            .arg(self.version)
            .arg(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let script = script.output().await.expect("the script can be run");
        let said = String::from_utf8_lossy(&script.stderr);
        assert!(script.status.success(), "gateway {} does not start:\n{said}", self.version);
        let answer = String::from_utf8(script.stdout).unwrap();
        let (url, pid) = answer.trim().split_once(' ').expect("the script says `URL PID`");
        println!("gateway {} runs at {url}, process {pid}", self.version);
        url.to_owned()
    }

    async fn supervise(self: Arc<Self>) {
        loop {
            sleep(LOOK).await;
            let _changing = self.changing.lock().await;
            if self.is_dead() {
                println!("gateway {} has died", self.version);
                self.start().await;
            }
        }
    }

    /// Returns whether there is a process that should run and does not.
    fn is_dead(&self) -> bool {
        let Ok(pid) = fs::read_to_string(self.folder.join("pid")) else { return false };
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        state.map_or(true, |state| state.contains(") Z "))
    }
}

/// Prints the last lines of a file.
pub fn print_end(file: &Path) {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    eprintln!("--- end of {} ---", file.display());
    for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
        eprintln!("{line}");
    }
}
