//! The worker processes, which are started, killed, frozen and thawed, and the record of what was
//! done to each of them and when.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mission_core::gateway::DeviceIdentity;
use mission_jobs::JobRecord;
use uuid::Uuid;

use crate::processes::{Started, Worker};

/// Returns milliseconds since 1970, from the clock that Redis on the same machine uses.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// A span of time in ms since 1970. Its end is in the future while it lasts.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from_ms: u64,
    pub to_ms: u64,
}

/// The record of a worker process, running or killed.
#[derive(Debug)]
pub struct Life {
    pub pid: u32,
    /// The device id under which gateways know it.
    pub device: String,
    pub log: PathBuf,
    pub killed_ms: Option<u64>,
    /// The spans in which it was frozen.
    pub frozen: Vec<Span>,
}

impl Life {
    /// Returns the errors in its log that none of the strikes explains.
    pub fn errors(&self) -> Vec<String> {
        let said = fs::read_to_string(&self.log).unwrap();
        let is_error = |line: &&str| line.contains("ERROR") || line.contains("panicked");
        said.lines()
            .filter(is_error)
            .map(|line| format!("worker {} logged {line}", self.pid))
            .collect()
    }

    /// Returns whether it lived long enough after a thaw to react to it.
    pub fn saw_its_thaw(&self) -> bool {
        let thawed_ms = self.frozen.last().map(|span| span.to_ms);
        self.killed_ms
            .is_none_or(|killed_ms| thawed_ms.is_none_or(|thawed_ms| thawed_ms + 3000 < killed_ms))
    }

    /// Returns how many runs of a job it carried to the end, and how many of these ended after
    /// their lease was lost.
    pub fn ends_of(&self, job: Uuid) -> (usize, usize) {
        let said = fs::read_to_string(&self.log).unwrap();
        let job = job.to_string();
        let count = |words: &str| {
            said.lines().filter(|line| line.contains(&job) && line.contains(words)).count()
        };
        (count("duration_ms"), count("run ended after its lease was lost"))
    }

    /// Returns whether the queue knows this process by that worker name.
    pub fn is(&self, worker: &str) -> bool {
        worker.split('-').nth(1) == Some(self.pid.to_string().as_str())
    }
}

/// Holds the running workers, each in a slot, and the record of those that were killed.
pub struct Fleet {
    folder: PathBuf,
    redis: String,
    slots: Vec<(Started, Life)>,
    killed: Vec<Life>,
}

impl Fleet {
    /// Starts `size` workers, each with a data directory below the folder.
    pub fn start(folder: &Path, redis: String, size: usize) -> Self {
        let mut fleet =
            Self { folder: folder.to_owned(), redis, slots: Vec::new(), killed: Vec::new() };
        for _ in 0..size {
            let worker = fleet.worker();
            fleet.slots.push(worker);
        }
        fleet
    }

    fn worker(&self) -> (Started, Life) {
        let data = self.folder.join((self.slots.len() + self.killed.len()).to_string());
        fs::create_dir(&data).unwrap();
        // The test creates the key because it needs the device id.
        let device =
            DeviceIdentity::load_or_create(&data.join("device.key")).unwrap().id().to_owned();
        let log = data.join("log");
        let worker = Worker::new(&data)
            .env("MISSION_REDIS_URL", &self.redis)
            .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
        let mut process = worker.spawn_into(&["run"], File::create(&log).unwrap());
        let pid = process.pid().expect("it was just started");
        (process, Life { pid, device, log, killed_ms: None, frozen: Vec::new() })
    }

    pub fn size(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether the worker in that slot is frozen now.
    pub fn is_frozen(&self, slot: usize) -> bool {
        self.slots[slot].1.frozen.last().is_some_and(|span| span.to_ms == u64::MAX)
    }

    /// Returns whether the worker in that slot runs the job now.
    pub fn runs(&self, slot: usize, job: &JobRecord) -> bool {
        job.worker.as_ref().is_some_and(|worker| self.slots[slot].1.is(worker))
    }

    /// Kills a worker with SIGKILL and starts another one in its place.
    pub async fn replace(&mut self, slot: usize) {
        self.check_alive(slot);
        let (process, life) = &mut self.slots[slot];
        let now = now_ms();
        life.killed_ms = Some(now);
        if let Some(span) = life.frozen.last_mut() {
            span.to_ms = span.to_ms.min(now);
        }
        process.kill().await.unwrap();
        let next = self.worker();
        self.killed.push(std::mem::replace(&mut self.slots[slot], next).1);
    }

    /// Freezes a worker with SIGSTOP.
    pub async fn freeze(&mut self, slot: usize) {
        self.check_alive(slot);
        let (process, life) = &mut self.slots[slot];
        life.frozen.push(Span { from_ms: now_ms(), to_ms: u64::MAX });
        process.signal("STOP").await;
    }

    /// Thaws a worker with SIGCONT if it is frozen.
    pub async fn thaw(&mut self, slot: usize) {
        if self.is_frozen(slot) {
            let (process, life) = &mut self.slots[slot];
            // The worker goes on before the signal's sender does.
            life.frozen.last_mut().expect("the worker is frozen").to_ms = now_ms();
            process.signal("CONT").await;
        }
    }

    /// Fails if a worker has ended without having been killed by the test.
    fn check_alive(&mut self, slot: usize) {
        let (process, life) = &mut self.slots[slot];
        let log = || fs::read_to_string(&life.log).unwrap_or_default();
        assert!(process.pid().is_some(), "worker {} ended by itself:\n{}", life.pid, log());
    }

    /// Kills all workers. Returns the record of every worker that ever ran, the last ones first.
    pub async fn end(mut self) -> Vec<Life> {
        let mut lives = Vec::new();
        for slot in 0..self.size() {
            self.check_alive(slot);
        }
        for (mut process, life) in self.slots {
            process.kill().await.unwrap();
            lives.push(life);
        }
        lives.extend(self.killed);
        lives
    }
}
