//! The answer of `claim.lua`.

use std::time::Duration;

use redis::{FromRedisValue, Value};
use uuid::Uuid;

use crate::queue::redis::binary::{AgentRecord, ConnectionRecord, Head};

/// A claimed job as Redis returns it, before any of its values is trusted.
#[derive(Debug, Clone)]
pub(crate) struct RawClaim {
    pub(crate) id: String,
    pub(crate) token: u64,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) lane: String,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) run: u32,
    pub(crate) enqueued_at_ms: u64,
    /// The number of runs in a row that could not reach the lane's gateway.
    pub(crate) lane_failures: u32,
    /// The time until it expires, if it does.
    pub(crate) expires_in: Option<Duration>,
    /// The token of the job whose run it shares, if it shares one. That job comes before it in the
    /// batch.
    pub(crate) leader: Option<u64>,
    /// The time that it was ready before it was claimed.
    pub(crate) waited: Duration,
    /// The effects of the job on its gateway so far: JSON, or empty.
    pub(crate) effects: String,
    /// `true` if its latest run lost its worker.
    pub(crate) has_died: bool,
    /// The number of the job among all jobs.
    pub(crate) seq: u64,
    /// The record of its agent as Redis has it, or empty.
    pub(crate) record: Vec<u8>,
    /// The newest heartbeat of its agent that a heartbeat-sync asked for: the number of that job, a
    /// space, and JSON; or empty.
    pub(crate) heartbeat: String,
    /// The id of the job whose document has the connection of its gateway, if any has.
    pub(crate) connection: Option<Uuid>,
    /// The keys and files that were last applied to its agent: JSON, or empty.
    pub(crate) applied: String,
    /// `true` if its gateway has not answered for a while, or not since it could not be reached.
    pub(crate) unproven: bool,
}

/// The jobs that one claim returned.
pub(crate) struct Batch {
    pub(crate) jobs: Vec<RawClaim>,
    /// The time until there may be more to do, if anything waits.
    pub(crate) next_due: Option<Duration>,
    /// `true` if the worker is to claim no more until all its runs have ended, because it is its
    /// turn to run a job alone.
    pub(crate) alone: bool,
}

/// The request of a claim.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    /// The most runs to be given.
    pub(crate) wanted: usize,
    /// The number of runs that the worker holds.
    pub(crate) held: usize,
    /// The number of runs that it may hold.
    pub(crate) slots: usize,
    /// The number of runs that it holds whose gateways were unproven when it took them.
    pub(crate) unproven: usize,
}

impl RawClaim {
    /// Reads one row. A value that cannot be read is empty or 0. Returns none if it does not have the
    /// form that the script returns.
    pub(crate) fn from_values(values: Vec<Value>) -> Option<Self> {
        if !matches!(values.len(), 8 | 9) {
            return None;
        }
        let row = &mut values.into_iter();
        let (id, head) = (next(row), Head::read(&next::<Vec<u8>>(row))?);
        let plain = Self {
            id,
            token: head.token,
            version: head.version.max(1).to_string(),
            kind: head.kind.map(|kind| kind.to_string()).unwrap_or_default(),
            lane: head.lane,
            attempt: head.attempts,
            max_attempts: head.max_attempts,
            run: head.runs,
            enqueued_at_ms: head.enqueued_at_ms,
            lane_failures: 0,
            expires_in: None,
            leader: None,
            waited: Duration::from_millis(next(row)),
            effects: String::new(),
            has_died: false,
            seq: head.seq,
            record: next(row),
            heartbeat: next(row),
            connection: ConnectionRecord::read(&next::<Vec<u8>>(row)).map(|record| record.document),
            applied: next(row),
            unproven: next::<u64>(row) == 1,
        };
        let more: Vec<Value> = next(row);
        if more.is_empty() {
            return Some(plain);
        }
        let row = &mut more.into_iter();
        Some(Self {
            kind: next(row),
            version: next(row),
            lane_failures: next(row),
            // The script returns -1 if the job never expires.
            expires_in: next::<Option<i64>>(row)
                .and_then(|ms| u64::try_from(ms).ok())
                .map(Duration::from_millis),
            leader: next(row),
            effects: next(row),
            has_died: next::<u64>(row) == 1,
            ..plain
        })
    }

    /// Returns the record of its agent, if there is one.
    pub(crate) fn record(&self) -> Option<AgentRecord> {
        AgentRecord::read(&self.record)
    }
}

fn next<T: FromRedisValue + Default>(row: &mut impl Iterator<Item = Value>) -> T {
    row.next().and_then(|value| T::from_redis_value(value).ok()).unwrap_or_default()
}
