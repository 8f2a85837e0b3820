//! Two small pages: the workers, and what people did.

use askama::Template;
use mission_jobs::Scope;
use mission_jobs::queue::{AuditEntry, WorkerRecord};
use uuid::Uuid;

use super::html::When;
use super::layout::Frame;
use mission_core::humanize::{count, rough};

/// The page of workers.
#[derive(Template)]
#[template(path = "dashboard/workers.html")]
pub struct WorkersPage {
    /// What is around it.
    pub frame: Frame,
    /// How they are.
    pub sentence: String,
    /// All of them.
    pub workers: Vec<Worker>,
}

/// A worker in a list.
#[derive(Debug)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Its machine.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// For how long it has run.
    pub up: String,
    /// Jobs that it runs.
    pub running: u64,
    /// How many it may.
    pub concurrency: u64,
    /// When it was last heard of.
    pub seen: When,
    /// Whether it takes no more.
    pub draining: bool,
    /// What is special about it.
    pub said: Option<&'static str>,
    /// The colour of that.
    pub class: &'static str,
}

impl Worker {
    /// What is shown of a worker.
    #[must_use]
    pub fn of(worker: &WorkerRecord, now_ms: u64) -> Self {
        let (said, class) = match (worker.gone, worker.draining) {
            (true, _) => (Some("gone"), "cancelled"),
            (false, true) => (Some("draining"), "snoozed"),
            (false, false) => (None, ""),
        };
        Self {
            name: worker.name.clone(),
            host: worker.host.clone(),
            pid: worker.pid,
            version: worker.version.clone(),
            up: rough(
                worker
                    .seen_at_ms
                    .max(if worker.gone { 0 } else { now_ms })
                    .saturating_sub(worker.started_at_ms),
            ),
            running: worker.running,
            concurrency: worker.concurrency,
            seen: When { at_ms: worker.seen_at_ms, now_ms },
            draining: worker.draining,
            said,
            class,
        }
    }
}

impl WorkersPage {
    /// The page of all workers.
    #[must_use]
    pub fn of(frame: Frame, workers: &[WorkerRecord]) -> Self {
        let now_ms = frame.now_ms;
        let live: Vec<_> = workers.iter().filter(|worker| !worker.gone).collect();
        let running = live.iter().map(|worker| worker.running).sum();
        let sentence = match live.len() {
            0 => "No worker takes jobs".to_owned(),
            live => format!(
                "{}, {} in flight",
                count(u64::try_from(live).unwrap_or_default(), "worker"),
                count(running, "job")
            ),
        };
        Self {
            frame,
            sentence,
            workers: workers.iter().map(|worker| Worker::of(worker, now_ms)).collect(),
        }
    }
}

/// The page of what people did.
#[derive(Template)]
#[template(path = "dashboard/audit.html")]
pub struct AuditPage {
    /// What is around it.
    pub frame: Frame,
    /// What they did.
    pub entries: Vec<Entry>,
    /// Where the older ones are.
    pub older: Option<String>,
}

/// Something that somebody did.
#[derive(Debug)]
pub struct Entry {
    /// When.
    pub at: When,
    /// Who.
    pub by: String,
    /// From where.
    pub from: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// Where that is.
    pub link: Option<String>,
    /// What it was before and after.
    pub change: String,
    /// Why.
    pub why: String,
}

impl Entry {
    /// What is shown of an entry.
    #[must_use]
    pub fn of(entry: &AuditEntry, now_ms: u64) -> Self {
        let deed = &entry.record;
        let link = if deed.target.parse::<Uuid>().is_ok() {
            Some(format!("/jobs/{}", deed.target))
        } else if let Ok(Scope::Gateway(id)) = deed.target.parse::<Scope>() {
            Some(format!("/gateways/{id}"))
        } else {
            None
        };
        let change = match (&deed.before, &deed.after) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (None, Some(state)) | (Some(state), None) => state.clone(),
            (None, None) => String::new(),
        };
        Self {
            at: When { at_ms: deed.at_ms, now_ms },
            by: deed.by.clone(),
            from: deed.from.clone(),
            action: deed.action.clone(),
            target: deed.target.clone(),
            link,
            change,
            why: deed.why.clone(),
        }
    }
}
