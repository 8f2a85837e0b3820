//! The Lua scripts, each behind a typed call. Only scripts change a stored job.

pub(crate) mod operators;
mod plain;

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, RedisResult, Script, ScriptInvocation, ToRedisArgs, Value, cmd};
use uuid::Uuid;

use crate::envelope::{Envelope, WIRE_VERSION};
use crate::kinds;
use crate::queue::error::QueueError;
use crate::queue::redis::bundle::bundle;
use crate::queue::redis::claim::{Batch, RawClaim};
use crate::queue::redis::connection::Connection;
use crate::queue::redis::counters::{Counters, count};
use crate::queue::redis::fields::Fields;
use crate::queue::redis::keys::Keys;
use crate::queue::states::State;
use crate::queue::worker::settings::Settings;
use crate::queue::{Filter, MAX_PAGE};
use crate::retry::RetryPolicy;

/// The queue's keys, scripts and connection.
pub(crate) struct Scripts {
    pub(crate) keys: Keys,
    pub(crate) lua: Lua,
    connection: Connection,
    /// The connection on which readers of events block.
    listening: Connection,
}

/// A script and its name.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    script: Script,
}

/// Defines [`Lua`] with a field for each script, which is named as its file.
macro_rules! scripts {
    ($($flags:ident: $($name:ident)*;)*) => {
        /// All scripts.
        pub(crate) struct Lua {
            $($(pub(crate) $name: Named,)*)*
        }

        impl Lua {
            fn new(clock: &str) -> Self {
                let named = |name, flags: &str, body| Named {
                    name,
                    script: Script::new(&(flags.to_owned() + &bundle(clock, body))),
                };
                Self {
                    $($($name: named(
                        stringify!($name),
                        $flags,
                        include_str!(concat!("lua/", stringify!($name), ".lua")),
                    ),)*)*
                }
            }

            fn all(&self) -> impl Iterator<Item = &Named> {
                [$($(&self.$name),*),*].into_iter()
            }
        }
    };
}

scripts! {
    NO_FLAGS:
        enqueue counts get list gateways search chain groups summary workers;
    ALSO_WHEN_FULL:
        claim renew journal ack release reseal retry cancel pause snooze drain heartbeat;
}

/// Redis's clock as a function for the scripts.
const CLOCK: &str = "local function now()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end
";

/// The first line of scripts that write for jobs that exist already. A Redis that is full refuses
/// new jobs but lets existing ones continue, because ending and removing them makes room again.
const ALSO_WHEN_FULL: &str = "#!lua flags=allow-oom\n";
const NO_FLAGS: &str = "";

/// Returns the whole text of `enqueue.lua`, for producers in other languages; see
/// `docs/protocol.md`.
#[must_use]
pub fn enqueue_script() -> String {
    bundle(CLOCK, include_str!("lua/enqueue.lua"))
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

/// A page of jobs: the position to continue from (or -1), the ids, and the jobs' fields.
pub(crate) type ListAnswer = (i64, Vec<String>, Vec<Fields>);

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
        }
    }
}

impl Scripts {
    pub(crate) fn new(queue: &str, connection: Connection) -> Self {
        Self::with_clock(queue, connection, CLOCK)
    }

    pub(crate) fn with_clock(queue: &str, connection: Connection, clock: &str) -> Self {
        let (keys, listening) = (Keys::new(queue), connection.for_blocking());
        Self { keys, lua: Lua::new(clock), connection, listening }
    }

    pub(crate) fn names(&self) -> Vec<(String, &'static str)> {
        self.lua.all().map(|named| (named.script.get_hash().to_owned(), named.name)).collect()
    }

    pub(crate) async fn enqueue(
        &self,
        jobs: &[Envelope],
    ) -> Result<Vec<(String, String, Vec<String>)>, QueueError> {
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
                (job.heartbeats.as_deref().unwrap_or_default(), job.payload.expose()),
            )
        });
        self.run(&self.lua.enqueue, (WIRE_VERSION, jobs.collect::<Vec<_>>())).await
    }

    /// Claims jobs. This call is never repeated: if the answer is lost, so are the leases in it,
    /// and their jobs come back when the leases end.
    pub(crate) async fn claim(
        &self,
        worker: &str,
        wanted: usize,
        settings: &Settings,
    ) -> Result<Batch, QueueError> {
        let (ended, dead) = (&settings.keep_ended, &settings.keep_dead);
        let keep = (millis(ended.age), ended.count, millis(dead.age), dead.count);
        let limits = (millis(settings.lease), settings.lane_concurrency.max(1));
        let call = self.call(&self.lua.claim, (worker, wanted, limits, keep));
        let (jobs, wait, recovered): (Vec<Vec<Value>>, i64, u64) =
            self.run_once(&call).await.map_err(|error| QueueError::from_redis("claim", &error))?;
        count(&self.counters().leases_recovered, recovered);
        let jobs = jobs.into_iter().filter_map(RawClaim::from_values).collect();
        Ok(Batch { jobs, next_due: u64::try_from(wait).ok().map(Duration::from_millis) })
    }

    pub(crate) async fn renew(
        &self,
        worker: &str,
        lease: Duration,
        held: &[Lease],
    ) -> Result<Renewed, QueueError> {
        let (lost, cancelled) = self.run(&self.lua.renew, (worker, millis(lease), held)).await?;
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
        self.run(&self.lua.journal, (worker, effects, held)).await
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
                (text(ack.observed), &ack.carried),
            )
        });
        let limits = (millis(retry.snooze_limit), millis(retry.give_up_gateway_after));
        let args = (worker, limits, acks.collect::<Vec<_>>());
        let states: Vec<String> = self.run(&self.lua.ack, args).await?;
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
        self.run(&self.lua.release, (worker, why, held)).await
    }

    /// Replaces a sealed document. Returns whether that was done.
    pub(crate) async fn reseal(
        &self,
        id: Uuid,
        old: &[u8],
        new: &[u8],
        version: u32,
    ) -> Result<bool, QueueError> {
        self.run(&self.lua.reseal, (id.to_string(), old, new, version)).await
    }

    pub(crate) async fn get(&self, id: Uuid) -> Result<Stored, QueueError> {
        self.run(&self.lua.get, id.to_string()).await
    }

    pub(crate) async fn list(&self, filter: &Filter) -> Result<ListAnswer, QueueError> {
        let Filter { state, kind, lane, limit, cursor } = filter;
        let kind = kind.map_or("", |kind| kind.as_str());
        let page = (cursor, (*limit).clamp(1, MAX_PAGE));
        let args = (state.as_str(), state.is_terminal(), kind, id_or_empty(*lane), page);
        self.run(&self.lua.list, args).await
    }

    pub(crate) async fn counts(&self) -> Result<HashMap<String, i64>, QueueError> {
        self.run(&self.lua.counts, None::<&str>).await
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
        self.run(&self.lua.gateways, (limit, id_or_empty(only))).await
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
        blocking.block("wait", "BLPOP", &pop, at_most).await.map(|_: Value| ())
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
    async fn run<T: FromRedisValue>(
        &self,
        script: &Named,
        args: impl ToRedisArgs,
    ) -> Result<T, QueueError> {
        let call = self.call(script, args);
        let mut result = self.run_once(&call).await;
        if result.as_ref().is_err_and(|error| error.is_connection_dropped() && !error.is_timeout())
        {
            result = self.run_once(&call).await;
        }
        result.map_err(|error| QueueError::from_redis(script.name, &error))
    }

    fn call<'a>(&self, script: &'a Named, args: impl ToRedisArgs) -> ScriptInvocation<'a> {
        let mut call = script.script.key(self.keys.prefix());
        call.arg(args);
        call
    }

    async fn run_once<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> RedisResult<T> {
        self.connection.request(async |mut redis| call.invoke_async(&mut redis).await).await
    }
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
