//! The Lua scripts, each behind a typed call. Everything that happens to a stored job happens in one of them.

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, Script, ToRedisArgs, Value, cmd};
use tokio::time::timeout;
use uuid::Uuid;

use super::connection::{Connection, RESPONSE_TIMEOUT};
use super::error::QueueError;
use super::keys::{self, Keys};
use super::states::{self, State};
use crate::envelope::Envelope;
use crate::kinds;

/// The queue's keys, scripts and connection.
pub(super) struct Scripts {
    pub(super) keys: Keys,
    connection: Connection,
    enqueue: Named,
    claim: Named,
    renew: Named,
    ack: Named,
    release: Named,
    retry: Named,
    get: Named,
    list: Named,
}

struct Named {
    name: &'static str,
    script: Script,
}

/// A job as it was claimed, before anything of it is trusted.
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
    pub(crate) payload: Vec<u8>,
}

/// What a claim brought.
pub(super) struct Batch {
    pub(super) jobs: Vec<RawClaim>,
    /// When the next waiting job is due, if any waits.
    pub(super) next_due: Option<Duration>,
}

/// A job's id and the token of its lease.
pub(super) type Lease = (String, u64);

/// How a run ended, in the words of `ack.lua`.
pub(super) struct Ack {
    pub(super) state: State,
    pub(super) delay: Duration,
    pub(super) counts: bool,
    /// Empty unless dead.
    pub(super) reason: &'static str,
    pub(super) snooze_limit: Duration,
    /// JSON.
    pub(super) result: String,
    /// JSON, or empty.
    pub(super) failure: String,
    /// JSON, or empty.
    pub(super) report: String,
}

/// What came of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acked {
    /// The job is in this state now.
    Settled(State),
    /// The lease is another's by now; nothing was written.
    Lost,
}

/// Fields and values of one job, and its history.
pub(super) type Stored = (HashMap<String, Vec<u8>>, Vec<Vec<u8>>);

/// A page of jobs: where to go on (or -1), ids, and the values of the wanted fields.
pub(super) type Page = (i64, Vec<String>, Vec<Vec<Option<Vec<u8>>>>);

/// What to list, in the words of `list.lua`.
pub(super) struct Listing<'a> {
    pub(super) state: State,
    pub(super) kind: &'a str,
    pub(super) lane: &'a str,
    pub(super) first: u64,
    pub(super) limit: usize,
    pub(super) fields: &'a [&'a str],
}

impl Scripts {
    pub(super) fn new(queue: &str, connection: Connection) -> Self {
        let prelude = keys::lua() + &states::lua() + include_str!("lua/prelude.lua");
        let named = |name, body: &str| Named { name, script: Script::new(&format!("{prelude}\n{body}")) };
        Self {
            keys: Keys::new(queue),
            connection,
            enqueue: named("enqueue", include_str!("lua/enqueue.lua")),
            claim: named("claim", include_str!("lua/claim.lua")),
            renew: named("renew", include_str!("lua/renew.lua")),
            ack: named("ack", include_str!("lua/ack.lua")),
            release: named("release", include_str!("lua/release.lua")),
            retry: named("retry", include_str!("lua/retry.lua")),
            get: named("get", include_str!("lua/get.lua")),
            list: named("list", include_str!("lua/list.lua")),
        }
    }

    pub(super) async fn enqueue(&self, jobs: &[Envelope]) -> Result<Vec<(String, String, Vec<String>)>, QueueError> {
        let mut args = Args::default();
        for job in jobs {
            args.add(job.id.to_string()).add(job.version).add(job.kind.as_str()).add(job.lane.to_string());
            args.add(&job.subject).add(kinds::spec(job.kind).max_attempts).add(millis(job.delay));
            args.add(job.payload.expose());
        }
        self.run(&self.enqueue, &args).await
    }

    /// Never repeated by itself: if the answer is lost, so are the leases in it, and they come back by their end.
    pub(super) async fn claim(&self, worker: &str, wanted: usize, lease: Duration) -> Result<Batch, QueueError> {
        let mut args = Args::default();
        args.add(worker).add(wanted).add(millis(lease));
        let (jobs, wait): (Vec<Vec<Vec<u8>>>, i64) =
            self.run_once(&self.claim, &args).await.map_err(|error| QueueError::from_redis("claim", &error))?;
        let jobs = jobs.into_iter().filter_map(RawClaim::from_fields).collect();
        Ok(Batch { jobs, next_due: u64::try_from(wait).ok().map(Duration::from_millis) })
    }

    /// Returns the tokens of the leases that are lost.
    pub(super) async fn renew(&self, worker: &str, lease: Duration, held: &[Lease]) -> Result<Vec<u64>, QueueError> {
        let mut args = Args::default();
        args.add(worker).add(millis(lease)).add_leases(held);
        self.run(&self.renew, &args).await
    }

    pub(super) async fn ack(&self, worker: &str, (id, token): &Lease, ack: &Ack) -> Result<Acked, QueueError> {
        let mut args = Args::default();
        args.add(id).add(worker).add(token).add(ack.state.as_str()).add(millis(ack.delay)).add(u8::from(ack.counts));
        args.add(ack.reason).add(millis(ack.snooze_limit)).add(&ack.result).add(&ack.failure).add(&ack.report);
        let state: String = self.run(&self.ack, &args).await?;
        Ok(State::from_name(&state).map_or(Acked::Lost, Acked::Settled))
    }

    /// Returns how many of the leases were still held.
    pub(super) async fn release(&self, worker: &str, why: &str, held: &[Lease]) -> Result<usize, QueueError> {
        let mut args = Args::default();
        args.add(worker).add(why).add_leases(held);
        self.run(&self.release, &args).await
    }

    /// Returns the state that the job was in.
    pub(super) async fn retry(&self, id: Uuid) -> Result<Option<String>, QueueError> {
        self.run(&self.retry, Args::default().add(id.to_string())).await
    }

    pub(super) async fn get(&self, id: Uuid) -> Result<Stored, QueueError> {
        self.run(&self.get, Args::default().add(id.to_string())).await
    }

    pub(super) async fn list(&self, listing: &Listing<'_>) -> Result<Page, QueueError> {
        let mut args = Args::default();
        args.add(listing.state.as_str()).add(u8::from(listing.state.is_terminal())).add(listing.kind).add(listing.lane);
        args.add(listing.first).add(listing.limit).add(listing.fields);
        self.run(&self.list, &args).await
    }

    pub(super) async fn counts(&self) -> Result<HashMap<String, i64>, QueueError> {
        let counts = async {
            let (number, mut connection) = self.connection.current().await?;
            let answer = cmd("HGETALL").arg(self.keys.counts()).query_async(&mut connection).await;
            self.connection.check(number, answer).await
        };
        counts.await.map_err(|error| QueueError::from_redis("counts", &error))
    }

    /// Waits until there may be something to claim, at most that long.
    pub(super) async fn wait(&self, blocking: &Connection, worker: &str, at_most: Duration) -> Result<(), QueueError> {
        let unavailable = |error| QueueError::from_redis("wait", &error);
        let (number, mut connection) = blocking.current().await.map_err(unavailable)?;
        let mut pop = cmd("BLPOP");
        // Redis takes 0 for ever, and this is often about the next millisecond.
        pop.arg(self.keys.wake_one(worker)).arg(self.keys.wake_any()).arg(at_most.as_secs_f64().max(0.001));
        if let Ok(answer) = timeout(at_most + RESPONSE_TIMEOUT, pop.query_async::<Value>(&mut connection)).await {
            return blocking.check(number, answer).await.map(drop).map_err(unavailable);
        }
        blocking.forget(number).await;
        Err(QueueError::Unavailable { reason: "no answer to BLPOP".to_owned() })
    }

    pub(super) fn blocking_connection(&self) -> Connection {
        self.connection.for_blocking()
    }

    /// Runs a script, and once more if the connection had died since it was last used. All but `claim` may be repeated.
    async fn run<T: FromRedisValue>(&self, script: &Named, args: &Args) -> Result<T, QueueError> {
        let mut result = self.run_once(script, args).await;
        if result.as_ref().is_err_and(|error| error.is_connection_dropped() && !error.is_timeout()) {
            result = self.run_once(script, args).await;
        }
        result.map_err(|error| QueueError::from_redis(script.name, &error))
    }

    async fn run_once<T: FromRedisValue>(&self, script: &Named, args: &Args) -> redis::RedisResult<T> {
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.prefix()).arg(&args.0);
        let (number, mut connection) = self.connection.current().await?;
        let answer = invocation.invoke_async(&mut connection).await;
        self.connection.check(number, answer).await
    }
}

impl RawClaim {
    fn from_fields(fields: Vec<Vec<u8>>) -> Option<Self> {
        let [id, token, version, kind, lane, attempt, max_attempts, run, enqueued_at, payload] =
            <[Vec<u8>; 10]>::try_from(fields).ok()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let number = |bytes: Vec<u8>| text(bytes).parse::<u64>().unwrap_or_default();
        let small = |bytes: Vec<u8>| u32::try_from(number(bytes)).unwrap_or(u32::MAX);
        Some(Self {
            id: text(id),
            token: number(token),
            version: text(version),
            kind: text(kind),
            lane: text(lane),
            attempt: small(attempt),
            max_attempts: small(max_attempts),
            run: small(run),
            enqueued_at_ms: number(enqueued_at),
            payload,
        })
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
