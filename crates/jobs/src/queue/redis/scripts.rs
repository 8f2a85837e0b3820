//! The Lua scripts, each behind a typed call. Only scripts change a stored job.

pub(crate) mod operators;
pub(crate) mod plain;
mod records;
mod shard;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, RedisError, RedisResult, ToRedisArgs, Value, cmd};
use uuid::Uuid;

use crate::envelope::{Envelope, WIRE_VERSION};
use crate::kinds;
use crate::queue::error::QueueError;
use crate::queue::redis::bundle::{Access, Source};
use crate::queue::redis::claim::{Batch, RawClaim, Room};
use crate::queue::redis::connection::Connection;
use crate::queue::redis::counters::{Counters, count};
use crate::queue::redis::fields::Fields;
use crate::queue::redis::functions::Functions;
use crate::queue::redis::keys::Keys;
use crate::queue::states::State;
use crate::queue::worker::settings::Settings;
use crate::queue::{Filter, MAX_PAGE};
use crate::retry::RetryPolicy;

/// The keys, scripts and connection of a shard of a queue.
pub(crate) struct Scripts {
    pub(crate) keys: Keys,
    functions: Arc<Functions>,
    connection: Arc<Connection>,
    /// The connection on which readers of events block.
    listening: Connection,
    /// The connection on which enqueuers wait for replicas.
    confirming: Connection,
}

/// Defines a constant for each script, which is named as its file, and the list of all.
macro_rules! scripts {
    ($($access:ident: $($name:ident)*;)*) => {
        $($(pub(crate) const $name: Source = Source {
            name: stringify!($name),
            access: Access::$access,
            body: include_str!(concat!("lua/", stringify!($name), ".lua")),
        };)*)*

        /// All scripts.
        pub(crate) const ALL: &[Source] = &[$($($name),*),*];
    };
}

/// The scripts by name.
#[expect(non_upper_case_globals, reason = "the constants are named as the files")]
pub(crate) mod lua {
    use crate::queue::redis::bundle::{Access, Source};

    scripts! {
        Reads: counts get list gateways search chain groups summary workers;
        Adds: enqueue connection;
        Changes:
            claim renew journal ack release reseal retry cancel forget pause snooze drain
            heartbeat pauses;
        Migrates: migrate repair;
    }
}

/// Redis's clock as a function for the scripts.
const CLOCK: &str = "local function now()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end
";

/// Returns the names and whole texts of the scripts that producers in other languages run; see
/// `docs/protocol.md`.
#[must_use]
pub fn producer_scripts() -> [(&'static str, String); 4] {
    [lua::enqueue, lua::get, lua::connection, lua::forget]
        .map(|source| (source.name, source.script(CLOCK)))
}

/// Returns a script that can use the functions of the queue's own, for tests that look into Redis or
/// change something there by hand.
#[doc(hidden)]
#[must_use]
pub fn test_script(body: &'static str) -> String {
    Source { name: "test", access: Access::Changes, body }.script(CLOCK)
}

/// A job's id and the token of its lease.
pub(crate) type Lease = (String, u64);

/// The end of a run, as arguments of `ack.lua`.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) state: State,
    pub(crate) delay: Duration,
    pub(crate) counts: bool,
    /// The reason of death; empty unless dead.
    pub(crate) reason: &'static str,
    /// The entry of the history, as JSON.
    pub(crate) result: String,
    /// The failure as JSON, or empty.
    pub(crate) failure: String,
    /// The report as JSON, or empty.
    pub(crate) report: String,
    /// The state of the gateway; see [`crate::retry::GatewaySignal::as_str`].
    pub(crate) signal: &'static str,
    /// The time to leave the gateway alone.
    pub(crate) leave_alone: Duration,
    /// The gateway as the document describes it, JSON or empty.
    pub(crate) about: String,
    /// The gateway's own description, JSON or empty.
    pub(crate) facts: String,
    /// The number of the agent's record that the run used, if there is one.
    pub(crate) observed: Option<u64>,
    /// The owed parts of the record: letters with the ids of the jobs that asked for them.
    pub(crate) carried: String,
    /// The keys and files that the run has applied to its agent, JSON or empty.
    pub(crate) applied: String,
}

/// The result of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    /// The ack was written, and the job is in this state now.
    Completed(State),
    /// The lease belongs to another worker now, and nothing was written.
    Lost,
}

/// The result of a renewal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Renewed {
    /// The tokens of leases that are lost.
    pub(crate) lost: Vec<u64>,
    /// The tokens of jobs that were cancelled.
    pub(crate) cancelled: Vec<u64>,
}

/// The fields of one job, and its history.
pub(crate) type Stored = (Fields, Vec<Vec<u8>>);

/// The answer for a new job: its id or that of the first with its idempotency key, the state, and the
/// ids of the jobs that it replaced.
pub(crate) type EnqueueAnswer = (String, String, Vec<String>);

/// A page of jobs: the position to continue from (or -1), the ids, the jobs' fields, and the position
/// behind each job.
pub(crate) type ListAnswer = (i64, Vec<String>, Vec<Fields>, Vec<u64>);

impl Ack {
    /// Makes the end of a run that counts and about which nothing else is known.
    pub(crate) const fn new(state: State, result: String) -> Self {
        Self {
            state,
            delay: Duration::ZERO,
            counts: true,
            reason: "",
            result,
            failure: String::new(),
            report: String::new(),
            signal: "",
            leave_alone: Duration::ZERO,
            about: String::new(),
            facts: String::new(),
            observed: None,
            carried: String::new(),
            applied: String::new(),
        }
    }
}

impl Scripts {
    /// Returns the name of the script behind a function's name in Redis, if it is one of these.
    pub(crate) fn script_of<'a>(&self, function: &'a str) -> Option<&'a str> {
        self.functions.script_of(function)
    }

    pub(crate) async fn enqueue(
        &self,
        jobs: &[Envelope],
    ) -> Result<Vec<EnqueueAnswer>, QueueError> {
        let jobs = jobs.iter().map(|job| {
            let (id, lane) = (job.id.to_string(), job.lane.to_string());
            let max_attempts = kinds::spec(job.kind).max_attempts;
            let expires_in = job.expires_in.map_or(0, millis);
            let key =
                job.idempotency.as_ref().map_or(("", 0), |key| (key.key(), millis(key.life())));
            (
                (id, job.version, job.kind.as_str(), lane, &job.subject, max_attempts),
                (millis(job.delay), job.priority, expires_in, key),
                (&job.parts, text(job.generation), text(job.revision)),
                (
                    job.heartbeats.as_deref().unwrap_or_default(),
                    job.fingerprint.expose(),
                    job.payload.expose(),
                ),
            )
        });
        self.run(lua::enqueue, (WIRE_VERSION, jobs.collect::<Vec<_>>())).await
    }

    /// Claims jobs. This call is never repeated: if the answer is lost, so are the leases in it,
    /// and their jobs come back when the leases end.
    pub(crate) async fn claim(
        &self,
        worker: &str,
        room: Room,
        settings: &Settings,
    ) -> Result<Batch, QueueError> {
        let (ended, dead) = (&settings.keep_ended, &settings.keep_dead);
        let keep = (millis(ended.age), ended.count, millis(dead.age), dead.count);
        let limits = (millis(settings.lease), settings.lane_concurrency.max(1));
        let args = (worker, room.wanted, limits, keep, (room.held, room.slots, room.unproven));
        let claimed = self.run_once(lua::claim, args).await;
        let (jobs, wait, recovered, alone): (Vec<Vec<Value>>, i64, u64, bool) =
            self.named(claimed.map_err(|error| QueueError::from_redis("claim", &error))).await?;
        count(&self.counters().leases_recovered, recovered);
        let jobs = jobs.into_iter().filter_map(RawClaim::from_values).collect();
        let next_due = u64::try_from(wait).ok().map(Duration::from_millis);
        Ok(Batch { jobs, next_due, alone })
    }

    pub(crate) async fn renew(
        &self,
        worker: &str,
        lease: Duration,
        held: &[Lease],
    ) -> Result<Renewed, QueueError> {
        let (lost, cancelled) = self.run(lua::renew, (worker, millis(lease), held)).await?;
        Ok(Renewed { lost, cancelled })
    }

    /// Records the effects of these jobs. Returns whether that was done; it is not if one of the
    /// leases is lost.
    pub(crate) async fn journal(
        &self,
        worker: &str,
        effects: &str,
        held: &[Lease],
    ) -> Result<bool, QueueError> {
        self.run(lua::journal, (worker, effects, held)).await
    }

    /// Writes the ends of runs. Returns one answer per ack, in their order.
    pub(crate) async fn ack(
        &self,
        worker: &str,
        retry: &RetryPolicy,
        acks: &[(Lease, Ack)],
    ) -> Result<Vec<Acked>, QueueError> {
        let acks = acks.iter().map(|(lease, ack)| {
            (
                (lease, ack.state.as_str(), millis(ack.delay), ack.counts, ack.reason),
                (&ack.result, &ack.failure, &ack.report),
                (ack.signal, millis(ack.leave_alone), &ack.about, &ack.facts),
                (text(ack.observed), &ack.carried, &ack.applied),
            )
        });
        let limits = (millis(retry.snooze_limit), millis(retry.give_up_gateway_after));
        let args = (worker, limits, acks.collect::<Vec<_>>());
        let states: Vec<String> = self.run(lua::ack, args).await?;
        Ok(states
            .iter()
            .map(|state| State::from_name(state).map_or(Acked::Lost, Acked::Completed))
            .collect())
    }

    /// Hands jobs back. Returns how many of the leases were still held.
    pub(crate) async fn release(
        &self,
        worker: &str,
        why: &str,
        held: &[Lease],
    ) -> Result<usize, QueueError> {
        self.run(lua::release, (worker, why, held)).await
    }

    /// Replaces a sealed document. Returns whether that was done.
    pub(crate) async fn reseal(
        &self,
        (lane, id): (Uuid, Uuid),
        old: &[u8],
        new: &[u8],
        version: u32,
    ) -> Result<bool, QueueError> {
        self.run(lua::reseal, (lane.to_string(), id.to_string(), old, new, version)).await
    }

    pub(crate) async fn get(&self, id: Uuid) -> Result<Stored, QueueError> {
        self.run(lua::get, id.to_string()).await
    }

    /// Returns a page of the list from a position on.
    pub(crate) async fn list(&self, filter: &Filter, from: u64) -> Result<ListAnswer, QueueError> {
        let Filter { state, kind, lane, limit, .. } = filter;
        let kind = kind.map_or("", |kind| kind.as_str());
        let page = (from, (*limit).clamp(1, MAX_PAGE));
        let args = (state.as_str(), state.is_terminal(), kind, id_or_empty(*lane), page);
        self.run(lua::list, args).await
    }

    pub(crate) async fn counts(&self) -> Result<HashMap<String, i64>, QueueError> {
        self.run(lua::counts, None::<&str>).await
    }

    /// Returns the paused scopes, each with its pause as JSON.
    pub(crate) async fn paused(&self) -> Result<HashMap<String, String>, QueueError> {
        self.read("paused", cmd("HGETALL").arg(self.keys.paused())).await
    }

    /// Returns the lanes with the latest jobs, or one lane, with their fields.
    pub(crate) async fn gateways(
        &self,
        limit: usize,
        only: Option<Uuid>,
    ) -> Result<Vec<(String, Fields)>, QueueError> {
        self.run(lua::gateways, (limit, id_or_empty(only))).await
    }

    /// Waits until there may be something to claim, at most for this time.
    pub(crate) async fn wait(
        &self,
        blocking: &Connection,
        worker: &str,
        at_most: Duration,
    ) -> Result<(), QueueError> {
        let mut pop = cmd("BLPOP");
        // Redis takes 0 to mean for ever, and the wait is often only until the next millisecond.
        pop.arg(self.keys.wake_one(worker))
            .arg(self.keys.wake_any())
            .arg(at_most.as_secs_f64().max(0.001));
        self.named(blocking.block("wait", "BLPOP", &pop, at_most).await).await.map(|_: Value| ())
    }

    /// Returns the counters, which the blocking connections share.
    pub(crate) fn counters(&self) -> &Counters {
        &self.connection.counters
    }

    pub(crate) fn blocking_connection(&self) -> Connection {
        self.connection.for_blocking()
    }

    /// Runs a script, and runs it once more if the connection had died since its last use. All
    /// scripts but `claim` may be repeated.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: Source,
        args: impl ToRedisArgs,
    ) -> Result<T, QueueError> {
        let mut result = self.run_once(script, &args).await;
        if result.as_ref().is_err_and(is_repeated) {
            result = self.run_once(script, &args).await;
        }
        self.named(result.map_err(|error| QueueError::from_redis(script.name, &error))).await
    }

    async fn run_once<T: FromRedisValue>(
        &self,
        script: Source,
        args: impl ToRedisArgs,
    ) -> RedisResult<T> {
        self.functions.call(&self.connection, script, self.keys.prefix(), args).await
    }
}

/// Returns whether the connection had died since its last use.
fn is_repeated(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout()
}

/// Returns a number as text, or an empty text for none.
fn text(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

pub(crate) fn id_or_empty(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
