//! The Lua scripts, each behind a typed call. Only scripts change a stored job.

pub(crate) mod operators;
mod plain;

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, Script, ToRedisArgs, Value, cmd};
use tokio::time::timeout;
use uuid::Uuid;

use crate::envelope::{Envelope, WIRE_VERSION};
use crate::kinds;
use crate::queue::error::QueueError;
use crate::queue::redis::bundle::bundle;
use crate::queue::redis::claim::{Batch, RawClaim};
use crate::queue::redis::connection::{Connection, RESPONSE_TIMEOUT};
use crate::queue::redis::counters::{Counters, count};
use crate::queue::redis::keys::Keys;
use crate::queue::states::State;
use crate::queue::worker::settings::Settings;
use operators::Operators;

/// The queue's keys, scripts and connection.
pub(crate) struct Scripts {
    pub(crate) keys: Keys,
    connection: Connection,
    /// The connection on which readers of events block.
    listening: Connection,
    enqueue: Named,
    claim: Named,
    renew: Named,
    journal: Named,
    ack: Named,
    release: Named,
    reseal: Named,
    counts: Named,
    get: Named,
    list: Named,
    gateways: Named,
    operators: Operators,
}

struct Named {
    name: &'static str,
    script: Script,
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

/// The fields and values of one job, and its history.
pub(crate) type Stored = (HashMap<String, Vec<u8>>, Vec<Vec<u8>>);

/// A page of jobs: the position to continue from (or -1), the ids, and the jobs' fields and values.
pub(crate) type ListAnswer = (i64, Vec<String>, Vec<HashMap<String, Vec<u8>>>);

/// The arguments of `list.lua`.
pub(crate) struct ListRequest<'a> {
    pub(crate) state: State,
    pub(crate) kind: &'a str,
    pub(crate) lane: &'a str,
    pub(crate) first: u64,
    pub(crate) limit: usize,
}

impl Scripts {
    pub(crate) fn new(queue: &str, connection: Connection) -> Self {
        Self::with_clock(queue, connection, CLOCK)
    }

    pub(crate) fn with_clock(queue: &str, connection: Connection, clock: &str) -> Self {
        let named = |name, body: &str| Named { name, script: Script::new(&bundle(clock, body)) };
        let also_when_full = |name, body: &str| Named {
            name,
            script: Script::new(&(ALSO_WHEN_FULL.to_owned() + &bundle(clock, body))),
        };
        Self {
            operators: Operators::new(named, also_when_full),
            keys: Keys::new(queue),
            listening: connection.for_blocking(),
            connection,
            enqueue: named("enqueue", include_str!("lua/enqueue.lua")),
            claim: also_when_full("claim", include_str!("lua/claim.lua")),
            renew: also_when_full("renew", include_str!("lua/renew.lua")),
            journal: also_when_full("journal", include_str!("lua/journal.lua")),
            ack: also_when_full("ack", include_str!("lua/ack.lua")),
            release: also_when_full("release", include_str!("lua/release.lua")),
            reseal: also_when_full("reseal", include_str!("lua/reseal.lua")),
            counts: named("counts", include_str!("lua/counts.lua")),
            get: named("get", include_str!("lua/get.lua")),
            list: named("list", include_str!("lua/list.lua")),
            gateways: named("gateways", include_str!("lua/gateways.lua")),
        }
    }

    pub(crate) fn names(&self) -> Vec<(String, &'static str)> {
        let Self {
            enqueue,
            claim,
            renew,
            journal,
            ack,
            release,
            reseal,
            counts,
            get,
            list,
            gateways,
            operators,
            ..
        } = self;
        let own =
            [enqueue, claim, renew, journal, ack, release, reseal, counts, get, list, gateways];
        own.into_iter()
            .chain(operators.all())
            .map(|named| (named.script.get_hash().to_owned(), named.name))
            .collect()
    }

    pub(crate) async fn enqueue(
        &self,
        jobs: &[Envelope],
    ) -> Result<Vec<(String, String, Vec<String>)>, QueueError> {
        let mut args = Args::default();
        args.add(WIRE_VERSION);
        for job in jobs {
            args.add(job.id.to_string())
                .add(job.version)
                .add(job.kind.as_str())
                .add(job.lane.to_string());
            args.add(&job.subject)
                .add(kinds::spec(job.kind).max_attempts)
                .add(millis(job.delay))
                .add(job.priority);
            args.add(job.expires_in.map_or(0, millis));
            let (key, life) =
                job.idempotency.as_ref().map_or(("", 0), |key| (key.key(), millis(key.life())));
            args.add(key).add(life).add(&job.flags).add(job.payload.expose());
        }
        self.run(&self.enqueue, &args).await
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
        let mut args = Args::default();
        args.add(worker)
            .add(wanted)
            .add(millis(settings.lease))
            .add(settings.lane_concurrency.max(1));
        args.add(millis(ended.age)).add(ended.count).add(millis(dead.age)).add(dead.count);
        let (jobs, wait, recovered): (Vec<Vec<Value>>, i64, u64) = self
            .run_once(&self.claim, &args)
            .await
            .map_err(|error| QueueError::from_redis("claim", &error))?;
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
        let mut args = Args::default();
        args.add(worker).add(millis(lease)).add_leases(held);
        let (lost, cancelled) = self.run(&self.renew, &args).await?;
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
        let mut args = Args::default();
        args.add(worker).add(effects).add_leases(held);
        self.run(&self.journal, &args).await
    }

    /// Writes the ends of runs. Returns one answer per ack, in their order.
    pub(crate) async fn ack(
        &self,
        worker: &str,
        snooze_limit: Duration,
        acks: &[(Lease, Ack)],
    ) -> Result<Vec<Acked>, QueueError> {
        let mut args = Args::default();
        args.add(worker).add(millis(snooze_limit));
        for ((id, token), ack) in acks {
            args.add(id)
                .add(token)
                .add(ack.state.as_str())
                .add(millis(ack.delay))
                .add(u8::from(ack.counts));
            args.add(ack.reason)
                .add(&ack.result)
                .add(&ack.failure)
                .add(&ack.report)
                .add(ack.signal);
            args.add(millis(ack.leave_alone)).add(&ack.about).add(&ack.facts);
        }
        let states: Vec<String> = self.run(&self.ack, &args).await?;
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
        let mut args = Args::default();
        args.add(worker).add(why).add_leases(held);
        self.run(&self.release, &args).await
    }

    /// Replaces a sealed document. Returns whether that was done.
    pub(crate) async fn reseal(
        &self,
        id: Uuid,
        old: &[u8],
        new: &[u8],
        version: u32,
    ) -> Result<bool, QueueError> {
        self.run(&self.reseal, Args::default().add(id.to_string()).add(old).add(new).add(version))
            .await
    }

    pub(crate) async fn get(&self, id: Uuid) -> Result<Stored, QueueError> {
        self.run(&self.get, Args::default().add(id.to_string())).await
    }

    pub(crate) async fn list(&self, listing: &ListRequest<'_>) -> Result<ListAnswer, QueueError> {
        let mut args = Args::default();
        args.add(listing.state.as_str())
            .add(u8::from(listing.state.is_terminal()))
            .add(listing.kind)
            .add(listing.lane);
        args.add(listing.first).add(listing.limit);
        self.run(&self.list, &args).await
    }

    pub(crate) async fn counts(&self) -> Result<HashMap<String, i64>, QueueError> {
        self.run(&self.counts, &Args::default()).await
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
    ) -> Result<Vec<(String, HashMap<String, String>)>, QueueError> {
        let only = only.map(|id| id.to_string()).unwrap_or_default();
        self.run(&self.gateways, Args::default().add(limit).add(only)).await
    }

    /// Waits until there may be something to claim, at most for this time.
    pub(crate) async fn wait(
        &self,
        blocking: &Connection,
        worker: &str,
        at_most: Duration,
    ) -> Result<(), QueueError> {
        let unavailable = |error| QueueError::from_redis("wait", &error);
        let (number, mut connection) = blocking.current().await.map_err(unavailable)?;
        let mut pop = cmd("BLPOP");
        // Redis takes 0 to mean for ever, and the wait is often only until the next millisecond.
        pop.arg(self.keys.wake_one(worker))
            .arg(self.keys.wake_any())
            .arg(at_most.as_secs_f64().max(0.001));
        if let Ok(answer) =
            timeout(at_most + RESPONSE_TIMEOUT, pop.query_async::<Value>(&mut connection)).await
        {
            return blocking.check(number, answer).await.map(drop).map_err(unavailable);
        }
        count(&self.counters().redis_errors, 1);
        blocking.forget(number).await;
        Err(QueueError::Unavailable { reason: "no answer to BLPOP".to_owned() })
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
    async fn run<T: FromRedisValue>(&self, script: &Named, args: &Args) -> Result<T, QueueError> {
        let mut result = self.run_once(script, args).await;
        if result.as_ref().is_err_and(|error| error.is_connection_dropped() && !error.is_timeout())
        {
            result = self.run_once(script, args).await;
        }
        result.map_err(|error| QueueError::from_redis(script.name, &error))
    }

    async fn run_once<T: FromRedisValue>(
        &self,
        script: &Named,
        args: &Args,
    ) -> redis::RedisResult<T> {
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.prefix()).arg(&args.0);
        let (number, mut connection) = self.connection.current().await?;
        let answer = invocation.invoke_async(&mut connection).await;
        self.connection.check(number, answer).await
    }
}

#[derive(Default)]
struct Args(Vec<Vec<u8>>);

impl Args {
    fn add(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        arg.write_redis_args(&mut self.0);
        self
    }

    fn add_leases(&mut self, leases: &[Lease]) -> &mut Self {
        leases.iter().fold(self, |args, (id, token)| args.add(id).add(token))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
