//! The move of a queue from an earlier layout of its keys to the present one.
//!
//! `migrate.lua` moves some jobs in each call, and each of them at once with all that belongs to
//! it. While it is under way, the layout in Redis is one that all versions refuse.

mod first_layout;

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use crate::queue::error::QueueError;
use crate::queue::redis::scripts::{lua, millis};
use crate::queue::worker::workers::GONE_AFTER;
use crate::queue::{Counts, Queue, State};

/// The most jobs or records that one call moves.
const AT_ONCE: usize = 50;

/// The layouts that this version moves, as in `migrate.lua`, and its own, as in `prelude.lua`.
const FIRST: &str = "1";
const SECOND: &str = "2";
const PRESENT: &str = "3";
/// The beginning of the layout in Redis while a move is under way, before the number of the old one.
const MOVING: &str = "migrating from ";

/// The layout of a queue's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The queue has this version's layout, or no keys yet: nothing is to be moved.
    Present,
    /// An earlier one that this version can move.
    Earlier,
    /// A move has begun and is not complete.
    Moving,
}

/// The keys of a queue before they are moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// The layout of the keys.
    pub layout: Layout,
    /// `true` if they have layout 1, or had it when the move began.
    #[serde(skip)]
    is_first: bool,
    /// The number of jobs in each state.
    pub jobs: Counts,
}

/// The result of a move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The number of jobs that were moved.
    pub moved: u64,
    /// The ids of jobs that cannot be read, also by the older version. They stay where they are, in
    /// `{queue}:job:ID`, and nothing lists them any more.
    pub unreadable: Vec<String>,
    /// The ids in the lists of states that had no job, because it was removed by hand. Nothing lists
    /// them any more.
    pub absent: Vec<String>,
}

/// The answer of `migrate.lua` to a step; see there.
type Step = (String, u64, Vec<String>, Vec<String>);

/// The answer of `migrate.lua` to `look` and `begin`; see there.
type Looked = (String, String, Vec<String>, u64, u64, Vec<String>);

impl Queue {
    /// Returns what is to be moved; see [`Self::migrate`]. Fails if that cannot be done now.
    pub async fn migration(&self) -> Result<Migration, QueueError> {
        let found = self.look("look").await?;
        if found.layout == Layout::Earlier && found.is_first {
            self.unended().await?;
        }
        Ok(found)
    }

    /// Moves the queue to the present layout, in small steps. `progress` gets the number of jobs
    /// that have been moved so far. If this ends before it is complete, nothing is lost, and
    /// another call continues; until then workers and producers of all versions are refused.
    ///
    /// Refused with [`QueueError::OldWorkers`] while older workers may still run jobs, and with
    /// [`QueueError::Sealed`] if a key is missing that a document of layout 1 is sealed with.
    pub async fn migrate(&self, mut progress: impl FnMut(u64)) -> Result<Migrated, QueueError> {
        let mut migrated = Migrated::default();
        let found = self.look("look").await?;
        if found.layout == Layout::Present {
            return Ok(migrated);
        }
        let unended = if found.is_first { self.unended().await? } else { Vec::new() };
        self.look("begin").await?;
        self.record_unended(&unended).await?;
        let states = State::ALL.map(State::as_str);
        for part in ["agents", "gateways"].into_iter().chain(states) {
            let mut place = "0".to_owned();
            while place != "-1" {
                let (rest, moved, unreadable, absent) = self.step(part, &place).await?;
                migrated.moved += moved;
                migrated.unreadable.extend(unreadable);
                migrated.absent.extend(absent);
                place = rest;
                progress(migrated.moved);
            }
        }
        let gone = (&migrated.unreadable, &migrated.absent);
        self.first().await?.run::<()>(lua::migrate, ("end", gone)).await?;
        Ok(migrated)
    }

    async fn step(&self, part: &str, place: &str) -> Result<Step, QueueError> {
        self.first().await?.run(lua::migrate, (part, place, AT_ONCE)).await
    }

    async fn look(&self, part: &str) -> Result<Migration, QueueError> {
        let (layout, alive, workers, leased, ends, jobs): Looked =
            self.first().await?.run(lua::migrate, (part, millis(GONE_AFTER))).await?;
        if let Some(what) = layout.strip_prefix('?') {
            return Err(QueueError::UnknownLayout { key: self.keys().layout(), what: what.into() });
        }
        let known = match layout.as_str() {
            "" | PRESENT => Layout::Present,
            FIRST | SECOND => Layout::Earlier,
            _ if layout.starts_with(MOVING) => Layout::Moving,
            _ => return Err(QueueError::NotMovable { layout }),
        };
        if known == Layout::Earlier && !alive.is_empty() {
            return Err(QueueError::OldWorkers { what: still_there(&workers, leased, ends) });
        }
        let count = |pair: &[String]| Some((pair[0].clone(), pair[1].parse().ok()?));
        let jobs: HashMap<String, i64> = jobs.chunks_exact(2).filter_map(count).collect();
        let is_first = layout.trim_start_matches(MOVING).split(' ').next() == Some(FIRST);
        Ok(Migration { layout: known, is_first, jobs: Counts::read(jobs) })
    }
}

/// Names the workers that are alive, and tells of the leases that have not ended.
fn still_there(workers: &[String], leased: u64, ends: u64) -> String {
    let mut parts = Vec::new();
    if !workers.is_empty() {
        parts.push(format!("a heartbeat of {} is not 30 s old", workers.join(", ")));
    }
    if leased > 0 {
        let ends = Duration::from_millis(ends).as_secs() + 1;
        parts.push(format!("leases of running jobs: {leased}, the last ends in {ends} s"));
    }
    parts.join("; ")
}
