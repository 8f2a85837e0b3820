//! The model: the life of jobs, in plain Rust over plain maps. It shares nothing with the scripts
//! but the table [`State::next`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mission_core::Kind;
use uuid::Uuid;

use super::job::{Job, Time};
use super::records::Records;
use crate::queue::{Keep, State};

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: Time,
    pub(super) limits: Limits,
    pub(super) jobs: BTreeMap<Uuid, Job>,
    pub(super) lanes: BTreeMap<Uuid, Lane>,
    pub(super) paused: BTreeSet<String>,
    pub(super) keys: BTreeMap<String, Uuid>,
    /// The newest job of each subject.
    pub(super) latest: BTreeMap<String, u64>,
    /// The groups of failures, and the time since which each has never been empty.
    pub(super) groups: BTreeMap<String, Time>,
    /// The job of each subject that was enqueued last.
    pub(super) newest: BTreeMap<String, Uuid>,
    /// The records of gateways and agents.
    pub(super) records: Records,
    pub(super) last_token: u64,
    /// The time when somebody last looked for lost leases.
    pub(super) looked_at: Option<Time>,
    pub(super) calm_until: Time,
    /// The events since the last comparison: the job's id (or nothing), and the rest as text.
    pub(super) events: Vec<(String, String)>,
    /// The jobs that each job replaced in this call.
    pub(super) replaced: BTreeMap<Uuid, Vec<Uuid>>,
    /// The lanes whose gateways have got another connection in this call.
    pub(super) reconnected: BTreeSet<Uuid>,
    /// `true` if a kind was resumed and no worker has looked since.
    pub(super) kind_resumed: bool,
    /// The jobs that may have changed since the last comparison.
    pub(super) touched: BTreeSet<Uuid>,
    pub(super) last_number: u64,
    /// The windows of lanes, and when their gateways were last heard of.
    pub(super) windows: BTreeMap<Uuid, (u64, Option<Time>)>,
    /// The number of runs that the claiming worker may take from any lane, if that is limited.
    pub(super) unreserved: Option<usize>,
    /// The number of slots that it has free.
    pub(super) free: usize,
    /// The number of its runs whose gateways were unproven, and how many there may be, if that is
    /// limited.
    pub(super) unproven: Option<(usize, usize)>,
    /// The turn to run a job alone, if a worker has it.
    pub(super) turn: Option<Turn>,
    /// The time until which other jobs come before the next turn.
    pub(super) rest: Time,
}

/// The turn of a worker to run a job alone, which takes nothing else meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) worker: String,
    pub(super) job: Uuid,
    /// The lane of the job, which is held free.
    pub(super) lane: Uuid,
    pub(super) since: Time,
    /// The time when it ends unless the worker looks again.
    pub(super) till: Time,
    /// The token of the run, once there is one.
    pub(super) token: Option<u64>,
}

/// The limits of a case, which do not change while it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) lane_concurrency: usize,
    pub(super) keep: Keep,
    /// The number of runs that a worker may hold, or 0 if that does not matter.
    pub(super) slots: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let keep = Keep { age: Duration::from_secs(3600), count: 1000 };
        Self { lane_concurrency: 2, keep, slots: 0 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) failures: u32,
    pub(super) held_until: Time,
    /// The time since which its gateway has been away or busy.
    pub(super) away_since: Option<Time>,
}

/// The details of a transition.
#[derive(Debug, Default)]
pub(super) struct More {
    pub(super) at: Option<Time>,
    pub(super) reason: Option<String>,
    pub(super) failure: Option<String>,
    pub(super) superseded_by: Option<Uuid>,
    pub(super) by: Option<String>,
}

impl More {
    pub(super) fn reason(reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::default() }
    }
}

/// Returns whether a newer job replaces an older one.
fn replaces(newer: Kind, older: Kind) -> bool {
    match newer {
        Kind::Provision | Kind::ProvisionMain => {
            matches!(older, Kind::Provision | Kind::ProvisionMain)
        }
        Kind::Cleanup => matches!(older, Kind::Provision | Kind::ProvisionMain | Kind::Cleanup),
        Kind::HeartbeatSync => false,
    }
}

impl Model {
    /// Returns the next number for the order of jobs.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn job(&mut self, id: Uuid) -> &mut Job {
        self.touched.insert(id);
        self.jobs.get_mut(&id).expect("a job that the model knows")
    }

    pub(super) fn lane(&mut self, lane: Uuid) -> &mut Lane {
        self.lanes.entry(lane).or_default()
    }

    /// Returns the running jobs of a lane.
    pub(super) fn running(&self, lane: Uuid) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(move |job| job.lane == lane && job.state == State::Running)
    }

    /// Returns the jobs of a subject that have been due, oldest first.
    pub(super) fn line(&self, subject: &str) -> Vec<&Job> {
        let mut line: Vec<&Job> =
            self.jobs.values().filter(|job| job.subject == subject && job.in_line()).collect();
        line.sort_by_key(|job| job.seq);
        line
    }

    /// Changes the state of a job.
    pub(super) fn go(&mut self, id: Uuid, to: State, more: More) {
        let now = self.now;
        let job = self.job(id);
        let from = job.state;
        assert!(from.next().contains(&to), "the model took a job from {from} to {to}");
        job.state = to;
        self.entered(id, Some(from), now, more);
    }

    /// Applies the consequences of a job's new state.
    pub(super) fn entered(&mut self, id: Uuid, from: Option<State>, now: Time, more: More) {
        let job = self.job(id);
        job.at = more.at.unwrap_or(now);
        job.freeable = false;
        job.snoozed_by = None;
        job.enter(now);
        if more.failure.is_some() {
            job.failure.clone_from(&more.failure);
        }
        let left = job.group.clone();
        if let (State::Retrying | State::Snoozed | State::Blocked | State::Dead, Some(code)) =
            (job.state, &job.failure)
        {
            job.group = Some(format!("{}|{code}|", job.lane));
        } else if job.state.is_terminal() {
            job.group = None;
        }
        let joined = job.group.clone().filter(|group| left.as_ref() != Some(group));
        if job.state.is_terminal() {
            job.finished_at = Some(now);
            if more.reason.is_some() {
                job.reason.clone_from(&more.reason);
            }
            if more.superseded_by.is_some() {
                job.superseded_by = more.superseded_by;
            }
        }
        if job.state == State::Cancelled {
            let job = job.clone();
            self.withdraw(&job);
        }
        let job = self.job(id);
        let event = super::events::Event {
            kind: job.kind.to_string(),
            gateway: job.lane.to_string(),
            subject: job.subject.clone(),
            from,
            to: job.state,
            at_ms: now,
            run: job.runs,
            attempts: job.attempts,
            worker: job.worker.clone().filter(|_| job.state == State::Running),
            next_at_ms: job.state.is_waiting().then_some(job.at),
            reason: more.reason,
            failure: more.failure,
            superseded_by: more.superseded_by.map(|id| id.to_string()),
            by: more.by,
        };
        self.events.push((id.to_string(), event.text()));
        if let Some(group) = joined {
            self.groups.entry(group).or_insert(now);
        }
    }

    /// Forgets the groups that no job is in any more, when a call ends.
    pub(super) fn forget_groups(&mut self) {
        let jobs = &self.jobs;
        self.groups.retain(|group, _| jobs.values().any(|job| job.group.as_ref() == Some(group)));
    }

    /// Replaces an older job that is not running by a newer one.
    pub(super) fn supersede(&mut self, older: Uuid, newer: Uuid) {
        let old = self.job(older).rank;
        let new = self.job(newer);
        new.rank = new.rank.min(old);
        self.replaced.entry(newer).or_default().push(older);
        self.go(older, State::Superseded, More { superseded_by: Some(newer), ..More::default() });
    }

    /// Applies the arrival of a job in its line, for the first time or anew, to the older jobs of
    /// its subject.
    pub(super) fn join_line(&mut self, id: Uuid) {
        let new = self.job(id).clone();
        let older = |job: &&Job| job.subject == new.subject && job.seq < new.seq && job.waits();
        let mut older: Vec<Job> = self.jobs.values().filter(older).cloned().collect();
        // Jobs that have been due come first.
        older.sort_by_key(|job| (job.state == State::Scheduled, job.seq));
        for old in older {
            if old.state == State::Scheduled {
                if new.kind != Kind::HeartbeatSync {
                    self.supersede(old.id, id);
                }
            } else if replaces(new.kind, old.kind) {
                self.supersede(old.id, id);
            } else if old.state != State::Ready {
                self.go(old.id, State::Ready, More::default());
            }
        }
    }

    /// Returns a job to waiting after its run, unless it has been cancelled or replaced meanwhile.
    pub(super) fn wait_again(&mut self, id: Uuid, to: State, more: More) {
        let job = self.job(id).clone();
        let newer = self
            .line(&job.subject)
            .into_iter()
            .rfind(|other| other.seq > job.seq && replaces(other.kind, job.kind));
        let newer = newer.map(|newer| newer.id);
        let failure = more.failure.clone();
        if let Some(why) = &job.cancel {
            self.go(id, State::Cancelled, More { failure, ..More::reason(why) });
        } else if job.expires_at.is_some_and(|time| time <= more.at.unwrap_or(self.now)) {
            self.go(id, State::Dead, More { failure, ..More::reason("expired") });
        } else if let Some(newer) = newer {
            if failure.is_some() {
                self.job(id).failure = failure;
            }
            self.supersede(id, newer);
        } else {
            self.go(id, to, more);
        }
    }

    /// Returns everything visible of the queue as a whole: parts and their texts.
    pub(super) fn shown(&self, lanes: &[Uuid]) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        for state in State::ALL {
            let mut inside: Vec<_> = self.jobs.values().filter(|job| job.state == state).collect();
            inside.sort_by_key(|job| (job.at, job.id));
            let inside: Vec<String> =
                inside.iter().map(|job| format!("{} {}", job.name, job.at)).collect();
            shown.insert(format!("state {state}"), inside.join(" "));
        }
        shown.extend(lanes.iter().map(|lane| (format!("lane {lane}"), self.lane_text(*lane))));
        let groups = self.groups.iter().map(|(group, since)| {
            let count = self.jobs.values().filter(|job| job.group.as_ref() == Some(group)).count();
            format!("{group} {count} since {since}")
        });
        shown.insert("groups".to_owned(), groups.collect::<Vec<_>>().join("\n"));
        shown.insert("records".to_owned(), self.records_text());
        shown
            .insert("paused".to_owned(), self.paused.iter().cloned().collect::<Vec<_>>().join(" "));
        shown
    }

    fn lane_text(&self, lane: Uuid) -> String {
        let mut parts = Vec::new();
        if let Some(worker) = self.running(lane).find_map(|job| job.worker.as_ref()) {
            parts.push(format!("owner={worker}"));
        }
        let known = self.lanes.get(&lane);
        if let Some(failures) = known.map(|known| known.failures).filter(|failures| *failures > 0) {
            parts.push(format!("failures={failures}"));
        }
        if let Some(until) = known.map(|known| known.held_until).filter(|until| *until > self.now) {
            parts.push(format!("held_until={until}"));
        }
        for state in State::ALL {
            let count =
                self.jobs.values().filter(|job| job.lane == lane && job.state == state).count();
            if count > 0 {
                parts.push(format!("{state}={count}"));
            }
        }
        parts.join(" ")
    }
}
