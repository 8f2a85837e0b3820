//! A real gateway's process, started and ended by the project's own script.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// The script.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openclaw-gateway.sh");
/// Lines of its log that are printed when a case fails.
const LAST_LINES: usize = 60;

/// A running gateway; ended when dropped.
pub struct Gateway {
    version: String,
    folder: PathBuf,
    /// `ws://127.0.0.1:PORT`.
    pub url: String,
    /// Its token.
    pub token: String,
    /// Folder for the workspaces of agents.
    pub workspaces: PathBuf,
}

impl Gateway {
    /// Installs the version if need be, and starts it.
    pub async fn start(version: &str, folder: &Path) -> Self {
        // Made first, so that a gateway that does not get ready is ended as well.
        let mut gateway = Self {
            version: version.to_owned(),
            folder: folder.to_owned(),
            url: String::new(),
            token: String::new(),
            workspaces: folder.join("workspaces"),
        };
        gateway.url = gateway.start_process().await;
        fs::read_to_string(folder.join("token")).unwrap().trim().clone_into(&mut gateway.token);
        gateway
    }

    /// Ends the process and starts another that continues it, at the same address.
    pub async fn restart(&self) {
        let stopped = Command::new(SCRIPT).arg("stop").arg(&self.folder).status().await;
        assert!(stopped.is_ok_and(|status| status.success()), "the gateway does not stop");
        assert_eq!(self.start_process().await, self.url, "another address");
    }

    async fn start_process(&self) -> String {
        let version = &self.version;
        let script = Command::new(SCRIPT).arg("start").arg(version).arg(&self.folder).stdin(Stdio::null()).output();
        let script = script.await.expect("the script can be run");
        let said = String::from_utf8_lossy(&script.stderr);
        assert!(script.status.success(), "gateway {version} does not start:\n{said}");
        let answer = String::from_utf8(script.stdout).unwrap();
        let (url, pid) = answer.trim().split_once(' ').expect("the script says `URL PID`");
        println!("gateway {version} runs at {url}, process {pid}");
        url.to_owned()
    }

    /// The config's file as it is now.
    pub fn config_file(&self) -> String {
        fs::read_to_string(self.folder.join("openclaw.json")).unwrap_or_default()
    }

    /// Prints the end of its log.
    pub fn print_log(&self) {
        print_end(&self.folder.join("gateway.log"));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let stopped = std::process::Command::new(SCRIPT).arg("stop").arg(&self.folder).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the gateway in {} may still run", self.folder.display());
        }
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
